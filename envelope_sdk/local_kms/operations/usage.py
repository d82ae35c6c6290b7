"""GetKeyLastUsage."""

from __future__ import annotations

from typing import Any

from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.model import LastUsage
from envelope_sdk.local_kms.parameters import Parameters

__all__ = ["get_key_last_usage"]


def get_key_last_usage(call: Call) -> dict[str, Any]:
    """Return how and when a key was last used for cryptography with success."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.done()
    key = call.key(name, call.view, aliases=False)
    usage = None if call.around.usage is None else call.around.usage.last_usage(key.scope, key.key_id)
    with call.store.read() as transaction:
        since = transaction.tracked_since()
    return {
        "KeyId": key.key_id,
        "KeyLastUsage": {} if usage is None else _members(usage),
        "TrackingStartDate": key.created if since is None else max(since, key.created),
        "KeyCreationDate": key.created,
    }


def _members(usage: LastUsage) -> dict[str, Any]:
    return {
        "Operation": usage.operation,
        "Timestamp": usage.used,
        "CloudTrailEventId": usage.event_id,
        "KmsRequestId": usage.request_id,
    }
