"""Wrapping under one symmetric key of a KMS (framework/aws-kms/aws-kms-keyring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.kms.answers import is_key_arn, named_key
from envelope_sdk.keyrings.kms.api import KmsApi
from envelope_sdk.keyrings.kms.arn import check_key_identifier
from envelope_sdk.keyrings.kms.data_keys import PROVIDER_ID, KmsDataKeys
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["PROVIDER_ID", "KmsKeyring", "name_in_messages", "why_nothing_matches"]


class KmsKeyring:
    """Makes and wraps data keys with a symmetric KMS key, bound to the encryption context."""

    __slots__ = ("_data_keys", "_key_id", "_name_in_messages")

    def __init__(self, kms: KmsApi, key_id: str, *, grant_tokens: Iterable[str] = ()) -> None:
        """Take a client and the key it is to use.

        Args:
            kms: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with their methods.
            key_id: a key ARN; to encrypt only, also an alias ARN, ``alias/NAME`` or a key id. Messages name the key's
                ARN, and decryption compares with it, so a keyring that decrypts needs the ARN.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

        Raises:
            UsageError: the identifier cannot name a key, or there are too many grant tokens.
            TypeError: the identifier is not text, the grant tokens are one text, or the client cannot be one.
        """
        self._key_id = check_key_identifier(key_id)
        self._name_in_messages = name_in_messages(key_id)
        self._data_keys = KmsDataKeys(kms, grant_tokens)

    def __repr__(self) -> str:
        return f"KmsKeyring({self._key_id!r})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Have KMS make the data key, or wrap the one that is there.

        Raises:
            KmsError: KMS refused or failed, or answered with something that is not what was asked for.
        """
        return self._data_keys.generate_or_wrap(self._key_id, materials)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that names this keyring's key.

        Raises:
            NoMatchingKeyError: none does, or KMS opened none of those that do; the failures hold KMS's answers.
        """
        return self._data_keys.unwrap_first(
            self, materials, encrypted_data_keys, self._choose, otherwise=why_nothing_matches(self._key_id)
        )

    def _choose(self, provider_info: bytes) -> str | None:
        if provider_info == self._name_in_messages:
            return self._key_id
        named_key(provider_info)
        return None


def name_in_messages(key_id: str) -> bytes | None:
    """Return the provider info of data keys wrapped for a valid key identifier; ``None`` where only KMS can tell."""
    info = key_id.encode("utf-8")
    return info if is_key_arn(info) else None


def why_nothing_matches(key_id: str) -> str:
    """Return what a keyring of this key says where a message names no key that it could try."""
    if name_in_messages(key_id) is not None:
        return "none of the message's data keys is wrapped for this key"
    return "it names its key by an alias or a bare id; to decrypt, give the key's ARN"
