"""What a bulk run does to each item. Those here encrypt and decrypt; others are whatever has the same methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from envelope_sdk.bulk.places import LocalFiles, Place
from envelope_sdk.bulk.targets import Target
from envelope_sdk.client import Client
from envelope_sdk.errors import StreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.streams.raw import regular_descriptor
from envelope_sdk.streams.transfer import decrypt_stream, encrypt_stream, plaintext_bound

if TYPE_CHECKING:
    from envelope_sdk.bulk.recipe import ClientRecipe

__all__ = ["Decrypt", "Encrypt", "Item", "Operation", "Preparing", "Written", "bound_of", "is_in_place", "sorted_pairs"]


class Item(NamedTuple):
    """One thing to do.

    Attributes:
        source: the name of what is read, in the operation's source.
        target: the name of what is written, in its target.
        size: bytes of the source, where they are known: small ones go to workers together, and the time left is told.
    """

    source: str
    target: str
    size: int | None = None


class Written(NamedTuple):
    """What became of an item.

    Attributes:
        header: of the message that was made or opened, authenticated.
        size: bytes that were written.
    """

    header: Header
    size: int


@runtime_checkable
class Operation(Protocol):
    """Does something to one item after another, in any worker. It can be pickled, and holds no key."""

    @property
    def source(self) -> Place:
        """Where items come from."""
        ...

    @property
    def target(self) -> Place:
        """Where they go."""
        ...

    @property
    def overwrite(self) -> bool:
        """Whether targets may replace what is there."""
        ...

    def __call__(
        self, client: Any, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]
    ) -> Written | None:
        """Do it: the target is whole in the end, or as it was. ``None`` where there was nothing to do.

        Args:
            client: the worker's; or what :meth:`Preparing.prepared` had made for it.
            item: what to do.
            overwrite: whether what is there may be replaced; also where this very run may have written it before.
            on_progress: to be called now and then with how many more bytes were read. What it raises ends the item.
        """
        ...

    def words(self) -> Mapping[str, Any]:
        """Return what decides over the outcome, as JSON takes it: a journal is bound to it."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """An operation that needs more than one client, or something made of it that is kept as long."""

    def prepared(self, client: ClientRecipe | Client) -> Any:
        """Return what takes the place of a run's client: another recipe, or, for a client, what is made of it."""
        ...


def is_in_place(operation: Operation, item: Item) -> bool:
    """Return whether an item replaces what it is read from."""
    return item.source == item.target and operation.source == operation.target


def sorted_pairs(context: Mapping[str, str] | tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a context as they are pickled, compared and hashed."""
    return tuple(sorted(dict(context).items()))


@dataclass(frozen=True)
class Encrypt:
    """Encrypts each item to a message.

    Attributes:
        source: where plaintexts are.
        target: where messages go.
        encryption_context: pairs that every message has: a mapping, kept as sorted pairs.
        overwrite: whether targets may replace what is there.
    """

    source: Place = field(default_factory=LocalFiles)
    target: Place = field(default_factory=LocalFiles)
    encryption_context: tuple[tuple[str, str], ...] | Mapping[str, str] = ()
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "encryption_context", sorted_pairs(self.encryption_context))

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        """Encrypt one item. Raises as :meth:`envelope_sdk.Client.encrypt_file`."""
        with (
            self.source.open(item.source) as source,
            Target(self.target.create(item.target, overwrite=overwrite)) as target,
        ):
            is_file = regular_descriptor(source) is not None
            encryptor = client.encryptor(
                encryption_context=dict(self.encryption_context),
                plaintext_bound=plaintext_bound(source) if is_file else bound_of(item),
            )
            header = encrypt_stream(source, target.file, encryptor, threads=client.threads, on_progress=on_progress)
            if not is_file and encryptor.room_left == 0 and source.read(1):
                raise StreamError("the source became much longer while it was read")
            return Written(header, target.commit())

    def words(self) -> Mapping[str, Any]:
        """Return the direction, the places and the context."""
        return {"do": "encrypt", **_place_words(self), "context": dict(self.encryption_context)}


@dataclass(frozen=True)
class Decrypt:
    """Decrypts the message in each item; a target appears only when the whole message is authentic.

    Attributes:
        source: where messages are.
        target: where plaintexts go.
        encryption_context: pairs that every message must have been encrypted with: a mapping, kept as sorted pairs.
        required_context_keys: keys that must be among their pairs.
        overwrite: whether targets may replace what is there.
    """

    source: Place = field(default_factory=LocalFiles)
    target: Place = field(default_factory=LocalFiles)
    encryption_context: tuple[tuple[str, str], ...] | Mapping[str, str] = ()
    required_context_keys: Sequence[str] = ()
    overwrite: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.required_context_keys, str):
            raise TypeError("required_context_keys is a collection of texts, not one")
        object.__setattr__(self, "encryption_context", sorted_pairs(self.encryption_context))
        object.__setattr__(self, "required_context_keys", tuple(self.required_context_keys))

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        """Decrypt one item. Raises as :meth:`envelope_sdk.Client.decrypt_file`."""
        with (
            self.source.open(item.source) as source,
            Target(self.target.create(item.target, overwrite=overwrite)) as target,
        ):
            decryptor = client.decryptor(
                encryption_context=dict(self.encryption_context), required_context_keys=self.required_context_keys
            )
            header = decrypt_stream(source, target.file, decryptor, threads=client.threads, on_progress=on_progress)
            return Written(header, target.commit())

    def words(self) -> Mapping[str, Any]:
        """Return the direction, the places, the context and what is required of it."""
        context = {"context": dict(self.encryption_context), "required": sorted(self.required_context_keys)}
        return {"do": "decrypt", **_place_words(self), **context}


def bound_of(item: Item) -> int | None:
    """Return the most bytes to announce: a data key that is used again has to have room for all of them."""
    return None if item.size is None else 2 * item.size + 2**16


def _place_words(operation: Encrypt | Decrypt) -> dict[str, str]:
    return {"source": operation.source.words(), "target": operation.target.words()}
