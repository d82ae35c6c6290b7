"""Wrapping under an RSA key that the caller holds (framework/raw-rsa-keyring.md)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import cannot_unwrap, unwrap_first
from envelope_sdk.keyrings.names import checked_name
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.entropy import RandomSource, system_random
from envelope_sdk.primitives.rsa import RsaPadding, rsa_private_key, rsa_public_key, rsa_unwrap, rsa_wrap

__all__ = ["RawRsaKeyring"]


class RawRsaKeyring:
    """Wraps data keys with RSA: a public key encrypts, a private key decrypts, and neither stands in for the other.

    RSA does not bind the wrapped key to the encryption context; the message's header does.
    """

    __slots__ = ("_name", "_name_bytes", "_namespace", "_padding", "_private_key", "_public_key", "_random")

    def __init__(
        self,
        namespace: str,
        name: str,
        padding: RsaPadding,
        *,
        public_key: bytes | RSAPublicKey | None = None,
        private_key: bytes | RSAPrivateKey | None = None,
        password: bytes | None = None,
        random: RandomSource = system_random,
    ) -> None:
        """Take one half of a key pair or both, and what it is called.

        Args:
            namespace: the key provider id in messages; anything that does not begin with ``aws-kms``.
            name: tells this key from others of the namespace.
            padding: new data should use an OAEP padding with SHA-256 or longer.
            public_key: PEM or DER bytes (SubjectPublicKeyInfo or PKCS#1), or a key object; needed to encrypt.
            private_key: PEM or DER bytes (PKCS#8 or traditional), or a key object; needed to decrypt.
            password: opens an encrypted ``private_key``.
            random: the source of data keys.

        Raises:
            UsageError: neither key is given, one cannot be read or is not RSA, the public key has fewer than 2,048
                bits, or the names cannot be used.
        """
        if public_key is None and private_key is None:
            raise UsageError("a raw RSA keyring needs a public key to encrypt, a private key to decrypt, or both")
        self._name_bytes = checked_name(namespace, name)
        self._namespace = namespace
        self._name = name
        self._padding = _checked_padding(padding)
        self._public_key = None if public_key is None else rsa_public_key(public_key)
        self._private_key = None if private_key is None else rsa_private_key(private_key, password)
        self._random = random

    def __repr__(self) -> str:
        halves = [half for half, key in (("public", self._public_key), ("private", self._private_key)) if key]
        return f"RawRsaKeyring({self._namespace!r}, {self._name!r}, {self._padding.value}, {' and '.join(halves)} key)"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one where there is none.

        Raises:
            KeyringError: there is no public key, or it is too small for the data key.
        """
        if self._public_key is None:
            raise KeyringError(f"{self!r} has no public key and so cannot encrypt")
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        wrapped = rsa_wrap(self._public_key, self._padding, data_key)
        return materials.with_data_key(data_key, EncryptedDataKey(self._namespace, self._name_bytes, wrapped))

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Unwrap the first data key that names this key and opens.

        Raises:
            NoMatchingKeyError: there is none, or there is no private key.
        """
        private_key = self._private_key
        if private_key is None:
            cannot_unwrap(self, materials, "it has no private key and so cannot decrypt")
        mine = (
            key
            for key in encrypted_data_keys
            if key.provider_id == self._namespace and key.provider_info == self._name_bytes
        )
        return unwrap_first(self, materials, mine, lambda key: rsa_unwrap(private_key, self._padding, key.ciphertext))


def _checked_padding(padding: RsaPadding) -> RsaPadding:
    try:
        return RsaPadding(padding)
    except ValueError:
        known = ", ".join(known.value for known in RsaPadding)
        raise UsageError(f"the RSA padding {padding!r} is none of {known}") from None
