"""Wrapping under an AES key that never leaves a PKCS#11 token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Any, NoReturn

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
from envelope_sdk.keyrings.pkcs11.aes_key import AES, gcm_unwrap, gcm_wrap
from envelope_sdk.keyrings.pkcs11.application import python_pkcs11
from envelope_sdk.keyrings.pkcs11.location import located
from envelope_sdk.keyrings.pkcs11.place import KeyPlace
from envelope_sdk.keyrings.pkcs11.provider_info import PROVIDER_ID, encode_provider_info, parse_provider_info
from envelope_sdk.keyrings.pkcs11.token_key import FoundKey, HeldKey, TokenKey, WrappingKey
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["Pkcs11Keyring"]


class Pkcs11Keyring:
    """Wraps data keys with AES-GCM on a token, bound to the encryption context.

    Messages name the key by the label of its token and by its own label and id
    (:mod:`~envelope_sdk.keyrings.pkcs11.provider_info` has the bytes), and readers compare all three. So a copy of the
    key on another device opens them if it has the same names.

    Data keys and IVs come from ``random``: a data key is used in this process anyway, so one from the token would gain
    nothing. A token that insists on IVs of its own writes them over the one it is given, and messages have the one that
    was used. Random IVs of 12 bytes are good for 2^32 data keys under one wrapping key (NIST SP 800-38D, 8.3), counted
    over all programs that use it: before that, make another.

    Nothing is opened before the first data key, and all keyrings of a process share its session with a token. They call
    one at a time, as python-pkcs11 initializes libraries for one thread; a program that uses python-pkcs11 beside them
    has to keep to that as well. A session that is lost is opened again, once. After a fork the child opens its own.
    """

    __slots__ = ("_key", "_random")

    def __init__(
        self,
        module_path: str | PathLike[str],
        *,
        key_label: str | None = None,
        key_id: bytes | None = None,
        token_label: str | None = None,
        token_serial: str | None = None,
        token_manufacturer: str | None = None,
        token_model: str | None = None,
        pin: Callable[[], str] | None = None,
        random: RandomSource = system_random,
    ) -> None:
        """Take the names of a key and of its token; whatever is not given may be anything.

        Args:
            module_path: the PKCS#11 library of the token's maker, an absolute path; it is run in this process.
            key_label: the key's label.
            key_id: the key's id, 1 to 255 bytes. A label, an id or both have to be given.
            token_label: the token's label.
            token_serial: the device's serial number, for where two tokens have one label.
            token_manufacturer: who made it.
            token_model: what they call it.
            pin: returns the user PIN; called when the token is opened, for each time it is. A PIN that is refused is
                not tried twice, since a few wrong ones lock the token. Without it nobody logs in.
            random: the source of data keys and IVs.

        Raises:
            UsageError: the names cannot be those of a key, or the path is not absolute.
            KeyringError: python-pkcs11 is not installed.
            TypeError: a name has the wrong type.
        """
        place = KeyPlace(
            fspath(module_path), token_label, token_serial, token_manufacturer, token_model, key_label, key_id
        )
        python_pkcs11()
        self._key: WrappingKey = TokenKey(place, AES, pin)
        self._random = random

    @classmethod
    def from_uri(
        cls,
        uri: str,
        *,
        module_path: str | PathLike[str] | None = None,
        pin: Callable[[], str] | None = None,
        random: RandomSource = system_random,
    ) -> Pkcs11Keyring:
        """Return the keyring of the key that a PKCS#11 URI names (RFC 7512).

        Args:
            uri: for instance ``pkcs11:token=vault;object=wrapping?module-path=/usr/lib/x.so&pin-source=file:/etc/pin``;
                see :mod:`~envelope_sdk.keyrings.pkcs11.uri` for what it may say.
            module_path: the library, where the URI names none.
            pin: returns the PIN, where the URI does not say where it is.
            random: the source of data keys and IVs.

        Raises:
            UsageError: the URI cannot be followed, or nothing says which library or which key.
            KeyringError: python-pkcs11 is not installed.
        """
        place, pin = located(uri, module_path, pin, types=("secret-key",))
        python_pkcs11()
        keyring = cls.__new__(cls)
        keyring._key = TokenKey(place, AES, pin)
        keyring._random = random
        return keyring

    @classmethod
    def from_key(cls, key: Any, *, random: RandomSource = system_random) -> Pkcs11Keyring:
        """Return a keyring over an AES key that the program has found itself.

        Args:
            key: a ``pkcs11.SecretKey``. Its session stays the caller's, who keeps it open, logged in, and away from
                other threads while the keyring is used.
            random: the source of data keys and IVs.

        Raises:
            KeyringError: the key's names cannot be read.
        """
        keyring = cls.__new__(cls)
        keyring._key = HeldKey(key, AES)
        keyring._random = random
        return keyring

    def __repr__(self) -> str:
        return f"Pkcs11Keyring({self._key!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keyring over a token cannot be pickled or copied: make another")

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Have the token wrap the data key, making one where there is none.

        Raises:
            KeyringError: the token or the key is not there, cannot be used for this, or refuses the PIN.
            KmsUnavailableError: the device fails for now.
            UsageError: several tokens or keys could be meant, or the key has neither label nor id.
        """
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        iv = self._random(IV_LENGTH)
        aad = materials.encryption_context.canonical

        def wrap(found: FoundKey) -> EncryptedDataKey:
            used_iv, wrapped = gcm_wrap(found.key, data_key, iv, aad)
            return EncryptedDataKey(PROVIDER_ID, encode_provider_info(found.name, used_iv), wrapped)

        return materials.with_data_key(data_key, self._key.use("C_Encrypt", wrap))

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have the token unwrap the first data key that names this key and authenticates.

        The token is not opened for data keys that name another.

        Raises:
            NoMatchingKeyError: there is none; the failures hold what the token said.
        """
        aad = materials.encryption_context.canonical
        length = materials.algorithm_suite.key_length

        def unwrap(edk: EncryptedDataKey) -> bytes:
            name, iv = parse_provider_info(edk.provider_info)
            # The token's own library is spared what cannot be right.
            if len(edk.ciphertext) != length + TAG_LENGTH:
                raise KeyringError(f"the wrapped data key has {len(edk.ciphertext)} bytes, not {length + TAG_LENGTH}")

            def open_it(found: FoundKey) -> bytes:
                if found.name != name:
                    raise KeyringError(f"the data key is wrapped under {name}; this is {found.name}")
                return gcm_unwrap(found.key, edk.ciphertext, iv, aad)

            return self._key.use("C_Decrypt", open_it, opening=True)

        mine = (key for key in encrypted_data_keys if key.provider_id == PROVIDER_ID and self._may_open(key))
        return unwrap_first(self, materials, mine, unwrap)

    def close(self) -> None:
        """Log out of the token and close the session with it; the next data key opens another.

        A login is the whole process's: other keyrings on the token log in again when they are used.

        Raises:
            KeyringError, KmsUnavailableError: the token fails to do so.
        """
        self._key.close()

    def _may_open(self, key: EncryptedDataKey) -> bool:
        # Malformed names pass, so that they are reported as the failures they are.
        try:
            name, _ = parse_provider_info(key.provider_info)
        except UsageError:
            return True
        return self._key.may_be(name)
