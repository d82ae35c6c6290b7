"""Real boto3 clients whose requests are answered in this process, without a socket.

botocore lets a handler answer in place of the network just before a request is sent. So parameters are validated,
serialized and signed, errors are parsed and retried, and paginators and waiters work as against AWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.canonical import SignedRequest
from envelope_sdk.local_kms.gateway import Gateway, Peer

__all__ = ["Door", "boto3_client"]

_SERVICES: Final = ("kms", "sts")


class Door:
    """Answers what botocore is about to send."""

    def __init__(self, gateway: Gateway) -> None:
        """Take what answers."""
        self._gateway = gateway

    def __call__(self, request: Any, **_: object) -> Any:
        """Return the answer to a prepared request, as botocore's event ``before-send`` wants it."""
        from botocore.awsrequest import AWSResponse

        admitted = self._gateway.admit(_as_received(request), Peer())
        response = admitted.perform()
        headers: Any = {name.decode("ascii"): value.decode("ascii") for name, value in response.headers}
        return AWSResponse(request.url, response.status, headers, _Body(response.body))

    def bind(self, client: Any) -> None:
        """Have all of a client's requests answered here."""
        for service in _SERVICES:
            client.meta.events.register(f"before-send.{service}", self)


class _Body:
    """The body of an answer, as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._content


def boto3_client(gateway: Gateway, account: str, region: str, service: str = "kms", **options: Any) -> Any:
    """Return a boto3 client that is answered by ``gateway``.

    Args:
        gateway: it.
        account: twelve digits, which stand in place of an access key id unless ``options`` have one.
        region: the Region.
        service: ``kms`` or ``sts``.
        options: for ``boto3.Session.client``.

    Raises:
        UsageError: another service.
    """
    import boto3

    if service not in _SERVICES:
        raise UsageError(f"the local KMS answers for kms and sts, not for {service}")
    session: Any = boto3.Session(region_name=region)
    credentials = {"aws_access_key_id": account, "aws_secret_access_key": "local"}
    client = session.client(service, **(credentials | options))
    Door(gateway).bind(client)
    return client


def _as_received(request: Any) -> SignedRequest:
    parts = urlsplit(str(request.url))
    fields = [(name.lower().encode("ascii"), _bytes(value)) for name, value in request.headers.items()]
    if not any(name == b"host" for name, _ in fields):
        # Added by whatever sends it, and signed as such.
        fields.append((b"host", parts.netloc.encode("ascii")))
    body = request.body or b""
    return SignedRequest(
        request.method, parts.path.encode("ascii") or b"/", parts.query.encode("ascii"), fields, _bytes(body)
    )


def _bytes(value: str | bytes) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else value
