"""How keys may be named, and in which states they may be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from testkit.kms_conformance.calls import CHANGES, KINDS, LOOKS, SYMMETRIC, TAKES_ALIASES, method, parameters, renamed
from testkit.kms_conformance.lab import THERE, UNKNOWN_ID, Case, Lab, outcome

NAMES_SOURCE = "API reference, KeyId; recorded"
STATES_SOURCE = "developer guide, Key states"

_MODEL_INVALID_ARN = frozenset({"GetPublicKey", *CHANGES, *LOOKS} - {"CreateAlias"})
_CRYPTOGRAPHY = {"Disabled": "DisabledException", "PendingDeletion": "KMSInvalidStateException"}
_LOOKING = {"Disabled": "ok", "PendingDeletion": "ok"}
_NAMING = {"Disabled": "ok", "PendingDeletion": "KMSInvalidStateException"}
_STATES = {
    **dict.fromkeys(KINDS, _CRYPTOGRAPHY),
    **dict.fromkeys(LOOKS, _LOOKING),
    **dict.fromkeys(CHANGES, _NAMING),
    "CancelKeyDeletion": {"Enabled": "KMSInvalidStateException", "Disabled": "KMSInvalidStateException"},
}


def cases() -> Iterator[Case]:
    """Return the questions."""
    for operation in (*KINDS, *LOOKS, *CHANGES):
        for name, spoil, expected in _spoiled(operation):
            yield Case(operation, name, expected, NAMES_SOURCE, partial(_ask_name, operation, spoil))
    for operation, by_state in _STATES.items():
        for state, expected in by_state.items():
            asked = f"with a key that is {state}"
            yield Case(operation, asked, expected, STATES_SOURCE, partial(_ask_state, operation, state))


def _spoiled(operation: str) -> Iterator[tuple[str, Callable[[Lab, str], str], str]]:
    foreign = "InvalidArnException" if operation in _MODEL_INVALID_ARN else "NotFoundException"
    by_alias = "ok" if operation in TAKES_ALIASES else "InvalidArnException"
    if operation == "CreateAlias":
        by_alias = "ValidationException"
    if operation != "CancelKeyDeletion":
        yield "by the key's ARN", lambda lab, arn: arn, "ok"
        yield "by an alias", lambda lab, arn: _aliased(lab, arn), by_alias
    yield "by an id that no key has", lambda lab, arn: UNKNOWN_ID, "NotFoundException"
    yield "by something that is no id", lambda lab, arn: "nonsense", "NotFoundException"
    yield "by the ARN of another Region", lambda lab, arn: arn.replace("us-east-1", THERE), "NotFoundException"
    yield "by the ARN of something else", lambda lab, arn: "arn:aws:s3:::bucket", foreign
    if operation in TAKES_ALIASES:
        yield "by an alias that is not there", lambda lab, arn: "alias/absent", "NotFoundException"


def _aliased(lab: Lab, arn: str) -> str:
    alias = lab.alias()
    lab.kms.create_alias(AliasName=alias, TargetKeyId=arn.rpartition("/")[2])
    return alias


def _ask_name(operation: str, spoil: Callable[[Lab, str], str], lab: Lab) -> str:
    if operation in ("DisableKey", "ScheduleKeyDeletion"):
        metadata = lab.kms.create_key()["KeyMetadata"]
    else:
        metadata = lab.metadata(*KINDS.get(operation, SYMMETRIC))
    given = renamed(parameters(lab, operation, metadata["KeyId"]), spoil(lab, metadata["Arn"]))
    return outcome(lambda: method(lab.kms, operation)(**given))


def _ask_state(operation: str, state: str, lab: Lab) -> str:
    spec, usage = KINDS.get(operation, SYMMETRIC)
    key_id = lab.create(KeySpec=spec, KeyUsage=usage)
    given = parameters(lab, operation, key_id)
    lab.put(key_id, state)
    return outcome(lambda: method(lab.kms, operation)(**given))
