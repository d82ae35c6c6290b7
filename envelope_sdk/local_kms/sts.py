"""The one operation of AWS STS that a KMS needs beside it: ``GetCallerIdentity``, in the query protocol.

Tools ask it before anything else, to learn that their credentials work and which account they are in.

Source: STS API reference, GetCallerIdentity and Common Errors. Codes and statuses differ from those of KMS.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.policy import Caller

__all__ = ["CONTENT_TYPE", "FORM", "action_of", "as_sts_error", "write_error", "write_identity"]

CONTENT_TYPE: Final = "text/xml"
"""Of answers."""

FORM: Final = "application/x-www-form-urlencoded"
"""Of requests."""

_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
_MAX_FIELDS: Final = 100
_CODES: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "ExpiredTokenException": ("ExpiredToken", 403),
        "IncompleteSignatureException": ("IncompleteSignature", 400),
        "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
        "KMSInternalException": ("InternalFailure", 500),
        "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
        "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    }
)


def action_of(parameters: bytes) -> str:
    """Return the action that a form, or a query, asks for.

    Raises:
        KmsServiceError: InvalidAction: it is not GetCallerIdentity.
    """
    try:
        fields = dict(parse_qsl(parameters.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        fields = {}
    action = fields.get("Action", "")
    if action != "GetCallerIdentity":
        version = fields.get("Version", "NO_VERSION_SPECIFIED")
        raise KmsServiceError("InvalidAction", f"Could not find operation {action[:64]} for version {version[:16]}")
    return action


def as_sts_error(error: KmsServiceError) -> KmsServiceError:
    """Return an error of KMS as STS names it."""
    code, status = _CODES.get(error.code, (error.code, error.status))
    return KmsServiceError(code, error.message, operation="GetCallerIdentity", status=status)


def write_identity(caller: Caller, request_id: str) -> bytes:
    """Return the answer that says who ``caller`` is."""
    user_id = caller.keys.get("aws:userid", (caller.unique_id or caller.arn.rpartition("/")[2],))[0]
    members = {"Arn": caller.arn, "UserId": user_id, "Account": caller.account}
    result = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in members.items())
    return (
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>{result}</GetCallerIdentityResult>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>\n"
    ).encode()


def write_error(error: KmsServiceError, request_id: str) -> bytes:
    """Return an error's body."""
    kind = "Sender" if error.status < 500 else "Receiver"
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{kind}</Type><Code>{error.code}</Code>'
        f"<Message>{_text(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>\n"
    ).encode()


def _text(value: str) -> str:
    # XML has no way to write most control characters.
    return escape("".join(char if char.isprintable() or char == "\n" else "?" for char in value))
