"""Calls as events of CloudTrail's shape (event version 1.11)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.audit.members import (
    ANSWERED,
    DEFAULTS,
    READ_ONLY,
    SHOWN,
    VERBATIM,
    WITHOUT_PARAMETERS,
)
from envelope_sdk.local_kms.call import Call, Requester, ServiceEvent
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.policy import Caller, CallerKind

__all__ = ["MAX_EVENT", "call_event", "encoded", "service_event"]

MAX_EVENT: Final = 256 * 1024
"""Bytes of an event's JSON, as with CloudTrail: of larger ones the parameters and the answer are left out."""

_VERSION: Final = "1.11"
_SOURCE: Final = "kms.amazonaws.com"
_SERVICE: Final = "AWS Internal"
_IN_PROCESS: Final = "in-process"
_DENIED: Final = "AccessDenied"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DEPTH: Final = 6
_KEPT: Final = 1024
_MAX_ALIAS: Final = 256
_MATERIAL_IDS: Final = ("KeyMaterialId", "SourceKeyMaterialId", "DestinationKeyMaterialId")
# Made once: a union of types costs more than looking at it.
_BYTES: Final = (bytes, bytearray, memoryview)
_PLAIN: Final = (str, int, float)
_LISTS: Final = (list, tuple)
_MAPPINGS: Final = (dict, Mapping)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def call_event(call: Call, answer: Mapping[str, Any] | None, error: KmsServiceError | None) -> dict[str, Any]:
    """Return the event of a call that has ended with ``answer`` or ``error``."""
    requester = call.requester
    operation = call.operation
    event: dict[str, Any] = {
        "eventVersion": _VERSION,
        "userIdentity": _identity(requester),
        "eventTime": _moment(call.now),
        "eventSource": _SOURCE,
        "eventName": operation,
        "awsRegion": requester.scope.region,
        "sourceIPAddress": requester.via_service or requester.source_ip or _IN_PROCESS,
        "userAgent": requester.via_service or requester.user_agent or _IN_PROCESS,
    }
    if error is not None:
        event["errorCode"] = _code(error)
        if error.message:
            event["errorMessage"] = error.message
    event["requestParameters"] = _parameters(operation, call.parameters)
    event["responseElements"] = None if answer is None else _answered(operation, answer, call.keys)
    additional = _additional(call, answer)
    if additional:
        event["additionalEventData"] = additional
    event["requestID"] = requester.request_id
    event["eventID"] = requester.event_id
    event["readOnly"] = operation in READ_ONLY
    event["resources"] = _resources(call)
    event["eventType"] = "AwsApiCall"
    event["managementEvent"] = True
    event["recipientAccountId"] = requester.scope.account
    for key in call.keys:
        if key.scope.account != requester.scope.account and event.get("errorCode") != _DENIED:
            # CloudTrail delivers such an event to both accounts, each with an id of its own, and this one in common:
            # unless access was denied, of which only the caller's account learns.
            event["sharedEventID"] = event["eventID"]
    event["eventCategory"] = "Management"
    return event


def service_event(event: ServiceEvent) -> dict[str, Any]:
    """Return the event of what the service did by itself."""
    scope = event.key.scope
    name = "\n".join((event.name, event.key.arn, event.time.isoformat(), *map(str, sorted(event.details.items()))))
    made: dict[str, Any] = {
        "eventVersion": _VERSION,
        "userIdentity": {"accountId": scope.account, "invokedBy": _SERVICE},
        "eventTime": _moment(event.time),
        "eventSource": _SOURCE,
        "eventName": event.name,
        "awsRegion": scope.region,
        "sourceIPAddress": _SERVICE,
        "userAgent": _SERVICE,
        "requestParameters": None,
        "responseElements": None,
        "eventID": str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)),
        "readOnly": False,
        "resources": [_resource(event.key)],
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": scope.account,
        "eventCategory": "Management",
    }
    if event.details:
        made["serviceEventDetails"] = {**event.details, "keyId": event.key.key_id}
    return made


def encoded(event: Mapping[str, Any]) -> bytes:
    """Return an event as JSON in one line, without what would make it too long."""
    text = _ENCODER.encode(event)
    if len(text) > MAX_EVENT:
        omitted = {"omitted": True, "originalSize": len(text), "reason": "the event is too large"}
        kept = {name: value[:_KEPT] if isinstance(value, str) else value for name, value in event.items()}
        kept.update(requestParameters=omitted, responseElements=None)
        kept.pop("additionalEventData", None)
        text = _ENCODER.encode(kept)
    return text.encode("ascii")


def _moment(time: datetime) -> str:
    return f"{time.isoformat(timespec='seconds')[:19]}Z"


def _code(error: KmsServiceError) -> str:
    # CloudTrail drops the ending of this one; the others keep theirs.
    return _DENIED if error.code == "AccessDeniedException" else error.code


def _identity(requester: Requester) -> dict[str, Any]:
    caller = requester.caller
    if caller.kind is CallerKind.SERVICE:
        return {"type": "AWSService", "invokedBy": caller.arn}
    kinds = {CallerKind.ROOT: "Root", CallerKind.USER: "IAMUser", CallerKind.ROLE_SESSION: "AssumedRole"}
    name = caller.arn.rpartition("/")[2]
    identity: dict[str, Any] = {
        "type": kinds.get(caller.kind, caller.kind.value),
        "principalId": _principal_id(caller, name),
        "arn": caller.arn,
        "accountId": caller.account,
    }
    if requester.access_key_id:
        identity["accessKeyId"] = requester.access_key_id
    if caller.kind is CallerKind.USER:
        identity["userName"] = name
    if caller.kind is CallerKind.ROLE_SESSION:
        identity["sessionContext"] = {"sessionIssuer": _issuer(caller), "attributes": {"mfaAuthenticated": "false"}}
    if requester.via_service:
        identity["invokedBy"] = requester.via_service
    return identity


def _principal_id(caller: Caller, name: str) -> str:
    if caller.kind is CallerKind.ROOT:
        return caller.account
    if caller.kind is CallerKind.USER:
        return caller.unique_id or name
    return f"{caller.unique_id or caller.account}:{name}"


def _issuer(caller: Caller) -> dict[str, Any]:
    return {
        "type": "Role",
        "principalId": caller.unique_id,
        "arn": caller.role_arn,
        "accountId": caller.account,
        "userName": caller.role_arn.rpartition("/")[2],
    }


def _parameters(operation: str, parameters: Mapping[str, object]) -> dict[str, Any] | None:
    if operation in WITHOUT_PARAMETERS:
        return None
    shown = {
        _lower(name): _value(name, value, SHOWN)
        for name, value in parameters.items()
        if name in SHOWN and value is not None and not isinstance(value, _BYTES)
    }
    for name, value in DEFAULTS.get(operation, {}).items():
        shown.setdefault(name, value)
    if operation == "CreateKey":
        # Either name may be used, and both are shown.
        spec = shown.get("keySpec") or shown.get("customerMasterKeySpec") or "SYMMETRIC_DEFAULT"
        for name in ("keySpec", "customerMasterKeySpec"):
            shown.setdefault(name, spec)
    return shown or None


def _answered(operation: str, answer: Mapping[str, Any], keys: Sequence[Key]) -> dict[str, Any] | None:
    if operation in READ_ONLY:
        return None
    shown = {_lower(name): _value(name, answer[name]) for name in ANSWERED.get(operation, ()) if name in answer}
    if not shown and keys:
        # An alias that is moved comes to the key that it is taken from first: the one it is given to is meant.
        shown["keyId"] = keys[-1 if operation == "UpdateAlias" else 0].arn
    return shown or None


def _additional(call: Call, answer: Mapping[str, Any] | None) -> dict[str, Any]:
    if call.operation == "RetireGrant":
        # The grant may have been named by its token, which is not shown.
        return {} if call.retired is None else {"grantId": call.retired.grant_id}
    if answer is None or call.operation not in READ_ONLY:
        return {}
    found = {_lower(name): answer[name] for name in _MATERIAL_IDS if answer.get(name)}
    if call.operation == "Encrypt" and call.keys[0].material_id and call.keys[0].spec == "SYMMETRIC_DEFAULT":
        found["keyMaterialId"] = call.keys[0].material_id
    return found


def _resources(call: Call) -> list[dict[str, str]]:
    resources = [_resource(key) for key in call.keys]
    name = call.parameters.get("AliasName")
    if isinstance(name, str) and len(name) <= _MAX_ALIAS:
        scope = call.scope
        resources.append({"accountId": scope.account, "type": "AWS::KMS::Key", "ARN": scope.alias_arn(name)})
    return resources


def _resource(key: Key) -> dict[str, str]:
    return {"accountId": key.scope.account, "type": "AWS::KMS::Key", "ARN": key.arn}


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _value(name: str, value: object, shown: frozenset[str] | None = None, depth: int = _DEPTH) -> Any:
    """Return a value as JSON has it. Callers may give anything at all; bytes are never shown.

    Args:
        name: the parameter's or member's.
        value: its value.
        shown: the names within it that are shown; all, where it is an answer.
        depth: how deep to look.
    """
    if value is None or isinstance(value, _PLAIN):
        return value if isinstance(value, str) else _finite(value)
    if isinstance(value, datetime):
        return _date(value)
    if depth and isinstance(value, _LISTS):
        return [_value(name, item, shown, depth - 1) for item in cast("Sequence[object]", value)]
    if depth and isinstance(value, _MAPPINGS):
        pairs = [(key, item) for key, item in cast("Mapping[object, object]", value).items() if isinstance(key, str)]
        if name in VERBATIM:
            return {key: _value(name, item, shown, 0) for key, item in pairs}
        return {
            _lower(key): _value(key, item, shown, depth - 1) for key, item in pairs if shown is None or key in shown
        }
    return f"({type(value).__name__})"


def _finite(value: float | None) -> str | float | None:
    # JSON has no infinities, and Python refuses to print the largest whole numbers.
    if isinstance(value, float) or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63):
        return f"({type(value).__name__})"
    return value


def _date(value: datetime) -> str:
    """Return a date the way CloudTrail shows dates in parameters: ``Aug 10, 2022, 10:38:27 PM``."""
    try:
        time = value.astimezone(UTC)
    except (OverflowError, ValueError):
        return "(datetime)"
    hour = f"{time.hour % 12 or 12}:{time.minute:02}:{time.second:02} {'AM' if time.hour < 12 else 'PM'}"
    return f"{_MONTHS[time.month - 1]} {time.day}, {time.year}, {hour}"
