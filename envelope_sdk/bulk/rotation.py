"""Messages under other keys, many at a time: :class:`envelope_sdk.Rotation` as an operation of bulk runs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import IO, Any, cast

from envelope_sdk.bulk.figures import figures_of, summed
from envelope_sdk.bulk.operations import Item, Written, bound_of, is_in_place, sorted_pairs
from envelope_sdk.bulk.places import LocalFiles, Pending, Place, ReplacingPlace
from envelope_sdk.bulk.recipe import ClientRecipe, OpenedClient
from envelope_sdk.bulk.targets import Target
from envelope_sdk.client import Client
from envelope_sdk.errors import UsageError
from envelope_sdk.managers.usage import MaterialsUsage
from envelope_sdk.streams.raw import read_some, regular_descriptor
from envelope_sdk.streams.rotation import Rotation

__all__ = ["Rotate", "RotationRecipe"]

_Pairs = tuple[tuple[str, str], ...] | Mapping[str, str]


@dataclass(frozen=True)
class Rotate:
    """Encrypts each message again, as :class:`envelope_sdk.Rotation` does; the run's ``client`` makes the new ones.

    Where an item's source is its target too, in one place, it is replaced, if it is authentic and the new one opens,
    and if nobody else has changed it meanwhile; and it is skipped if it is as wanted already. Elsewhere the new message
    is always made, and a journal notes that.

    Clients are given as recipes, of which each worker makes its own; or, where the run's ``client`` is a client, as
    clients.

    Attributes:
        reader: opens the old messages.
        source: where they are.
        target: where the new ones go; ``source``, unless it is given.
        signing_writer: makes those whose old message is signed; without it the run's ``client`` makes them all.
        verifier: opens the new messages, to see that they can be opened; the run's ``client``, unless it is given.
        verify: whether that is done.
        encryption_context: pairs that the old messages must have: a mapping, kept as sorted pairs.
        required_context_keys: keys that the old messages must have.
        new_context: pairs to add, or to replace those of the same key: a mapping too.
        drop_context_keys: keys whose pairs to leave out.
        unstored_context_keys: keys of pairs that new messages authenticate and do not store.
        frame_length: bytes of plaintext in a frame of the new messages; that of the old one where ``None``.
        again: whether messages that are as wanted are replaced too.
        overwrite: whether targets that are not their item's source may replace what is there.
    """

    reader: ClientRecipe | Client
    source: Place = field(default_factory=LocalFiles)
    target: Place = field(default=cast("Place", None))
    signing_writer: ClientRecipe | Client | None = field(default=None, kw_only=True)
    verifier: ClientRecipe | Client | None = field(default=None, kw_only=True)
    verify: bool = field(default=True, kw_only=True)
    encryption_context: _Pairs = field(default=(), kw_only=True)
    required_context_keys: Sequence[str] = field(default=(), kw_only=True)
    new_context: _Pairs = field(default=(), kw_only=True)
    drop_context_keys: Sequence[str] = field(default=(), kw_only=True)
    unstored_context_keys: Sequence[str] = field(default=(), kw_only=True)
    frame_length: int | None = field(default=None, kw_only=True)
    again: bool = field(default=False, kw_only=True)
    overwrite: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("encryption_context", "new_context"):
            object.__setattr__(self, name, sorted_pairs(getattr(self, name)))
        for name in ("required_context_keys", "drop_context_keys", "unstored_context_keys"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is a collection of texts, not one")
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))
        if cast("Place | None", self.target) is None:
            object.__setattr__(self, "target", self.source)

    def prepared(self, client: ClientRecipe | Client) -> RotationRecipe | Rotation:
        """Return the recipe of what each worker does its items with; or, of a client, just that.

        Raises:
            UsageError: some are recipes and some are clients.
        """
        all_of_them = (self.reader, client, self.signing_writer, self.verifier)
        kinds = {isinstance(each, ClientRecipe) for each in all_of_them if each is not None}
        if len(kinds) > 1:
            raise UsageError("some of the clients of a rotation are recipes and some are not: give one kind")
        settings = (
            ("verify", self.verify),
            ("encryption_context", self.encryption_context),
            ("required_context_keys", self.required_context_keys),
            ("new_context", self.new_context),
            ("drop_context_keys", self.drop_context_keys),
            ("unstored_context_keys", self.unstored_context_keys),
            ("frame_length", self.frame_length),
        )
        if isinstance(client, ClientRecipe):
            recipes = cast("tuple[ClientRecipe, ClientRecipe, ClientRecipe | None, ClientRecipe | None]", all_of_them)
            return RotationRecipe(client.keys, recipes=recipes, settings=settings, run=os.urandom(8).hex())
        return _rotation(cast("tuple[Client, Client, Client | None, Client | None]", all_of_them), settings)

    def __call__(
        self, client: Any, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]
    ) -> Written | None:
        """Rotate one message. Raises as :meth:`envelope_sdk.Rotation.rotate_file`."""
        rotation: Rotation = client
        in_place = is_in_place(self, item)
        told = 0

        def tell(more: int) -> None:
            nonlocal told
            told += more
            on_progress(more)

        with ExitStack() as opened:
            file, replace = self._open(opened, item.source)
            source, bound = (file, None) if regular_descriptor(file) is not None else (_Counted(file), bound_of(item))
            targets: list[Target] = []

            def create() -> Any:
                pending = replace() if in_place else self._begun(item, overwrite=overwrite)
                targets.append(opened.enter_context(Target(pending)))
                return targets[0].file

            again = self.again or not in_place
            header = rotation.rotate_to(source, create, again=again, plaintext_bound=bound, on_progress=tell)
            if header is None:
                return None
            # What was told so far is plaintext.
            on_progress(max(0, source.tell() - told))
            return Written(header, targets[0].commit())

    def words(self) -> Mapping[str, Any]:
        """Return the places, the old keys, whether what was signed stays so, and what is wanted of the new messages."""
        return {
            "do": "rotate",
            "source": self.source.words(),
            "target": self.target.words(),
            "reader": _words(self.reader),
            "signing": _words(self.signing_writer),
            "context": dict(self.encryption_context),
            "required": list(self.required_context_keys),
            "new_context": dict(self.new_context),
            "dropped": list(self.drop_context_keys),
            "unstored": list(self.unstored_context_keys),
            "new_frame_length": self.frame_length,
            "again": self.again,
        }

    def _begun(self, item: Item, *, overwrite: bool) -> Pending:
        if overwrite and self.source.words() + item.source == self.target.words() + item.target:
            # Nothing would notice another's change of it.
            raise UsageError("source and target are one, by two places: give one place for both, to replace it")
        return self.target.create(item.target, overwrite=overwrite)

    def _open(self, opened: ExitStack, name: str) -> tuple[IO[bytes], Callable[[], Pending]]:
        if isinstance(self.source, ReplacingPlace):
            replacement = opened.enter_context(closing(self.source.replacing(name)))
            return replacement.file, replacement.create

        def refuse() -> Pending:
            raise UsageError("this place cannot replace what it holds: rotate to another name, or to another place")

        return opened.enter_context(self.source.open(name)), refuse


@dataclass(frozen=True)
class RotationRecipe(ClientRecipe):
    """What a worker makes a :class:`~envelope_sdk.Rotation` of, which it keeps as it does clients.

    Attributes:
        recipes: of the reader, the writer, the signing writer and the verifier.
        settings: other arguments, by name.
        run: another one for each run: a rotation remembers what an alias leads to, and which branch key is active.
    """

    recipes: tuple[ClientRecipe, ClientRecipe, ClientRecipe | None, ClientRecipe | None] = field(kw_only=True)
    settings: tuple[tuple[str, Any], ...] = field(kw_only=True)
    run: str = field(kw_only=True)

    def words(self) -> dict[str, Any]:
        """Return those of the writer."""
        return self.recipes[1].words()

    def open(self) -> OpenedClient:
        """Make the clients, and the rotation. Raises as :meth:`ClientRecipe.open`."""
        made: dict[ClientRecipe, OpenedClient] = {}
        with ExitStack() as failed:
            for recipe in filter(None, self.recipes):
                if recipe not in made:
                    made[recipe] = recipe.open()
                    failed.callback(made[recipe].close)
            reader, writer, signing, verifier = (recipe and made[recipe].client for recipe in self.recipes)
            rotation: Any = _rotation((reader, writer, signing, verifier), self.settings)
            failed.pop_all()
        return OpenedClient(rotation, _Several(tuple(made.values())))


class _Several:
    """Clients that are closed together, and whose figures are told together."""

    def __init__(self, opened: tuple[OpenedClient, ...]) -> None:
        self._opened = opened

    def usage(self) -> MaterialsUsage:
        return summed(figures_of(each.usage()) for each in self._opened)

    def close(self) -> None:
        for each in self._opened:
            each.close()


class _Counted(io.RawIOBase):
    """What is read, and how much that was so far."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = read_some(self._file, memoryview(buffer))
        self._count += count
        return count

    def tell(self) -> int:
        return self._count


def _rotation(clients: tuple[Any, Any, Any, Any], settings: tuple[tuple[str, Any], ...]) -> Rotation:
    reader, writer, signing, verifier = clients
    given: dict[str, Any] = {name: dict(value) if name.endswith("_context") else value for name, value in settings}
    return Rotation(reader, writer, signing_writer=signing, verifier=verifier, **given)


def _words(client: ClientRecipe | Client | None) -> Any:
    return client.words() if isinstance(client, ClientRecipe) else client and repr(client)
