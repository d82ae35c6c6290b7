"""From a request's bytes to an answer's: KMS and STS, without sockets; for the server and for boto3 in process.

A request is admitted first (who, where, which operation, which parameters) and done afterwards, which may take a
thread: see :data:`QUICK`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults, sts, wire
from envelope_sdk.local_kms.authentication import Authentication
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.canonical import SignedRequest
from envelope_sdk.local_kms.service import OPERATIONS, Service

__all__ = ["QUICK", "Admitted", "Gateway", "Peer", "Response"]

QUICK: Final = frozenset(
    {
        *("Decapsulate", "Decrypt", "DeriveSharedSecret", "DescribeKey", "Encapsulate", "Encrypt", "GenerateDataKey"),
        *("GenerateDataKeyWithoutPlaintext", "GenerateMac", "GenerateRandom", "GetKeyPolicy", "GetKeyRotationStatus"),
        *("GetPublicKey", "ListAliases", "ListGrants", "ListKeyPolicies", "ListKeyRotations", "ListKeys"),
        *("ListResourceTags", "ListRetirableGrants", "ReEncrypt", "Sign", "Verify", "VerifyMac"),
    }
)
"""Operations that take some microseconds, or a few milliseconds with large RSA keys, and wait for nobody.

The others write to the store, which waits for the disk and for other processes, or make key pairs.
"""

_UNCACHED: Final = (
    (b"cache-control", b"no-cache, no-store, must-revalidate, private"),
    (b"expires", b"0"),
    (b"pragma", b"no-cache"),
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a request comes from.

    Attributes:
        address: the IP address; ``None`` within a process.
        secure: whether by TLS, or not by a network at all.
    """

    address: str | None = None
    secure: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it goes out.

    Attributes:
        status: of HTTP.
        headers: names in lower case; the length is not among them.
        body: the whole of it.
        outcome: ``ok``, or the error's code.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    outcome: str = "ok"


@dataclass(slots=True)
class Admitted:
    """A request whose caller is known, or that has been refused already.

    Attributes:
        request_id: as the answer names it.
        operation: its name where there is such an operation, and otherwise ``-``.
        requester: who; ``None`` where nobody knows.
        perform: returns the answer; raises nothing.
        quick: whether that is a matter of microseconds.
    """

    request_id: str
    operation: str
    requester: Requester | None
    perform: Callable[[], Response]
    quick: bool = True


def _nobody_told(request_id: str, error: Exception) -> None:
    """Forget what went wrong within."""


class Gateway:
    """KMS, and what of STS belongs to it, over one service."""

    def __init__(
        self,
        service: Service,
        authentication: Authentication,
        *,
        failed: Callable[[str, Exception], None] = _nobody_told,
        quick: bool = True,
    ) -> None:
        """Take the service, who may use it, and who is told of failures that callers learn nothing of.

        Args:
            service: does the work.
            authentication: tells who calls.
            failed: called with a request id and the exception that was answered by ``KMSInternalException``.
            quick: whether any call is a matter of microseconds; not so where each waits for a disk.
        """
        self._service = service
        self._authentication = authentication
        self._failed = failed
        self._quick = QUICK if quick else frozenset[str]()

    def admit(self, request: SignedRequest, peer: Peer) -> Admitted:
        """Return ``request`` with what is known of it. Raises nothing: a refusal is an answer too."""
        request_id = str(uuid.uuid4())
        if _is_for_sts(request):
            return self._admit_sts(request, peer, request_id)
        operation, requester = "-", None
        try:
            named = wire.operation_of(request.header(b"x-amz-target"), request.header(b"content-type"))
            requester = self._requester(request, peer, "kms", request_id)
            operation = named if named in OPERATIONS else "-"
            parameters = wire.read_parameters(named, request.body)
        except KmsServiceError as error:
            refusal = _refusal(error, request_id)
            return Admitted(request_id, operation, requester, lambda: refusal)
        except Exception as error:  # noqa: BLE001 - credentials may come from a store
            failure = self._failure(error, request_id)
            return Admitted(request_id, operation, requester, lambda: failure)
        called = requester
        return Admitted(
            request_id, operation, requester, lambda: self._call(named, parameters, called), operation in self._quick
        )

    def _requester(self, request: SignedRequest, peer: Peer, service: str, request_id: str) -> Requester:
        scope, caller = self._authentication.identify(request, service)
        user_agent = request.header(b"user-agent") or ""
        return Requester(scope, caller, request_id, peer.address, user_agent, peer.secure)

    def _call(self, operation: str, parameters: dict[str, object], requester: Requester) -> Response:
        try:
            body = wire.write_answer(self._service.call(operation, parameters, requester))
        except KmsServiceError as error:
            return _refusal(error, requester.request_id)
        except Exception as error:  # noqa: BLE001 - a server answers, whatever happens
            return self._failure(error, requester.request_id)
        return Response(200, _headers(requester.request_id, wire.CONTENT_TYPE), body)

    def _admit_sts(self, request: SignedRequest, peer: Peer, request_id: str) -> Admitted:
        requester = None
        try:
            requester = self._requester(request, peer, "sts", request_id)
            sts.action_of(request.query if request.method == "GET" else request.body)
        except Exception as error:  # noqa: BLE001 - as above
            known = error if isinstance(error, KmsServiceError) else self._told(error, request_id)
            refusal = _sts_refusal(sts.as_sts_error(known), request_id)
            return Admitted(request_id, "GetCallerIdentity", requester, lambda: refusal)
        body = sts.write_identity(requester.caller, request_id)
        answer = Response(200, _headers(request_id, sts.CONTENT_TYPE), body)
        return Admitted(request_id, "GetCallerIdentity", requester, lambda: answer)

    def _failure(self, error: Exception, request_id: str) -> Response:
        return _refusal(self._told(error, request_id), request_id)

    def _told(self, error: Exception, request_id: str) -> KmsServiceError:
        self._failed(request_id, error)
        return faults.internal()


def _is_for_sts(request: SignedRequest) -> bool:
    if request.method == "GET":
        return True
    kind = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    return kind == sts.FORM and request.header(b"x-amz-target") is None


def _headers(request_id: str, content_type: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-amzn-requestid", request_id.encode("ascii")),
        (b"content-type", content_type.encode("ascii")),
        *_UNCACHED,
    )


def _refusal(error: KmsServiceError, request_id: str) -> Response:
    kind = (b"x-amzn-errortype", error.code.encode("ascii"))
    headers = (*_headers(request_id, wire.CONTENT_TYPE), kind)
    return Response(error.status, headers, wire.write_error(error), error.code)


def _sts_refusal(error: KmsServiceError, request_id: str) -> Response:
    headers = _headers(request_id, sts.CONTENT_TYPE)
    return Response(error.status, headers, sts.write_error(error, request_id), error.code)
