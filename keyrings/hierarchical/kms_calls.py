"""What a store of branch keys asks of the KMS (framework/branch-key-store.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from envelope_sdk.errors import AuthenticationError, KmsError
from envelope_sdk.keyrings.hierarchical.branch_keys import KEY_LENGTH
from envelope_sdk.keyrings.hierarchical.records import BRANCH_KEY_ID, SECTION, TYPE
from envelope_sdk.keyrings.kms.answers import bytes_of, odd_answer
from envelope_sdk.keyrings.kms.api import BranchKeyKmsApi, asked_for, call_kms, checked_grant_tokens

__all__ = ["BranchKeyKms"]

_NOT_AUTHENTIC: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


class BranchKeyKms:
    """A KMS client and the grant tokens to call it with."""

    __slots__ = ("_grant_tokens", "_kms")

    def __init__(self, kms: BranchKeyKmsApi, grant_tokens: Iterable[str]) -> None:
        """Take them.

        Raises:
            UsageError: there are too many grant tokens.
            TypeError: they are one text.
        """
        self._kms = kms
        self._grant_tokens = checked_grant_tokens(grant_tokens)

    def generate(self, key_arn: str, context: Mapping[str, str]) -> bytes:
        """Return a new wrapped key that nobody has seen, bound to ``context``.

        Raises:
            KmsError: the KMS refused or failed.
        """
        operation = "GenerateDataKeyWithoutPlaintext"
        answer = self._call(
            operation,
            self._kms.generate_data_key_without_plaintext,
            KeyId=key_arn,
            NumberOfBytes=KEY_LENGTH,
            EncryptionContext=dict(context),
        )
        _check_key(operation, answer, "KeyId", key_arn)
        return bytes_of(operation, answer, "CiphertextBlob")

    def rebind(self, key_arn: str, wrapped: bytes, before: Mapping[str, str], after: Mapping[str, str]) -> bytes:
        """Return the key in ``wrapped`` bound to another context; also tells whether it was bound to ``before``.

        Raises:
            AuthenticationError: it was not.
            KmsError: the KMS refused or failed.
        """
        operation = "ReEncrypt"
        with _authenticating(before):
            answer = self._call(
                operation,
                self._kms.re_encrypt,
                CiphertextBlob=wrapped,
                SourceKeyId=key_arn,
                SourceEncryptionContext=dict(before),
                DestinationKeyId=key_arn,
                DestinationEncryptionContext=dict(after),
            )
        _check_key(operation, answer, "SourceKeyId", key_arn)
        _check_key(operation, answer, "KeyId", key_arn)
        return bytes_of(operation, answer, "CiphertextBlob")

    def decrypt(self, key_arn: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the key in ``wrapped``, 32 bytes.

        Raises:
            AuthenticationError: it is not bound to ``context``.
            KmsError: the KMS refused or failed.
        """
        operation = "Decrypt"
        with _authenticating(context):
            answer = self._call(
                operation,
                self._kms.decrypt,
                CiphertextBlob=wrapped,
                KeyId=key_arn,
                EncryptionContext=dict(context),
            )
        _check_key(operation, answer, "KeyId", key_arn)
        key = bytes_of(operation, answer, "Plaintext")
        if len(key) != KEY_LENGTH:
            raise odd_answer(operation, f"a branch key of {len(key)} bytes, not {KEY_LENGTH}")
        return key

    def _call(self, operation: str, method: Any, **parameters: Any) -> Mapping[str, Any]:
        if self._grant_tokens:
            parameters["GrantTokens"] = list(self._grant_tokens)
        try:
            return call_kms(operation, method, **parameters)
        except KmsError as error:
            key_id = parameters.get("KeyId") or parameters["DestinationKeyId"]
            raise asked_for(error, key_id) from error.__cause__


class _authenticating:  # noqa: N801 - read as a verb
    """Tells a record that was altered from a KMS that failed."""

    __slots__ = ("_context",)

    def __init__(self, context: Mapping[str, str]) -> None:
        self._context = context

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KmsError) and error.code in _NOT_AUTHENTIC:
            raise AuthenticationError(
                f"the record {self._context[TYPE]!r} of branch key {self._context[BRANCH_KEY_ID]!r} does not "
                "authenticate: it was altered, or made under another logical name of the store",
                section=SECTION,
            ) from error


def _check_key(operation: str, answer: Mapping[str, Any], field: str, key_arn: str) -> None:
    if answer.get(field) != key_arn:
        raise odd_answer(operation, f"the key {answer.get(field)!r} where {key_arn!r} was asked for")
