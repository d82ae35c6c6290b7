"""A keyring that is being checked: how to make it, what it can do, and what the rules ask of it again and again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring
from envelope_sdk.testing.contract import Broken, require

__all__ = ["SAMPLE", "TENANT", "KeyringSubject", "Wrapped", "checked", "must_find_nothing", "must_open"]

SAMPLE: Final = EncryptionContext(
    {"sample purpose": "contract", "größe": "ñandú 😀", "sample tenant": "42", "": "empty key"}
)
"""Pairs with all that text may bring, not in the order in which they are written."""

TENANT: Final = "sample tenant"
"""The key of the pair that is left out, changed or not stored where one is."""


class Wrapped(NamedTuple):
    """A data key and the copies of it that a keyring wrapped."""

    data_key: bytes
    keys: tuple[EncryptedDataKey, ...]


class KeyringSubject(NamedTuple):
    """What :func:`~envelope_sdk.testing.check_keyring` was told; the fields are its parameters."""

    make_keyring: Callable[[], Keyring]
    other: Callable[[], Keyring] | None
    counterpart: Callable[[], Keyring] | None
    encrypts: bool
    decrypts: bool
    generates: bool
    wraps: bool
    binds_context: bool
    detects_damage: bool
    context: EncryptionContext
    suites: tuple[AlgorithmSuite, ...]
    secrets: tuple[bytes, ...]
    threads: int

    @property
    def suite(self) -> AlgorithmSuite:
        """The suite for rules that need but one."""
        return self.suites[-1]

    @property
    def sample(self) -> EncryptionContext:
        """The context for rules that need but one."""
        return self.pairs(SAMPLE)

    def pairs(self, pairs: Mapping[str, str]) -> EncryptionContext:
        """Return a context of ``pairs`` and those that the keyring needs."""
        return EncryptionContext(pairs).merged(self.context)

    @property
    def makes_data_keys(self) -> bool:
        """Whether it is this keyring that makes data keys."""
        return self.encrypts and self.generates

    @property
    def takes_data_keys(self) -> bool:
        """Whether this keyring wraps data keys that others made."""
        return self.encrypts and self.wraps

    @property
    def writes(self) -> bool:
        """Whether there is a way to wrapped data keys."""
        return self.encrypts or self.counterpart is not None

    @property
    def reads(self) -> bool:
        """Whether there is a way back from wrapped data keys."""
        return self.decrypts or self.counterpart is not None

    def writer(self) -> Keyring:
        """Return what wraps: the keyring itself where it can."""
        return self.make_keyring() if self.encrypts or self.counterpart is None else self.counterpart()

    def reader(self) -> Keyring:
        """Return what opens: the keyring itself where it can."""
        return self.make_keyring() if self.decrypts or self.counterpart is None else self.counterpart()

    def to_wrap(
        self,
        suite: AlgorithmSuite | None = None,
        context: EncryptionContext | None = None,
        data_key: bytes | None = None,
    ) -> EncryptionMaterials:
        """Return materials for the writer, with a data key where it needs one."""
        suite = suite or self.suite
        if data_key is None and self.encrypts and not self.generates:
            data_key = os.urandom(suite.key_length)
        return EncryptionMaterials(suite, self._or_sample(context), plaintext_data_key=data_key)

    def to_open(
        self, suite: AlgorithmSuite | None = None, context: EncryptionContext | None = None
    ) -> DecryptionMaterials:
        """Return materials for the reader."""
        return DecryptionMaterials(suite or self.suite, self._or_sample(context))

    def _or_sample(self, context: EncryptionContext | None) -> EncryptionContext:
        return self.sample if context is None else context

    def wrapped(
        self,
        suite: AlgorithmSuite | None = None,
        context: EncryptionContext | None = None,
        *,
        by: Keyring | None = None,
    ) -> Wrapped:
        """Return a new data key, as the writer wrapped it."""
        given = self.to_wrap(suite, context)
        return checked(given, (by or self.writer()).on_encrypt(given))


def checked(given: EncryptionMaterials, returned: EncryptionMaterials) -> Wrapped:
    """Return what ``returned`` adds to ``given``.

    Raises:
        Broken: it is no materials, or holds no data key or no wrapped copy.
    """
    require(
        isinstance(returned, EncryptionMaterials),  # pyright: ignore[reportUnnecessaryIsInstance] - anything may come
        f"on_encrypt returned {type(returned).__name__} and not EncryptionMaterials",
    )
    data_key = returned.plaintext_data_key
    if data_key is None:
        raise Broken("on_encrypt returned materials without a data key")
    keys = returned.encrypted_data_keys[len(given.encrypted_data_keys) :]
    require(keys, "on_encrypt added no encrypted data key")
    return Wrapped(data_key, tuple(keys))


def must_open(
    keyring: Keyring, keys: Sequence[EncryptedDataKey], data_key: bytes, materials: DecryptionMaterials, what: str
) -> None:
    """Raise :class:`Broken` unless ``keyring`` finds ``data_key`` in ``keys``; ``what`` says what they are."""
    try:
        opened = keyring.on_decrypt(materials, keys)
    except NoMatchingKeyError as error:
        raise Broken(f"{what} did not open: {error}") from error
    require(
        isinstance(opened, DecryptionMaterials),  # pyright: ignore[reportUnnecessaryIsInstance] - anything may come
        f"on_decrypt returned {type(opened).__name__} and not DecryptionMaterials",
    )
    require(opened.plaintext_data_key is not None, f"{what} opened to materials without a data key")
    require(opened.plaintext_data_key == data_key, f"{what} opened to another data key than was wrapped")


def must_find_nothing(
    keyring: Keyring, keys: Sequence[EncryptedDataKey], materials: DecryptionMaterials, what: str
) -> NoMatchingKeyError:
    """Return the error with which ``keyring`` says that it can open none of ``keys``.

    Raises:
        Broken: it returned, or raised something else.
    """
    try:
        keyring.on_decrypt(materials, keys)
    except NoMatchingKeyError as error:
        return error
    except Exception as error:
        raise Broken(f"{what}: {type(error).__name__} was raised, not NoMatchingKeyError: {error}") from error
    raise Broken(f"{what}: on_decrypt returned instead of raising NoMatchingKeyError")
