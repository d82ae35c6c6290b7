"""The door to a key management service: the few boto3 KMS methods that keyrings call, and what their errors mean.

``boto3.client("kms")`` satisfies :class:`KmsApi`, and so does :class:`envelope_sdk.local_kms.LocalKms`. boto3 itself is
never imported here: its errors are told by what they carry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from envelope_sdk.errors import KmsAccessError, KmsError, KmsUnavailableError

__all__ = ["KmsApi", "call_kms"]


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


_TEMPORARY: Final = frozenset(
    {
        "DependencyTimeoutException",
        "InternalFailure",
        "InternalServerError",
        "KMSInternalException",
        "KeyUnavailableException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
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


def call_kms(operation: str, method: Callable[..., Mapping[str, Any]], **parameters: Any) -> Mapping[str, Any]:
    """Call one method of a :class:`KmsApi` and return what it returns.

    Raises:
        KmsUnavailableError: the service throttles, times out or cannot be reached, after the client's own retries.
        KmsAccessError: it refuses the caller or the key.
        KmsError: any other error of the service.
    """
    try:
        return method(**parameters)
    except Exception as error:
        translated = _translated(operation, error)
        if translated is None:
            raise
        raise translated from error


def _translated(operation: str, error: Exception) -> KmsError | None:
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
    error = response.get("Error", {})
    code = str(error.get("Code", "Unknown"))
    message = str(error.get("Message", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    kind = KmsError
    if code in _TEMPORARY or status >= 500 or status == 429:
        kind = KmsUnavailableError
    elif code in _REFUSED:
        kind = KmsAccessError
    return kind(
        f"KMS {operation} answered {code}" + (f": {message}" if message else ""), operation=operation, code=code
    )
