"""Wrapping under an RSA key whose private half never leaves a PKCS#11 token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Final, NamedTuple, NoReturn

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA384, Hash

from envelope_sdk.errors import AuthenticationError, KeyringError, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import cannot_unwrap, unwrap_first
from envelope_sdk.keyrings.pkcs11.application import python_pkcs11
from envelope_sdk.keyrings.pkcs11.location import located
from envelope_sdk.keyrings.pkcs11.place import KeyName, KeyPlace
from envelope_sdk.keyrings.pkcs11.provider_info import (
    OAEP_HASHES,
    RSA_PROVIDER_ID,
    encode_rsa_provider_info,
    parse_rsa_provider_info,
)
from envelope_sdk.keyrings.pkcs11.rsa_key import PUBLIC, oaep_unwrap, private_kind, public_key_of
from envelope_sdk.keyrings.pkcs11.token_key import FoundKey, TokenKey
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.entropy import RandomSource, system_random
from envelope_sdk.primitives.rsa import RsaPadding, rsa_wrap

__all__ = ["Pkcs11RsaKeyring"]

_DIGEST_LENGTH: Final = 48
_MAX_WRAPPED: Final = 2048
_NO_SIGNING: Final = "it does not work with signed algorithm suites: whoever has the public key could sign as well"


class _Encrypting(NamedTuple):
    public_key: RSAPublicKey
    name: KeyName


class Pkcs11RsaKeyring:
    """Wraps data keys with RSA-OAEP under the public key that a token holds, and has the token unwrap them.

    Encrypting needs no PIN: the public key is read once, and used in this process. A digest of the encryption context
    is wrapped with the data key and compared when it is unwrapped. Messages name the key by the label of its token and
    by its own label and id, which have to be those of the public and of the private object;
    :mod:`~envelope_sdk.keyrings.pkcs11.provider_info` has the bytes. Data keys come from ``random``. For sessions,
    threads and forks see :class:`~envelope_sdk.keyrings.pkcs11.keyring.Pkcs11Keyring`.
    """

    __slots__ = ("_encrypting", "_padding", "_private", "_public", "_random")

    def __init__(
        self,
        module_path: str | PathLike[str],
        padding: RsaPadding,
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
        """Take the names of a key pair and of its token; whatever is not given may be anything.

        Args:
            module_path: the PKCS#11 library of the token's maker, an absolute path; it is run in this process.
            padding: one of the OAEP paddings. It is never chosen for you, because the token is not asked when data is
                encrypted, and many can open only some of them: SoftHSM 2.6, for one, ``OAEP_SHA1`` alone. Messages say
                which it is, and a keyring opens those of its own padding only.
            key_label: the key's label.
            key_id: the key's id, 1 to 255 bytes. A label, an id or both have to be given.
            token_label: the token's label.
            token_serial: the device's serial number, for where two tokens have one label.
            token_manufacturer: who made it.
            token_model: what they call it.
            pin: returns the user PIN, which decrypting needs. A PIN that is refused is not tried twice.
            random: the source of data keys.

        Raises:
            UsageError: the names cannot be those of a key, the path is not absolute, or the padding is not OAEP.
            KeyringError: python-pkcs11 is not installed.
            TypeError: a name has the wrong type.
        """
        place = KeyPlace(
            fspath(module_path), token_label, token_serial, token_manufacturer, token_model, key_label, key_id
        )
        self._take(place, padding, pin, random)

    @classmethod
    def from_uri(
        cls,
        uri: str,
        padding: RsaPadding,
        *,
        module_path: str | PathLike[str] | None = None,
        pin: Callable[[], str] | None = None,
        random: RandomSource = system_random,
    ) -> Pkcs11RsaKeyring:
        """Return the keyring of the key pair that a PKCS#11 URI names (RFC 7512).

        Args:
            uri: as for :meth:`envelope_sdk.keyrings.Pkcs11Keyring.from_uri`, of type ``private`` or ``public``.
            padding: one of the OAEP paddings.
            module_path: the library, where the URI names none.
            pin: returns the PIN, where the URI does not say where it is.
            random: the source of data keys.

        Raises:
            UsageError: the URI cannot be followed, nothing says which library or which key, or the padding is not OAEP.
            KeyringError: python-pkcs11 is not installed.
        """
        place, pin = located(uri, module_path, pin, types=("private", "public"))
        keyring = cls.__new__(cls)
        keyring._take(place, padding, pin, random)
        return keyring

    def _take(self, place: KeyPlace, padding: RsaPadding, pin: Callable[[], str] | None, random: RandomSource) -> None:
        if padding not in OAEP_HASHES:
            known = ", ".join(padding.value for padding in OAEP_HASHES)
            raise UsageError(f"the padding {padding!r} is none of {known}")
        python_pkcs11()
        self._padding = padding
        self._public = TokenKey(place, PUBLIC, None)
        self._private = TokenKey(place, private_kind(padding), pin)
        self._encrypting: _Encrypting | None = None
        self._random = random

    def __repr__(self) -> str:
        return f"Pkcs11RsaKeyring({self._private!r}, {self._padding.value})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keyring over a token cannot be pickled or copied: make another")

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one where there is none. The token is asked for its public key the first time.

        Raises:
            KeyringError: the token or the public key is not there, is too small, or the algorithm suite signs.
            KmsUnavailableError: the device fails for now.
            UsageError: several tokens or keys could be meant, or the key has fewer than 2,048 bits.
        """
        if materials.algorithm_suite.signature is not None:
            raise KeyringError(f"{self!r} cannot encrypt: {_NO_SIGNING}")
        encrypting = self._encrypting
        if encrypting is None:
            encrypting = self._encrypting = self._public.use("C_GetAttributeValue", _read)
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        content = _digest(materials.encryption_context) + data_key
        wrapped = rsa_wrap(encrypting.public_key, self._padding, content)
        info = encode_rsa_provider_info(encrypting.name, self._padding)
        return materials.with_data_key(data_key, EncryptedDataKey(RSA_PROVIDER_ID, info, wrapped))

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have the token unwrap the first data key that names this key and padding and holds the context's digest.

        Raises:
            NoMatchingKeyError: there is none, or the algorithm suite signs; the failures hold what the token said.
        """
        if materials.algorithm_suite.signature is not None:
            cannot_unwrap(self, materials, _NO_SIGNING)
        digest = _digest(materials.encryption_context)
        mine = (key for key in encrypted_data_keys if key.provider_id == RSA_PROVIDER_ID and self._may_open(key))
        return unwrap_first(self, materials, mine, lambda key: self._unwrapped(key, digest))

    def close(self) -> None:
        """Log out of the token and close the sessions with it; the next data key opens others.

        A login is the whole process's: other keyrings on the token log in again when they are used.

        Raises:
            KeyringError, KmsUnavailableError: the token fails to do so.
        """
        self._public.close()
        self._private.close()

    def _may_open(self, key: EncryptedDataKey) -> bool:
        # Malformed names pass, so that they are reported as the failures they are.
        try:
            name, padding = parse_rsa_provider_info(key.provider_info)
        except UsageError:
            return True
        return padding is self._padding and self._private.may_be(name)

    def _unwrapped(self, edk: EncryptedDataKey, digest: bytes) -> bytes:
        name, padding = parse_rsa_provider_info(edk.provider_info)
        # The token's own library is spared what cannot be right.
        if len(edk.ciphertext) > _MAX_WRAPPED:
            raise KeyringError(f"the wrapped data key has {len(edk.ciphertext)} bytes: no RSA key is that long")

        def open_it(found: FoundKey) -> bytes:
            if found.name != name:
                raise KeyringError(f"the data key is wrapped under {name}; this is {found.name}")
            return oaep_unwrap(found.key, padding, edk.ciphertext)

        opened = self._private.use("C_Decrypt", open_it, opening=True)
        if not bytes_eq(opened[:_DIGEST_LENGTH], digest):
            raise AuthenticationError(
                "the data key was wrapped with another encryption context", section="encrypted data key"
            )
        return opened[_DIGEST_LENGTH:]


def _read(found: FoundKey) -> _Encrypting:
    return _Encrypting(public_key_of(found.key), found.name)


def _digest(context: EncryptionContext) -> bytes:
    digest = Hash(SHA384())
    digest.update(context.canonical)
    return digest.finalize()
