"""Wrapping under the public half of a KMS's RSA key (framework/aws-kms/aws-kms-rsa-keyring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA384, Hash

from envelope_sdk.errors import AuthenticationError, KeyringError, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import cannot_unwrap, unwrap_first
from envelope_sdk.keyrings.kms.answers import bytes_of, is_key_arn, named_key, odd_answer
from envelope_sdk.keyrings.kms.api import RsaKmsApi, call_kms, checked_grant_tokens
from envelope_sdk.keyrings.kms.arn import check_key_arn, matches_for_decrypt
from envelope_sdk.keyrings.kms.price_classes import price_class
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.entropy import RandomSource, system_random
from envelope_sdk.primitives.rsa import RsaPadding, rsa_public_key, rsa_wrap

__all__ = ["RSA_PROVIDER_ID", "KmsRsaKeyring"]

RSA_PROVIDER_ID: Final = "aws-kms-rsa"
"""The key provider id of data keys wrapped under a KMS's RSA key."""

_PADDINGS: Final = {
    "RSAES_OAEP_SHA_1": RsaPadding.OAEP_SHA1,
    "RSAES_OAEP_SHA_256": RsaPadding.OAEP_SHA256,
}
_DIGEST_LENGTH: Final = 48
_NO_SIGNING = "it does not work with signed algorithm suites: whoever has the public key could sign as well"


class KmsRsaKeyring:
    """Wraps data keys with the public key of an RSA key in a KMS, offline, and has the KMS unwrap them.

    A digest of the encryption context is wrapped with the data key and compared when it is unwrapped.
    """

    __slots__ = ("_algorithm", "_grant_tokens", "_key_arn", "_kms", "_public_key", "_random")

    def __init__(
        self,
        kms: RsaKmsApi | None,
        key_arn: str,
        encryption_algorithm: str = "RSAES_OAEP_SHA_256",
        *,
        public_key: bytes | RSAPublicKey | None = None,
        grant_tokens: Iterable[str] = (),
        random: RandomSource = system_random,
    ) -> None:
        """Take a client, a public key or both, and the key they are of.

        Args:
            kms: ``boto3.client("kms")``, or anything with its methods; needed to decrypt, never called to encrypt.
            key_arn: the ARN of the key, whose usage is ``ENCRYPT_DECRYPT``. Messages name the key by it.
            encryption_algorithm: ``"RSAES_OAEP_SHA_256"``, or ``"RSAES_OAEP_SHA_1"`` for readers that need it.
            public_key: the key's public half: PEM or DER bytes, as GetPublicKey returns it, or a key object; needed to
                encrypt. It is taken on trust: what another public key wrapped cannot be opened.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.
            random: the source of data keys.

        Raises:
            UsageError: neither a client nor a public key is given, the ARN or the algorithm cannot be used, or the
                public key cannot be read, is not RSA, or has fewer than 2,048 bits.
            TypeError: the ARN or the algorithm is not text.
        """
        if kms is None and public_key is None:
            raise UsageError("a KMS RSA keyring needs a public key to encrypt, a KMS client to decrypt, or both")
        # A public key as the third argument, which is an easy mistake, is not hashable.
        if not isinstance(encryption_algorithm, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the encryption algorithm is text, not {type(encryption_algorithm).__name__}")
        if encryption_algorithm not in _PADDINGS:
            raise UsageError(f"the encryption algorithm {encryption_algorithm!r} is none of {', '.join(_PADDINGS)}")
        self._kms = kms
        self._key_arn = check_key_arn(key_arn)
        self._algorithm = encryption_algorithm
        self._public_key = None if public_key is None else rsa_public_key(public_key)
        self._grant_tokens = checked_grant_tokens(grant_tokens)
        self._random = random

    def __repr__(self) -> str:
        parts = [part for part, has in (("public key", self._public_key), ("client", self._kms)) if has is not None]
        return f"KmsRsaKeyring({self._key_arn!r}, {self._algorithm}, {' and '.join(parts)})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one where there is none. KMS is not called.

        Raises:
            KeyringError: there is no public key, or the algorithm suite signs.
        """
        if self._public_key is None:
            raise KeyringError(f"{self!r} has no public key and so cannot encrypt")
        if materials.algorithm_suite.signed:
            raise KeyringError(f"{self!r} cannot encrypt: {_NO_SIGNING}; choose a suite that does not sign")
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        wrapped = rsa_wrap(
            self._public_key, _PADDINGS[self._algorithm], _digest(materials.encryption_context) + data_key
        )
        return materials.with_data_key(
            data_key, EncryptedDataKey(RSA_PROVIDER_ID, self._key_arn.encode("utf-8"), wrapped)
        )

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that names this keyring's key, or a replica of it in another Region.

        Raises:
            NoMatchingKeyError: none does, KMS opened none of those that do, there is no client, or the algorithm suite
                signs; the failures hold KMS's answers.
        """
        kms = self._kms
        if kms is None:
            cannot_unwrap(self, materials, "it has no KMS client and so cannot decrypt")
        if materials.algorithm_suite.signed:
            cannot_unwrap(self, materials, _NO_SIGNING)
        digest = _digest(materials.encryption_context)
        mine = (key for key in encrypted_data_keys if key.provider_id == RSA_PROVIDER_ID and self._is_named(key))
        return unwrap_first(self, materials, mine, lambda key: self._unwrapped(kms, key, digest))

    def _unwrapped(self, kms: RsaKmsApi, key: EncryptedDataKey, digest: bytes) -> bytes:
        named_key(key.provider_info)
        parameters: dict[str, Any] = {"GrantTokens": list(self._grant_tokens)} if self._grant_tokens else {}
        answer = call_kms(
            "Decrypt",
            kms.decrypt,
            # What an RSA key wraps is as long as the key.
            price_class("Decrypt", len(key.ciphertext) * 8),
            KeyId=self._key_arn,
            CiphertextBlob=key.ciphertext,
            EncryptionAlgorithm=self._algorithm,
            **parameters,
        )
        if answer.get("KeyId") != self._key_arn:
            raise odd_answer("Decrypt", f"the key {answer.get('KeyId')!r} where {self._key_arn!r} was asked for")
        opened = bytes_of("Decrypt", answer, "Plaintext")
        if not bytes_eq(opened[:_DIGEST_LENGTH], digest):
            raise AuthenticationError(
                "the data key was wrapped for another encryption context", section="encrypted data key"
            )
        return opened[_DIGEST_LENGTH:]

    def _is_named(self, key: EncryptedDataKey) -> bool:
        # Malformed names pass, so that they are reported as the failures they are.
        info = key.provider_info
        return not is_key_arn(info) or matches_for_decrypt(self._key_arn, str(named_key(info)))


def _digest(context: EncryptionContext) -> bytes:
    digest = Hash(SHA384())
    digest.update(context.canonical)
    return digest.finalize()
