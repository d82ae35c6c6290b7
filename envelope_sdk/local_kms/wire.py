"""AWS JSON 1.1: what stands in requests and answers, to and from what operations take and give.

A request is ``POST /`` with ``X-Amz-Target: TrentService.<Operation>`` and a JSON object. In it bytes are base64 and
times are seconds since 1970; answers are alike, with milliseconds as AWS has them. Nothing here knows of sockets.

Members that the API's model does not have are ignored, as AWS does: clients newer than a service may send them. What
the model has and the local KMS has not is an error of the operation's own. JSON that parsers read in different ways
(a name twice, NaN) is refused, since nobody could say what was meant.

Source: Smithy, "AWS JSON 1.1 protocol"; texts of errors are plain words where none of AWS is recorded.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, cast

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.members import BLOBS, INPUTS, TIMESTAMPS

__all__ = ["CONTENT_TYPE", "operation_of", "read_parameters", "write_answer", "write_error"]

CONTENT_TYPE: Final = "application/x-amz-json-1.1"
"""Of requests and answers."""

_TARGET: Final = "TrentService."
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CAPITAL: Final = frozenset({"AccessDeniedException"})
"""Errors that AWS is seen to send with ``Message``; the others have ``message``. Clients read either."""


def operation_of(target: str | None, content_type: str | None) -> str:
    """Return the operation that a request's headers name; whether there is one of that name is not looked at.

    Args:
        target: ``X-Amz-Target``, if there is one.
        content_type: ``Content-Type``, likewise.

    Raises:
        KmsServiceError: UnknownOperationException: the request is none of this protocol.
    """
    # AWS chooses the protocol by these, and knows no operation where they choose none.
    kind = (content_type or "").partition(";")[0].strip().lower()
    if target is None or not target.startswith(_TARGET) or kind != CONTENT_TYPE:
        raise faults.unknown_operation()
    return target.removeprefix(_TARGET)


def read_parameters(operation: str, body: bytes) -> dict[str, object]:
    """Return the parameters in a request's body: bytes are bytes, times are tz-aware; no body is no parameters.

    Raises:
        KmsServiceError: SerializationException: it is not a JSON object in UTF-8, or a value has the wrong type.
    """
    members: object = _decode(body) if body else {}
    if not isinstance(members, dict):
        raise faults.serialization("The body has to be a JSON object.")
    parameters = cast("dict[str, object]", members)
    known = INPUTS.get(operation)
    if known is not None and not known.issuperset(parameters):
        parameters = {name: value for name, value in parameters.items() if name in known}
    return _typed(parameters)


def write_answer(answer: Mapping[str, Any]) -> bytes:
    """Return an answer's body. Operations without an answer have an empty one, as at AWS."""
    return _ENCODER.encode(answer).encode() if answer else b""


def write_error(error: KmsServiceError) -> bytes:
    """Return an error's body; an empty text is left out, as AWS does."""
    body = {"__type": error.code}
    if error.message:
        body["Message" if error.code in _CAPITAL else "message"] = error.message
    return _ENCODER.encode(body).encode()


def _decode(body: bytes) -> object:
    try:
        found: object = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        problem = "The body has to be UTF-8."
    except RecursionError:
        problem = "The body is nested too deeply."
    except ValueError as error:
        # JSON's own, a name that stands twice, NaN, or a number of thousands of digits.
        problem = str(error) if isinstance(error, _Ambiguous) else "The body has to be JSON."
    else:
        return found
    # Outside of the block: what Python says about it quotes the body.
    raise faults.serialization(problem)


class _Ambiguous(ValueError):
    """JSON that not everybody reads alike."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Ambiguous("A member stands twice in the body.")
    return found


def _constant(name: str) -> NoReturn:
    raise _Ambiguous(f"{name} is not JSON.")


def _typed(parameters: dict[str, object]) -> dict[str, object]:
    """Return parameters with those that are bytes or times made so; there are structures with bytes in them."""
    for name, value in parameters.items():
        if name in BLOBS:
            parameters[name] = _bytes(name, value)
        elif name in TIMESTAMPS:
            parameters[name] = _time(name, value)
        elif name == "Recipient" and isinstance(value, dict):
            parameters[name] = _typed(cast("dict[str, object]", value))
    return parameters


def _bytes(name: str, value: object) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise faults.serialization(f"{name} has to be base64.")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        problem = faults.serialization(f"{name} has to be base64.")
    raise problem


def _time(name: str, value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _EPOCH + timedelta(milliseconds=round(value * 1000))
        except (OverflowError, ValueError):
            problem = faults.serialization(f"{name} is out of range.")
        raise problem
    raise faults.serialization(f"{name} has to be seconds since 1970.")


def _encodable(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    if isinstance(value, datetime):
        # Whole milliseconds: the nearest number of seconds reads back as the same.
        return round(value.timestamp() * 1000) / 1000
    raise TypeError(f"an answer holds a {type(value).__name__}")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_encodable)
