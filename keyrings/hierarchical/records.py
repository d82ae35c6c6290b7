"""Branch keys as the table holds them, and what each record is bound to in the KMS (framework/branch-key-store.md).

A branch key has three kinds of records, all under its ``branch-key-id``:

=========================  ==========================================================================
``type``                   ``enc`` holds
=========================  ==========================================================================
``branch:ACTIVE``          the version that encrypts; ``version`` says which, as ``branch:version:UUID``
``branch:version:UUID``    each version there ever was, the active one too, for decrypting
``beacon:ACTIVE``          the beacon key
=========================  ==========================================================================

The encryption context that the KMS binds ``enc`` to is all the other attributes, and ``tablename``: the logical name of
the store.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from envelope_sdk.errors import AuthenticationError

__all__ = [
    "ACTIVE",
    "BEACON",
    "BRANCH_KEY_ID",
    "ENC",
    "HIERARCHY_VERSION",
    "KMS_ARN",
    "SECTION",
    "TYPE",
    "VERSION_PREFIX",
    "Record",
    "active_context",
    "beacon_context",
    "context_of",
    "custom_context",
    "first_context",
    "is_version",
    "next_context",
    "record_of",
    "version_in",
    "wrapped_key",
]

Record = Mapping[str, str | int | bytes]
"""The attributes of one record: text, numbers and bytes as Python's."""

BRANCH_KEY_ID: Final = "branch-key-id"
TYPE: Final = "type"
ENC: Final = "enc"
KMS_ARN: Final = "kms-arn"
HIERARCHY_VERSION: Final = "hierarchy-version"
_CREATE_TIME: Final = "create-time"
_VERSION: Final = "version"
_TABLE_NAME: Final = "tablename"
_CUSTOM_PREFIX: Final = "aws-crypto-ec:"

ACTIVE: Final = "branch:ACTIVE"
BEACON: Final = "beacon:ACTIVE"
VERSION_PREFIX: Final = "branch:version:"

SECTION: Final = "branch key record"
"""The section that errors about a record name."""

_EVERYWHERE: Final = (BRANCH_KEY_ID, TYPE, _CREATE_TIME, KMS_ARN, HIERARCHY_VERSION)


def first_context(
    branch_key_id: str,
    version: str,
    *,
    logical_name: str,
    kms_arn: str,
    created: str,
    custom: Mapping[str, str],
) -> dict[str, str]:
    """Return what the first version of a new branch key is bound to.

    Args:
        branch_key_id: the new id.
        version: a UUID as text.
        logical_name: the logical name of the store.
        kms_arn: the KMS key.
        created: the time, as text.
        custom: pairs of the caller's.
    """
    return {
        BRANCH_KEY_ID: branch_key_id,
        TYPE: VERSION_PREFIX + version,
        _CREATE_TIME: created,
        _TABLE_NAME: logical_name,
        KMS_ARN: kms_arn,
        HIERARCHY_VERSION: "1",
        **{_CUSTOM_PREFIX + key: value for key, value in custom.items()},
    }


def next_context(active: Mapping[str, str], version: str, *, created: str) -> dict[str, str]:
    """Return what the version after the active one is bound to: the same, but for version and time."""
    context = {**active, TYPE: VERSION_PREFIX + version, _CREATE_TIME: created}
    del context[_VERSION]
    return context


def active_context(version: Mapping[str, str]) -> dict[str, str]:
    """Return what a version is bound to as the active one."""
    return {**version, _VERSION: version[TYPE], TYPE: ACTIVE}


def beacon_context(version: Mapping[str, str]) -> dict[str, str]:
    """Return what the beacon key made together with a version is bound to."""
    return {**version, TYPE: BEACON}


def record_of(context: Mapping[str, str], enc: bytes) -> dict[str, str | int | bytes]:
    """Return the record that holds a wrapped key which is bound to ``context``."""
    record: dict[str, str | int | bytes] = {name: value for name, value in context.items() if name != _TABLE_NAME}
    return record | {HIERARCHY_VERSION: int(context[HIERARCHY_VERSION]), ENC: enc}


def context_of(record: Record, branch_key_id: str, kind: str, logical_name: str) -> dict[str, str]:
    """Return what a record says that its key is bound to.

    Args:
        record: as the storage holds it.
        branch_key_id: whose it has to be.
        kind: the type it has to be of.
        logical_name: the logical name of the store.

    Raises:
        AuthenticationError: an attribute is missing, of another kind than it should be, or not that of this record.
    """
    missing = [name for name in (*_EVERYWHERE, ENC) if name not in record]
    if missing or _TABLE_NAME in record or (_VERSION in record) is not (kind == ACTIVE):
        raise _malformed(branch_key_id, kind, f"it lacks {missing[0]!r}" if missing else "it is of another type")
    context: dict[str, str] = {_TABLE_NAME: logical_name}
    for name, value in record.items():
        expected = {ENC: bytes, HIERARCHY_VERSION: int}.get(name, str)
        if type(value) is not expected:
            raise _malformed(branch_key_id, kind, f"its {name!r} is not of the kind it should be")
        if name != ENC:
            context[name] = str(value)
    if (context[BRANCH_KEY_ID], context[TYPE]) != (branch_key_id, kind):
        raise _malformed(branch_key_id, kind, "it is that of another key")
    return context


def wrapped_key(record: Record) -> bytes:
    """Return the wrapped key of a record that :func:`context_of` has passed."""
    enc = record[ENC]
    assert isinstance(enc, bytes)
    return enc


def is_version(text: str) -> bool:
    """Return whether ``text`` is a UUID as records and messages name versions.

    Raises:
        TypeError: it is not text.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a UUID, most often
        raise TypeError(f"a version is text, not {type(text).__name__}")
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def version_in(context: Mapping[str, str]) -> str:
    """Return the version, a UUID, of the branch key that is bound to ``context``.

    Raises:
        AuthenticationError: the record names none.
    """
    text = context.get(_VERSION, context[TYPE])
    version = text.removeprefix(VERSION_PREFIX)
    if text.startswith(VERSION_PREFIX) and is_version(version):
        return version
    raise _malformed(context[BRANCH_KEY_ID], context[TYPE], f"{text!r} is no version")


def custom_context(context: Mapping[str, str]) -> dict[str, str]:
    """Return the pairs that the branch key was created with."""
    return {
        name.removeprefix(_CUSTOM_PREFIX): value for name, value in context.items() if name.startswith(_CUSTOM_PREFIX)
    }


def _malformed(branch_key_id: str, kind: str, what: str) -> AuthenticationError:
    return AuthenticationError(
        f"the record {kind!r} of branch key {branch_key_id!r} was altered: {what}", section=SECTION
    )
