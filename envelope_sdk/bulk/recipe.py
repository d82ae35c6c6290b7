"""A client as configuration: what travels to workers in the stead of keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from envelope_sdk.client import DEFAULT_FRAME_LENGTH, Client
from envelope_sdk.errors import UsageError
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.keyrings.registry import keyrings_from_uris
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.managers.counting import CountingMaterialsManager
from envelope_sdk.materials import Keyring, MaterialsManager
from envelope_sdk.policy import CommitmentPolicy, Limits

if TYPE_CHECKING:
    from envelope_sdk.managers.usage import MaterialsUsage

__all__ = ["CacheLimits", "ClientRecipe", "OpenedClient"]


_LIMITS: Final = Limits()
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

    __slots__ = ("_closing", "_manager", "client")

    def __init__(self, client: Client, manager: Any, closing: Any = None) -> None:
        """Take a client, the manager that counts for it, and what else has a ``close()``."""
        self.client = client
        self._manager = manager
        self._closing = closing

    def usage(self) -> MaterialsUsage:
        """Return what its materials manager tells."""
        usage: MaterialsUsage = self._manager.usage()
        return usage

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
        return self.opened(self.keyring())

    def opened(self, keyring: Keyring, closing: Any = None) -> OpenedClient:
        """Make the client of a keyring, and have it close something with it."""
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
        return OpenedClient(client, manager, closing)

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
