"""Wrapping under one symmetric key of a KMS (framework/aws-kms/aws-kms-keyring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
from envelope_sdk.keyrings.kms.answers import bytes_of, is_key_arn, key_arn_of, named_key, odd_answer
from envelope_sdk.keyrings.kms.api import KmsApi, call_kms, checked_grant_tokens
from envelope_sdk.keyrings.kms.arn import KmsArn, check_key_identifier
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["PROVIDER_ID", "KmsKeyring"]

PROVIDER_ID: Final = "aws-kms"
"""The key provider id of data keys that a KMS wrapped."""


class KmsKeyring:
    """Makes and wraps data keys with a symmetric KMS key, bound to the encryption context."""

    __slots__ = ("_grant_tokens", "_key_id", "_kms")

    def __init__(self, kms: KmsApi, key_id: str, *, grant_tokens: Iterable[str] = ()) -> None:
        """Take a client and the key it is to use.

        Args:
            kms: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with their methods.
            key_id: a key ARN; to encrypt only, also an alias ARN, ``alias/NAME`` or a key id. Messages name the key's
                ARN, and decryption compares with it, so a keyring that decrypts needs the ARN.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

        Raises:
            UsageError: the identifier cannot name a key, or there are too many grant tokens.
            TypeError: the identifier is not text, or the grant tokens are one text.
        """
        self._kms = kms
        self._key_id = check_key_identifier(key_id)
        self._grant_tokens = checked_grant_tokens(grant_tokens)

    def __repr__(self) -> str:
        return f"KmsKeyring({self._key_id!r})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Have KMS make the data key, or wrap the one that is there.

        Raises:
            KmsError: KMS refused or failed, or answered with something that is not what was asked for.
        """
        length = materials.algorithm_suite.key_length
        if materials.plaintext_data_key is None:
            operation = "GenerateDataKey"
            answer = self._call(operation, self._kms.generate_data_key, materials, NumberOfBytes=length)
            data_key = bytes_of(operation, answer, "Plaintext")
            if len(data_key) != length:
                raise odd_answer(operation, f"a data key of {len(data_key)} bytes where {length} were asked for")
        else:
            data_key = materials.plaintext_data_key
            operation = "Encrypt"
            answer = self._call(operation, self._kms.encrypt, materials, Plaintext=data_key)
        arn = key_arn_of(operation, answer)
        return materials.with_data_key(
            data_key,
            EncryptedDataKey(PROVIDER_ID, arn.encode("utf-8"), bytes_of(operation, answer, "CiphertextBlob")),
        )

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that names this keyring's key.

        Raises:
            NoMatchingKeyError: none does, or KMS opened none of those that do; the failures hold KMS's answers.
        """

        def unwrap(key: EncryptedDataKey) -> bytes:
            named_key(key.provider_info)
            answer = self._call("Decrypt", self._kms.decrypt, materials, CiphertextBlob=key.ciphertext)
            if answer.get("KeyId") != self._key_id:
                raise odd_answer("Decrypt", f"the key {answer.get('KeyId')!r} where {self._key_id!r} was asked for")
            return bytes_of("Decrypt", answer, "Plaintext")

        mine = (key for key in encrypted_data_keys if key.provider_id == PROVIDER_ID and self._is_named(key))
        return unwrap_first(self, materials, mine, unwrap, otherwise=self._why_nothing_matches())

    def _call(
        self, operation: str, method: Any, materials: EncryptionMaterials | DecryptionMaterials, **parameters: Any
    ) -> Mapping[str, Any]:
        parameters["KeyId"] = self._key_id
        parameters["EncryptionContext"] = dict(materials.encryption_context)
        if self._grant_tokens:
            parameters["GrantTokens"] = list(self._grant_tokens)
        return call_kms(operation, method, **parameters)

    def _is_named(self, key: EncryptedDataKey) -> bool:
        # Malformed names pass, so that they are reported as the failures they are.
        info = key.provider_info
        return info == self._key_id.encode("utf-8") or not is_key_arn(info)

    def _why_nothing_matches(self) -> str:
        if self._key_id.startswith("arn:") and KmsArn.parse(self._key_id).resource_type == "key":
            return "none of the message's data keys is wrapped for this key"
        return "it names its key by an alias or a bare id; to decrypt, give the key's ARN"
