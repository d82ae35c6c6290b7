"""Several keyrings as one: any of them can decrypt (framework/multi-keyring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envelope_sdk.errors import (
    EnvelopeError,
    KeyringError,
    KmsPacingError,
    NoMatchingKeyError,
    UnwrapFailure,
    UsageError,
)
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import NOTHING_OPENS, require_no_data_key
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring

__all__ = ["MultiKeyring"]


class MultiKeyring:
    """Wraps the data key with every one of its keyrings; unwraps with the first that can."""

    __slots__ = ("_children", "_generator")

    def __init__(self, generator: Keyring | None = None, children: Iterable[Keyring] = ()) -> None:
        """Take the keyrings.

        Args:
            generator: makes the data key and wraps it first. Without one this keyring only decrypts, or wraps data
                keys that another keyring made.
            children: wrap the same data key, in this order.

        Raises:
            UsageError: there is no keyring at all.
        """
        self._generator = generator
        self._children = tuple(children)
        if generator is None and not self._children:
            raise UsageError("a multi-keyring needs a generator, children, or both")

    def __repr__(self) -> str:
        return f"MultiKeyring({self._generator!r}, {list(self._children)!r})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Make the data key with the generator, then wrap it with each child. One failure fails the whole.

        Raises:
            KeyringError: there is nothing to wrap, or the generator did not make a data key.
            UsageError: there is a generator and a data key as well.
        """
        if self._generator is not None:
            if materials.plaintext_data_key is not None:
                raise UsageError("a multi-keyring with a generator makes the data key, but there is one already")
            materials = self._generator.on_encrypt(materials)
            if materials.plaintext_data_key is None:
                raise KeyringError(f"{self._generator!r} did not generate a data key")
        elif materials.plaintext_data_key is None:
            raise KeyringError("a multi-keyring without a generator cannot make a data key")
        for child in self._children:
            materials = child.on_encrypt(materials)
        return materials

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Ask the generator, then each child, until one opens a data key.

        Raises:
            NoMatchingKeyError: none did; it lists the failures of all.
            KmsPacingError: a pacer let no call through; those that follow are not asked in its place.
        """
        require_no_data_key(materials)
        failures: list[UnwrapFailure] = []
        keyrings = self._children if self._generator is None else (self._generator, *self._children)
        try:
            for keyring in keyrings:
                try:
                    opened = keyring.on_decrypt(materials, encrypted_data_keys)
                except NoMatchingKeyError as error:
                    failures += error.failures
                except KmsPacingError:
                    raise
                except EnvelopeError as error:
                    failures.append(UnwrapFailure(repr(keyring), None, error))
                else:
                    if opened.plaintext_data_key is not None:
                        return opened
                    failures.append(UnwrapFailure(repr(keyring), None, KeyringError("it returned no data key")))
            raise NoMatchingKeyError(NOTHING_OPENS, failures)
        finally:
            # As in unwrap_first: the errors hold this frame.
            del failures
