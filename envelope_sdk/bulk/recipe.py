"""A client as configuration: what travels to workers in the stead of keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from envelope_sdk.client import DEFAULT_FRAME_LENGTH, Client
from envelope_sdk.errors import UsageError
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.keyrings.kms.calls import KmsCalls, counted_calls
from envelope_sdk.keyrings.registry import keyrings_from_uris
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.managers.counting import CountingMaterialsManager
from envelope_sdk.materials import Keyring, MaterialsManager
from envelope_sdk.policy import CommitmentPolicy, Limits

if TYPE_CHECKING:
    from envelope_sdk.managers.usage import MaterialsUsage

__all__ = ["CacheLimits", "ClientRecipe", "OpenedClient"]


_LIMITS: Final = Limits()
_NO_CALLS: Final = KmsCalls()
_DATABASE: Final = re.compile("postgres(ql)?://[^&]*")
_USER: Final = re.compile("(?<=://)[^/&]*@")


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How long, and for how much, each worker uses a data key again: as of :class:`CachingMaterialsManager`.

    Attributes:
        max_age_seconds: how long it is used.
        max_messages: messages that it encrypts.
        max_bytes: bytes of plaintext that it encrypts; a file counts as twice its length and 64 KiB.
        max_entries: data keys that a worker keeps.
    """

    max_age_seconds: float
    max_messages: int = 2**32
    max_bytes: int = 2**63 - 1
    max_entries: int | None = None


class OpenedClient:
    """A client that a recipe was made into, with what has to be closed after it.

    Attributes:
        client: the client.
    """

    __slots__ = ("_closing", "_made_by", "_manager", "_new", "client")

    def __init__(self, client: Client, manager: Any, closing: Any = None, made_by: KmsCalls = _NO_CALLS) -> None:
        """Take a client, the manager that counts for it, what else has a ``close()``, and the calls it took to make."""
        self.client = client
        self._manager = manager
        self._closing = closing
        self._made_by = made_by
        self._new = True

    def usage(self) -> MaterialsUsage:
        """Return what its materials manager tells, and the calls that making it took."""
        usage: MaterialsUsage = self._manager.usage()
        calls, by_price = Counter(usage.kms_calls), Counter(usage.kms_calls_by_price)
        calls.update(dict(self._made_by.by_operation))
        by_price.update(dict(self._made_by.by_price))
        return usage._replace(kms_calls=calls, kms_calls_by_price=by_price)

    def usage_before(self) -> MaterialsUsage | None:
        """Return what :meth:`usage` does; ``None`` at the first question: whoever asks first has it made."""
        new, self._new = self._new, False
        return None if new else self.usage()

    def close(self) -> None:
        """Forget its data keys. Closing twice does nothing more."""
        for each in (self._manager, self._closing):
            close = getattr(each, "close", None)
            if close is not None:
                close()


@dataclass(frozen=True, repr=False)
class ClientRecipe:
    """What a worker makes a client of: names of keys, never keys. It can be pickled, compared and hashed.

    Files that URIs name (keys, public keys, a local KMS) are opened by the worker, and credentials of AWS are found by
    it: both have to be there. Subclasses may make keyrings in other ways.

    Attributes:
        keys: URIs of keyrings, or paths of key files: each wraps, the first makes data keys, any opens.
        commitment_policy: as of :class:`~envelope_sdk.Client`, as are those that follow.
        algorithm_suite: the suite; the policy's default where ``None``.
        sign: whether messages are signed.
        frame_length: bytes of plaintext in a frame.
        limits: bounds on messages.
        threads: the most threads that one message may use in a worker. One by default: the workers are many.
        required_context_keys: keys whose pairs are authenticated and not stored when encrypting.
        cache: how data keys are used again; ``None`` where each message has its own.
    """

    keys: Sequence[str]
    commitment_policy: CommitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    algorithm_suite: AlgorithmSuite | None = None
    sign: bool = False
    frame_length: int = DEFAULT_FRAME_LENGTH
    limits: Limits = _LIMITS
    threads: int | None = 1
    required_context_keys: Sequence[str] = ()
    cache: CacheLimits | None = None

    def __post_init__(self) -> None:
        """Refuse what is no configuration.

        Raises:
            TypeError: ``keys`` is one text, or one of them is no text: a keyring, most often.
            UsageError: a URI cannot be understood.
        """
        for name in ("keys", "required_context_keys"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is a collection of texts, not one")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for key in self.keys:
            if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - keyrings, most often
                raise TypeError(f"a recipe names keys by URI, so that none travels: not a {type(key).__name__}")
            KeyringUri.of_key(key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={word!r}' for name, word in self.words().items())})"

    def keyring(self) -> Keyring:
        """Make the keyring.

        Raises:
            UsageError: there is no key.
            KeyringError, KmsError, KmsServiceError, KeyStoreError: one cannot be used.
        """
        if not self.keys:
            raise UsageError("a recipe needs a key")
        return keyrings_from_uris(self.keys)

    def open(self) -> OpenedClient:
        """Make the client. Raises as :meth:`keyring` and :class:`~envelope_sdk.Client` do."""
        with counted_calls() as calls:
            keyring = self.keyring()
        return self.opened(keyring, made_by=calls.so_far())

    def opened(self, keyring: Keyring, closing: Any = None, made_by: KmsCalls = _NO_CALLS) -> OpenedClient:
        """Make the client of a keyring, have it close something with it, and count the calls that the keyring took."""
        source: Keyring | MaterialsManager = keyring
        if self.required_context_keys:
            from envelope_sdk.managers.required_context import RequiredContextMaterialsManager

            source = RequiredContextMaterialsManager(source, self.required_context_keys)
        manager = self._manager(source)
        client = Client(
            materials_manager=manager,
            commitment_policy=self.commitment_policy,
            algorithm_suite=self.algorithm_suite,
            sign=self.sign,
            frame_length=self.frame_length,
            limits=self.limits,
            threads=self.threads,
        )
        return OpenedClient(client, manager, closing, made_by)

    def words(self) -> dict[str, Any]:
        """Return what decides over the messages that come out, as JSON takes it: not threads, nor the cache.

        A URL among the keys' parameters may hold a password, which is left out.
        """
        suite = self.algorithm_suite or self.commitment_policy.default_suite(signed=self.sign)
        return {
            "keys": [_without_password(key) for key in self.keys],
            "suite": suite.name,
            "policy": self.commitment_policy.value,
            "frame_length": self.frame_length,
            "required_context_keys": sorted(self.required_context_keys),
        }

    def _manager(self, source: Keyring | MaterialsManager) -> Any:
        if self.cache is None:
            return CountingMaterialsManager(source)
        from envelope_sdk.managers.caching import CachingMaterialsManager

        given = {field.name: getattr(self.cache, field.name) for field in fields(self.cache)}
        return CachingMaterialsManager(source, **{name: value for name, value in given.items() if value is not None})


def _without_password(key: str) -> str:
    text = str(KeyringUri.of_key(key)) if "://" in key else key
    shown = _USER.sub("", _DATABASE.sub("postgresql", text))
    return key if shown == text else shown
