"""Every exception this package raises, in one tree, cut by what the caller does next.

::

    EnvelopeError
    ├── UsageError (also ValueError)        the call is wrong: correct the code or the arguments
    │   └── EncryptionContextError          the encryption context cannot be used: reserved, too long, incomplete
    ├── MessageError                        the bytes are not a message of this format: get an intact copy
    │   ├── TruncatedMessageError           the message ends early
    │   ├── TrailingDataError               bytes follow the end of the message
    │   └── UnsupportedMessageError         a version, algorithm suite or content type this package does not know
    ├── AuthenticationError                 the message was altered, or was not made with this key: do not trust it
    │   ├── CommitmentError                 the data key is not the one the message commits to
    │   └── SignatureError                  the message's signature does not hold
    ├── NoMatchingKeyError                  no key at hand opens the message: supply the right key
    ├── PolicyError                         this client's settings refuse the message: change the policy or the message
    │   ├── CommitmentPolicyError           the commitment policy forbids the algorithm suite
    │   ├── LimitExceededError              a bound of ``Limits`` is exceeded
    │   ├── ContextMismatchError            the encryption context is not the one the caller requires
    │   └── SignedStreamError               streaming would release plaintext before the signature is checked
    ├── KeyringError                        a keyring cannot make or wrap a data key
    ├── KmsError                            a key management service refused or failed: see ``retryable`` and ``code``
    │   ├── KmsAccessError                  it refused: permissions, or the key's state
    │   └── KmsUnavailableError             it throttles, times out or cannot be reached: try again later
    │       ├── LoadTimeoutError            too many wait for it already: this call gave up waiting; try again later
    │       └── KmsPacingError              a pacer in this program let no call through: nothing was sent
    ├── StreamError                         a stream was left unfinished, or used after it failed
    ├── WorkerLostError                     a worker ended in the middle of an item of a bulk run: run the rest again
    ├── JournalError                        a bulk run's journal is damaged, of another run, or in use
    └── LocalKmsError                       the bundled local KMS
        ├── KmsServiceError                 one of AWS KMS's own errors, with its name, text and boto3's ``response``
        └── KeyStoreError                   its file or root key cannot be used

Operating-system errors (a full disk, an unreadable file) stay :class:`OSError`. Arguments of the wrong type raise
:class:`TypeError`. Streams raise :class:`ValueError` where they are closed and, like :func:`open`, :class:`LookupError`
or :class:`ValueError` for what a text encoding refuses. What S3 answers under an ``EncryptedS3`` stays botocore's.
Nothing else leaves this package, and no message ever holds key bytes or plaintext.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeVar

__all__ = [
    "AuthenticationError",
    "CommitmentError",
    "CommitmentPolicyError",
    "ContextMismatchError",
    "EncryptionContextError",
    "EnvelopeError",
    "JournalError",
    "KeyStoreError",
    "KeyringError",
    "KmsAccessError",
    "KmsError",
    "KmsPacingError",
    "KmsServiceError",
    "KmsUnavailableError",
    "LimitExceededError",
    "LoadTimeoutError",
    "LocalKmsError",
    "MessageError",
    "NoMatchingKeyError",
    "PolicyError",
    "SignatureError",
    "SignedStreamError",
    "StreamError",
    "TrailingDataError",
    "TruncatedMessageError",
    "UnsupportedMessageError",
    "UnwrapFailure",
    "UsageError",
    "WorkerLostError",
]


class EnvelopeError(Exception):
    """The root of the tree. Never raised itself."""


# --- the call is wrong -----------------------------------------------------------------------------------------------


class UsageError(EnvelopeError, ValueError):
    """An argument has a value that can never work."""


class EncryptionContextError(UsageError):
    """The caller's encryption context cannot be used: a reserved key, too long, not text, or without a required key."""


# --- the bytes are wrong ---------------------------------------------------------------------------------------------


class MessageError(EnvelopeError):
    """The bytes are not a well-formed message.

    Attributes:
        section: the part of the message that is wrong, for instance ``"header"`` or ``"frame 7"``.
        offset: where that is, in bytes from the start of the message; ``None`` where it is not known.
    """

    def __init__(self, message: str, *, section: str, offset: int | None = None) -> None:
        where = section if offset is None else f"{section}, byte {offset}"
        super().__init__(f"{message} ({where})")
        self.reason = message
        self.section = section
        self.offset = offset

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_message_error, (type(self), self.reason, self.section, self.offset))


def _rebuild_message_error(kind: type[MessageError], reason: str, section: str, offset: int | None) -> MessageError:
    return kind(reason, section=section, offset=offset)


class TruncatedMessageError(MessageError):
    """The message ends before its last byte. Nothing that follows the last whole frame was released."""


class TrailingDataError(MessageError):
    """Bytes follow the end of the message."""


class UnsupportedMessageError(MessageError):
    """A version, type, algorithm suite or content type that the message format does not have."""


# --- the message is not authentic ------------------------------------------------------------------------------------


class AuthenticationError(EnvelopeError):
    """An authentication tag does not fit: altered bytes, or another key.

    Attributes:
        section: the part that failed, for instance ``"header"`` or ``"frame 7"``.
    """

    def __init__(self, message: str, *, section: str) -> None:
        super().__init__(message)
        self.section = section

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_authentication_error, (type(self), str(self), self.section))


def _rebuild_authentication_error(kind: type[AuthenticationError], text: str, section: str) -> AuthenticationError:
    return kind(text, section=section)


class CommitmentError(AuthenticationError):
    """The data key is not the one the message commits to, so the message could mean two things to two readers."""


class SignatureError(AuthenticationError):
    """The signature is missing, altered, or of another key."""


# --- no key fits -----------------------------------------------------------------------------------------------------


class UnwrapFailure:
    """One attempt to open one encrypted data key.

    It keeps the error without its traceback: frames would keep keys and buffers alive for as long as it lives, and
    longer, since it is among their variables.

    Attributes:
        keyring: the keyring's description of itself (never a secret).
        provider_id: the key provider id of the encrypted data key, as text; ``None`` where no key was tried.
        error: what went wrong.
    """

    __slots__ = ("error", "keyring", "provider_id")

    def __init__(self, keyring: str, provider_id: str | None, error: Exception) -> None:
        self.keyring = keyring
        self.provider_id = provider_id
        self.error = _without_frames(error)

    def __str__(self) -> str:
        tried = "" if self.provider_id is None else f" on a data key of {self.provider_id!r}"
        return f"{self.keyring}{tried}: {self.error}"

    def __repr__(self) -> str:
        return f"UnwrapFailure({str(self)!r})"


def _without_frames(error: Exception) -> Exception:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        if link.__suppress_context__:
            link.__context__ = None
        # Not along __context__: it may lead to an exception of the caller's.
        link = link.__cause__
    return error


class NoMatchingKeyError(EnvelopeError):
    """No keyring could open any of the message's encrypted data keys.

    Attributes:
        failures: one entry for each keyring and encrypted data key tried, in order.
    """

    def __init__(self, message: str, failures: Sequence[UnwrapFailure] = ()) -> None:
        super().__init__("; ".join([message, *(str(failure) for failure in failures)]))
        self.reason = message
        self.failures = tuple(failures)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.reason, self.failures))


# --- policy says no --------------------------------------------------------------------------------------------------


class PolicyError(EnvelopeError):
    """The message may be intact, but the client's settings refuse it."""


class CommitmentPolicyError(PolicyError):
    """The commitment policy forbids this algorithm suite."""


class LimitExceededError(PolicyError):
    """A bound of :class:`envelope_sdk.policy.Limits` is exceeded.

    Attributes:
        limit: the name of the field of ``Limits``.
    """

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_limit_error, (str(self), self.limit))


def _rebuild_limit_error(text: str, limit: str) -> LimitExceededError:
    return LimitExceededError(text, limit=limit)


class ContextMismatchError(PolicyError):
    """The message's encryption context lacks a required key or holds another value for it."""


class SignedStreamError(PolicyError):
    """A signed message would be released piece by piece, before its signature is checked."""


# --- wrapping and services -------------------------------------------------------------------------------------------


class KeyringError(EnvelopeError):
    """A keyring cannot generate or wrap a data key with what it was given."""


class KmsError(EnvelopeError):
    """A key management service refused or failed.

    Attributes:
        operation: the API operation, for instance ``"Decrypt"``.
        code: the service's error code, for instance ``"AccessDeniedException"``; the exception's name where the
            service gave none.
        request_id: what the service's operator finds the request by; ``None`` where the service gave none.
        retryable: whether the same call may succeed later without anybody changing anything.
    """

    retryable = False

    def __init__(self, message: str, *, operation: str, code: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.operation = operation
        self.code = code
        self.request_id = request_id

    def reworded(self, message: str) -> Self:
        """Return the same error with another text, with its notes."""
        error = _rebuild_kms_error(type(self), message, self.operation, self.code, self.request_id)
        for note in getattr(self, "__notes__", ()):
            error.add_note(note)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        whole = (_rebuild_kms_error, (type(self), str(self), self.operation, self.code, self.request_id))
        notes = getattr(self, "__notes__", None)
        return (*whole, {"__notes__": list(notes)}) if notes else whole


K = TypeVar("K", bound=KmsError)


def _rebuild_kms_error(kind: type[K], text: str, operation: str, code: str, request_id: str | None = None) -> K:
    return kind(text, operation=operation, code=code, request_id=request_id)


class KmsAccessError(KmsError):
    """The service refuses this caller or this key: no permission, disabled, pending deletion, not found."""


class KmsUnavailableError(KmsError):
    """The service throttles, timed out or cannot be reached."""

    retryable = True


class LoadTimeoutError(KmsUnavailableError):
    """A cache has nothing to lend: what others load did not arrive, or too many of them load, for too long a time.

    ``operation`` is ``"Load"`` and ``code`` is ``"WaitLimitExceeded"``: no service was asked on this caller's behalf.
    """


class KmsPacingError(KmsUnavailableError):
    """A pacer in this program let a call not through, which would have waited for too long. Nothing was sent.

    It ends a decryption at once: other keys that may open the message are not tried in its place.
    """

    def __init__(
        self, message: str, *, operation: str, code: str = "KmsPacingError", request_id: str | None = None
    ) -> None:
        super().__init__(message, operation=operation, code=code, request_id=request_id)


# --- streams ---------------------------------------------------------------------------------------------------------


class StreamError(EnvelopeError):
    """A stream was left before its end, or used again after it had failed."""


# --- bulk runs -------------------------------------------------------------------------------------------------------


class WorkerLostError(EnvelopeError):
    """A worker ended before it had told how an item went. The item's target is whole or not there."""


class JournalError(EnvelopeError):
    """The journal of a bulk run cannot be used: damaged, no journal, of another plan, or in use by another run."""


# --- the bundled local KMS -------------------------------------------------------------------------------------------


class LocalKmsError(EnvelopeError):
    """The root of the bundled local KMS's errors. Never raised itself."""


class KmsServiceError(LocalKmsError):
    """An error that AWS KMS documents, raised by the local KMS in the same place with the same name and text.

    It carries what ``botocore.exceptions.ClientError`` carries, so code written for boto3 reads it unchanged.

    Attributes:
        code: the error's name, for instance ``"NotFoundException"``.
        operation_name: the API operation.
        response: ``{"Error": {"Code": ..., "Message": ...}, "ResponseMetadata": {...}}``.
    """

    def __init__(self, code: str, message: str, *, operation: str = "", status: int = 400) -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation} operation: {message}")
        self.code = code
        self.message = message
        self.operation_name = operation
        self.status = status
        self.response: dict[str, Any] = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_service_error, (self.code, self.message, self.operation_name, self.status))


def _rebuild_service_error(code: str, message: str, operation: str, status: int) -> KmsServiceError:
    return KmsServiceError(code, message, operation=operation, status=status)


class KeyStoreError(LocalKmsError):
    """The local KMS's file cannot be used: damaged, of another version, unwritable, or its root key does not fit."""
