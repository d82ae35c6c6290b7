"""Data keys made, wrapped and unwrapped by symmetric keys of a KMS: the calls that all keyrings over them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from envelope_sdk.errors import KmsError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
from envelope_sdk.keyrings.kms.answers import bytes_of, key_arn_of, odd_answer
from envelope_sdk.keyrings.kms.api import KmsApi, asked_for, call_kms, checked_grant_tokens
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["PROVIDER_ID", "Chooser", "KmsDataKeys"]

PROVIDER_ID: Final = "aws-kms"
"""The key provider id of data keys that a KMS wrapped."""

Chooser = Callable[[bytes], str | None]
"""Takes the provider info of a data key, and returns the key id to open it with; ``None`` leaves it to other keyrings.

Raises :class:`UsageError` where the provider info is no key ARN, as
:func:`~envelope_sdk.keyrings.kms.answers.named_key` does.
"""


class KmsDataKeys:
    """One KMS client, asked for data keys. Every call binds the encryption context and carries the grant tokens."""

    __slots__ = ("_grant_tokens", "_kms")

    def __init__(self, kms: KmsApi, grant_tokens: Iterable[str]) -> None:
        """Take the client and what goes with every call.

        Raises:
            UsageError: there are too many grant tokens, or one of a wrong length.
            TypeError: the client cannot be one, or the grant tokens are one text.
        """
        # A client that can only do half of it will do for who needs only that.
        if not any(callable(getattr(kms, method, None)) for method in ("decrypt", "generate_data_key", "encrypt")):
            raise TypeError(f"a KMS client is an object with boto3's methods, not {type(kms).__name__}")
        self._kms = kms
        self._grant_tokens = checked_grant_tokens(grant_tokens)

    def generate_or_wrap(self, key_id: str, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Return ``materials`` with a data key wrapped under ``key_id``: a new one, where they have none.

        Raises:
            KmsError: KMS refused or failed, or answered with something that is not what was asked for.
        """
        length = materials.algorithm_suite.key_length
        if materials.plaintext_data_key is None:
            operation = "GenerateDataKey"
            answer = self._told_call(operation, self._kms.generate_data_key, key_id, materials, NumberOfBytes=length)
            data_key = bytes_of(operation, answer, "Plaintext")
            if len(data_key) != length:
                raise odd_answer(operation, f"a data key of {len(data_key)} bytes where {length} were asked for")
        else:
            data_key = materials.plaintext_data_key
            operation = "Encrypt"
            answer = self._told_call(operation, self._kms.encrypt, key_id, materials, Plaintext=data_key)
        arn = key_arn_of(operation, answer)
        wrapped = bytes_of(operation, answer, "CiphertextBlob")
        if not wrapped:
            raise odd_answer(operation, "an empty CiphertextBlob, which no key opens")
        return materials.with_data_key(data_key, EncryptedDataKey(PROVIDER_ID, arn.encode("utf-8"), wrapped))

    def unwrap_first(
        self,
        keyring: object,
        materials: DecryptionMaterials,
        encrypted_data_keys: Sequence[EncryptedDataKey],
        choose: Chooser,
        *,
        otherwise: str,
        tell_key: bool = False,
    ) -> DecryptionMaterials:
        """Return ``materials`` with the first data key that KMS opens.

        Args:
            keyring: asked for its repr where something fails.
            materials: without a data key.
            encrypted_data_keys: the message's. Those of a KMS whose key is not named by a key ARN are failures.
            choose: says which of them to try, and with which key. Asked twice for those that are tried.
            otherwise: what to say where there is nothing to try.
            tell_key: whether failures say which key was asked for, because the keyring's repr does not.

        Raises:
            NoMatchingKeyError: none opened; it has every failure.
            UsageError: the materials already hold a data key.
        """

        def unwrap(key: EncryptedDataKey) -> bytes:
            # Malformed names fail here, one by one.
            key_id = choose(key.provider_info)
            assert key_id is not None
            try:
                return self._unwrap(key_id, materials, key)
            except KmsError as error:
                if not tell_key:
                    raise
                raise asked_for(error, key_id) from error.__cause__

        mine = _candidates(encrypted_data_keys, choose)
        return unwrap_first(keyring, materials, mine, unwrap, otherwise=otherwise)

    def _unwrap(self, key_id: str, materials: DecryptionMaterials, key: EncryptedDataKey) -> bytes:
        answer = self._call("Decrypt", self._kms.decrypt, key_id, materials, CiphertextBlob=key.ciphertext)
        if answer.get("KeyId") != key_id:
            raise odd_answer("Decrypt", f"the key {answer.get('KeyId')!r} where {key_id!r} was asked for")
        return bytes_of("Decrypt", answer, "Plaintext")

    def _told_call(
        self,
        operation: str,
        method: Callable[..., Mapping[str, Any]],
        key_id: str,
        materials: EncryptionMaterials,
        **parameters: Any,
    ) -> Mapping[str, Any]:
        try:
            return self._call(operation, method, key_id, materials, **parameters)
        except KmsError as error:
            raise asked_for(error, key_id) from error.__cause__

    def _call(
        self,
        operation: str,
        method: Callable[..., Mapping[str, Any]],
        key_id: str,
        materials: EncryptionMaterials | DecryptionMaterials,
        **parameters: Any,
    ) -> Mapping[str, Any]:
        parameters["KeyId"] = key_id
        parameters["EncryptionContext"] = dict(materials.encryption_context)
        if self._grant_tokens:
            parameters["GrantTokens"] = list(self._grant_tokens)
        return call_kms(operation, method, **parameters)


def _candidates(encrypted_data_keys: Iterable[EncryptedDataKey], choose: Chooser) -> Iterator[EncryptedDataKey]:
    for key in encrypted_data_keys:
        if key.provider_id != PROVIDER_ID:
            continue
        try:
            mine = choose(key.provider_info) is not None
        except UsageError:
            # Malformed names pass, so that they are reported as the failures they are.
            mine = True
        if mine:
            yield key
