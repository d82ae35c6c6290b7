"""The door to a key management service: the few boto3 KMS methods that keyrings call, and what their errors mean.

``boto3.client("kms")`` satisfies :class:`KmsApi`, and so does :class:`envelope_sdk.local_kms.LocalKms`. boto3 itself is
never imported here: its errors are told by what they carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from envelope_sdk.errors import KmsAccessError, KmsError, KmsPacingError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings.kms.answers import odd_answer
from envelope_sdk.keyrings.kms.calls import note_call, take_back_call

__all__ = [
    "BranchKeyKmsApi",
    "EcdhKmsApi",
    "KmsApi",
    "RsaKmsApi",
    "asked_for",
    "call_kms",
    "call_service",
    "checked_grant_tokens",
    "kms_error",
]


class KmsApi(Protocol):
    """What a keyring needs of a KMS client. Calls may come from several threads at once, as boto3 clients allow."""

    def generate_data_key(
        self,
        *,
        KeyId: str,  # noqa: N803
        NumberOfBytes: int = ...,  # noqa: N803
        EncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``Plaintext``, ``CiphertextBlob`` and ``KeyId`` (API_GenerateDataKey)."""
        ...

    def encrypt(
        self,
        *,
        KeyId: str,  # noqa: N803
        Plaintext: bytes,  # noqa: N803
        EncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``CiphertextBlob`` and ``KeyId`` (API_Encrypt)."""
        ...

    def decrypt(
        self,
        *,
        CiphertextBlob: bytes,  # noqa: N803
        KeyId: str = ...,  # noqa: N803
        EncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``Plaintext`` and ``KeyId`` (API_Decrypt)."""
        ...


class RsaKmsApi(Protocol):
    """What a keyring over an asymmetric RSA key of a KMS needs."""

    def decrypt(
        self,
        *,
        CiphertextBlob: bytes,  # noqa: N803
        KeyId: str = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
        EncryptionAlgorithm: Any = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``Plaintext``, ``KeyId`` and ``EncryptionAlgorithm`` (API_Decrypt)."""
        ...


class EcdhKmsApi(Protocol):
    """What a keyring over a key agreement key of a KMS needs."""

    def derive_shared_secret(
        self,
        *,
        KeyId: str,  # noqa: N803
        KeyAgreementAlgorithm: Any,  # noqa: N803
        PublicKey: bytes,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``SharedSecret`` and ``KeyId`` (API_DeriveSharedSecret)."""
        ...

    def get_public_key(
        self,
        *,
        KeyId: str,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``PublicKey``, in DER, and what the key is for (API_GetPublicKey)."""
        ...


class BranchKeyKmsApi(Protocol):
    """What a store of branch keys needs: keys made and moved without being seen, and opened when they are used."""

    def generate_data_key_without_plaintext(
        self,
        *,
        KeyId: str,  # noqa: N803
        NumberOfBytes: int = ...,  # noqa: N803
        EncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``CiphertextBlob`` and ``KeyId`` (API_GenerateDataKeyWithoutPlaintext)."""
        ...

    def re_encrypt(
        self,
        *,
        CiphertextBlob: bytes,  # noqa: N803
        DestinationKeyId: str,  # noqa: N803
        SourceKeyId: str = ...,  # noqa: N803
        SourceEncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        DestinationEncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``CiphertextBlob``, ``SourceKeyId`` and ``KeyId`` (API_ReEncrypt)."""
        ...

    def decrypt(
        self,
        *,
        CiphertextBlob: bytes,  # noqa: N803
        KeyId: str = ...,  # noqa: N803
        EncryptionContext: Mapping[str, str] = ...,  # noqa: N803
        GrantTokens: Sequence[str] = ...,  # noqa: N803
    ) -> Mapping[str, Any]:
        """Return ``Plaintext`` and ``KeyId`` (API_Decrypt)."""
        ...


_MAX_GRANT_TOKENS: Final = 10
_MAX_GRANT_TOKEN_LENGTH: Final = 8192


def checked_grant_tokens(grant_tokens: Iterable[str]) -> tuple[str, ...]:
    """Return grant tokens as they are passed on with every call.

    Raises:
        UsageError: they are more than 10, or one does not have 1 to 8,192 characters.
        TypeError: they are one text, or one of them is not text.
    """
    if isinstance(grant_tokens, str):
        raise TypeError("grant_tokens is a collection of tokens, not one text")
    tokens = tuple(grant_tokens)
    if len(tokens) > _MAX_GRANT_TOKENS:
        raise UsageError(f"KMS takes at most {_MAX_GRANT_TOKENS} grant tokens, not {len(tokens)}")
    for token in tokens:
        if not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
            raise TypeError(f"a grant token is text, not {type(token).__name__}")
        if not 1 <= len(token) <= _MAX_GRANT_TOKEN_LENGTH:
            raise UsageError(f"a grant token has 1 to {_MAX_GRANT_TOKEN_LENGTH} characters, not {len(token)}")
    return tokens


_THROTTLED: Final = frozenset(
    {
        "RequestLimitExceeded",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_TEMPORARY: Final = _THROTTLED | {
    "DependencyTimeoutException",
    "InternalFailure",
    "InternalServerError",
    "KMSInternalException",
    "KeyUnavailableException",
    "PriorRequestNotComplete",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
}
_WHEN_THROTTLED: Final = (
    "KMS throttles: cache data keys (CachingMaterialsManager, or --cache-seconds), call less often (Pacer, or "
    "max-calls-per-second= in the key's URI), or have the quota raised"
)
_WHEN_PACED: Final = (
    "the pacer of this program is at its limit: cache data keys (CachingMaterialsManager, or --cache-seconds), let "
    "calls wait for longer (max_wait_seconds, or max-wait= in the key's URI), or raise its rate as far as the quota "
    "goes"
)
_REFUSED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "DisabledException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidGrantTokenException",
        "InvalidSignatureException",
        "KMSInvalidStateException",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "NotFoundException",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
_CREDENTIAL_TROUBLE: Final = frozenset(
    {
        "CredentialRetrievalError",
        "LoginError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "SSOError",
        "TokenRetrievalError",
    }
)
_CONNECTION_TROUBLE: Final = frozenset({"ConnectionError", "HTTPClientError", "IncompleteReadError"})


def call_kms(
    operation: str, method: Callable[..., Mapping[str, Any]], price: str | None = None, /, **parameters: Any
) -> Mapping[str, Any]:
    """Call one method of a :class:`KmsApi`, have it counted, and return what it returns.

    Args:
        operation: its name.
        method: the client's.
        price: its class of price, where the operation alone does not tell.
        parameters: what the method is called with.

    Raises:
        KmsUnavailableError, KmsAccessError, KmsError: as :func:`call_service` raises them.
        KmsPacingError: a pacer let the call not through, which then does not count as one.
    """
    note_call(operation, price)
    try:
        return call_service(operation, method, **parameters)
    except KmsPacingError as error:
        take_back_call(operation, price)
        error.add_note(_WHEN_PACED)
        raise


def call_service(operation: str, method: Callable[..., Mapping[str, Any]], /, **parameters: Any) -> Mapping[str, Any]:
    """Call one method of a client like boto3's and return what it returns. It is not counted as a call of KMS.

    Raises:
        KmsUnavailableError: the service throttles, times out or cannot be reached, after the client's own retries. A
            note says what helps against throttling.
        KmsAccessError: it refuses the caller or the key.
        KmsError: any other error of the service, or an answer that is none.
    """
    try:
        answer = method(**parameters)
    except Exception as error:
        translated = kms_error(operation, error)
        if translated is None:
            raise
        if translated.code in _THROTTLED:
            translated.add_note(_WHEN_THROTTLED)
        raise translated from error
    if not isinstance(answer, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - asynchronous clients' are none
        raise odd_answer(operation, f"a {type(answer).__name__}, where clients like boto3's answer with a dict")
    return answer


def asked_for(error: KmsError, key_id: str) -> KmsError:
    """Return the same error, with the key that KMS was asked for."""
    return error.reworded(f"{error} (asked for {key_id})")


def kms_error(operation: str, error: Exception) -> KmsError | None:
    """Return what an exception of a KMS client, or of the network, means; ``None`` where it is neither's."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return _from_response(operation, cast("dict[str, Any]", response))
    code = type(error).__name__
    text = f"KMS {operation} failed: {error}"
    # The classes have grown in number from version to version, so they are told by their names.
    lineage = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "botocore.exceptions"}
    if lineage & _CREDENTIAL_TROUBLE:
        return KmsAccessError(text, operation=operation, code=code)
    if lineage & _CONNECTION_TROUBLE:
        return KmsUnavailableError(text, operation=operation, code=code)
    if lineage:
        return KmsError(text, operation=operation, code=code)
    if isinstance(error, OSError):
        return KmsUnavailableError(text, operation=operation, code=code)
    return None


def _from_response(operation: str, response: Mapping[str, Any]) -> KmsError:
    error = _part(response, "Error")
    code = str(error.get("Code", "Unknown"))
    message = str(error.get("Message", ""))
    metadata = _part(response, "ResponseMetadata")
    status = metadata.get("HTTPStatusCode")
    failed = isinstance(status, int) and (status >= 500 or status == 429)
    request_id, repeated = metadata.get("RequestId"), metadata.get("RetryAttempts")
    kind = KmsError
    if code in _TEMPORARY or failed:
        kind = KmsUnavailableError
    elif code in _REFUSED:
        kind = KmsAccessError
    text = f"KMS {operation} answered {code}" + (f": {message}" if message else "")
    details = [f"request {request_id}"] if request_id else []
    if isinstance(repeated, int) and repeated > 0:
        details.append(f"after {repeated + 1} attempts")
    if details:
        text += f" ({', '.join(details)})"
    return kind(text, operation=operation, code=code, request_id=request_id or None)


def _part(response: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    # Other clients' errors may carry a response too, of whatever shape.
    part: Any = response.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}
