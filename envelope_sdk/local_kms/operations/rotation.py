"""EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations.

Rotation is for symmetric keys: automatically where the KMS made the material, and on demand. A multi-Region key is
rotated through its primary, and its replicas follow.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call, KeySource
from envelope_sdk.local_kms.due import after, rotations
from envelope_sdk.local_kms.kinds import SYMMETRIC
from envelope_sdk.local_kms.materials import (
    EXTERNAL,
    belonging,
    lasting,
    make_current,
    primary_of,
    regions_of,
    renew,
    waiting,
    waits_everywhere,
)
from envelope_sdk.local_kms.model import Key, KeyState, MaterialRecord, MaterialState, MultiRegionRole, Rotation
from envelope_sdk.local_kms.operations.pages import MAX_LIMIT, read_page
from envelope_sdk.local_kms.parameters import INCLUDE_KEY_MATERIAL, Parameters
from envelope_sdk.local_kms.store.contract import WriteTransaction

__all__ = [
    "disable_key_rotation",
    "enable_key_rotation",
    "get_key_rotation_status",
    "list_key_rotations",
    "rotate_key_on_demand",
]

_DEFAULT_PERIOD: Final = 365
_MIN_PERIOD: Final = 90
_MAX_PERIOD: Final = 2560
_MOST_ON_DEMAND: Final = 25
_DEFAULT_LIMIT: Final = 100
_SOON: Final = timedelta(minutes=20)
_GOING: Final = (KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION)


def enable_key_rotation(call: Call) -> dict[str, Any]:
    """Have a key rotated every so many days from now on. Asked for again, the next rotation stays when it is."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    given = parameters.number("RotationPeriodInDays", _MIN_PERIOD, _MAX_PERIOD)
    parameters.done()
    days = _DEFAULT_PERIOD if given is None else given
    first = after(call.now, days)
    if first is None:
        raise faults.validation(f"There is no date {days} days from now.")
    with call.store.write() as transaction:
        key = _rotatable(call, name, transaction)
        if key.rotation_days != days:
            transaction.update_key(replace(key, rotation_days=days, next_rotation=first))
    return {}


def disable_key_rotation(call: Call) -> dict[str, Any]:
    """Have a key rotated no more by itself. It keeps its materials."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.done()
    with call.store.write() as transaction:
        key = _rotatable(call, name, transaction)
        transaction.update_key(replace(key, rotation_days=None, next_rotation=None))
    return {}


def get_key_rotation_status(call: Call) -> dict[str, Any]:
    """Tell whether a key is rotated by itself, how often, and when next. Of keys that cannot be: that they are not."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.done()
    key = call.key(name, call.view, aliases=False)
    with call.store.read() as transaction:
        # Replicas are rotated with their primary, which alone has a schedule.
        scheduled = primary_of(regions_of(transaction, key)) or key
    # What is pending deletion is not rotated. Once that is cancelled, it goes on as before.
    enabled = scheduled.rotation_days is not None and scheduled.state not in _GOING
    status: dict[str, Any] = {"KeyId": key.arn, "KeyRotationEnabled": enabled}
    if enabled:
        status["RotationPeriodInDays"] = scheduled.rotation_days
        if scheduled.next_rotation is not None:
            status["NextRotationDate"] = scheduled.next_rotation
    return status


def rotate_key_on_demand(call: Call) -> dict[str, Any]:
    """Rotate a key now, up to 25 times in its life; the schedule of automatic rotation stays as it is."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.done()
    with call.store.write() as transaction:
        key = _rotatable(call, name, transaction)
        if key.next_rotation is not None and key.next_rotation - call.now <= _SOON:
            raise faults.automatic_rotation_soon(key.arn)
        records = transaction.materials(key.scope, key.key_id)
        if sum(record.rotation is Rotation.ON_DEMAND for record in records) >= _MOST_ON_DEMAND:
            raise faults.too_many_rotations(key.arn)
        if key.origin == EXTERNAL:
            _rotate_to_imported(call, key, transaction)
        else:
            renew(transaction, key, [call.now], Rotation.ON_DEMAND, call.random)
        call.note(rotations(transaction, key, call.now, Rotation.ON_DEMAND))
    return {"KeyId": key.arn}


def list_key_rotations(call: Call) -> dict[str, Any]:
    """List a key's rotations, or all its materials, in the order in which they have been in use."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    included = parameters.choice("IncludeKeyMaterial", INCLUDE_KEY_MATERIAL)
    read = read_page(parameters, "rotations", _DEFAULT_LIMIT, MAX_LIMIT)
    parameters.done()
    page = read()
    key = _check_symmetric(call.key(name, call.view, aliases=False))
    with call.store.read() as transaction:
        records = belonging(transaction.materials(key.scope, key.key_id))
        ready = waits_everywhere(transaction, key)
    if included != "ALL_KEY_MATERIAL":
        records = [record for record in records if record.rotated is not None]
    after_marker = sorted((record for record in records if _position(record) > page.after), key=_position)
    shown = after_marker[: page.limit + 1]
    return page.answer("Rotations", shown, _position, lambda record: _entry(key, record, ready))


def _rotatable(call: Call, name: str, source: KeySource) -> Key:
    """Return a key that the caller may rotate, and that can be."""
    key = _check_symmetric(call.key(name, source, aliases=False))
    if key.role is MultiRegionRole.REPLICA:
        raise faults.not_primary(key.arn)
    return key


def _check_symmetric(key: Key) -> Key:
    if key.spec != SYMMETRIC:
        # AWS sends no text.
        raise faults.unsupported("")
    return key


def _rotate_to_imported(call: Call, key: Key, transaction: WriteTransaction) -> None:
    record = waiting(transaction.materials(key.scope, key.key_id))
    if record is None or not waits_everywhere(transaction, key):
        raise faults.no_material_waits(key.arn)
    for each in regions_of(transaction, key):
        make_current(transaction, each, record.material_id, call.now)


def _position(record: MaterialRecord) -> str:
    """Return what sorts the first material before those that rotations made current, and last the one that waits."""
    rank = 2 if not lasting([record]) else 0 if record.rotated is None else 1
    dates = (record.rotated or record.created, record.created)
    return " ".join((str(rank), *(date.isoformat(timespec="milliseconds") for date in dates), record.material_id))


def _entry(key: Key, record: MaterialRecord, ready: bool) -> dict[str, Any]:
    state = record.state
    if state is MaterialState.PENDING_ROTATION and not ready:
        state = MaterialState.PENDING_MULTI_REGION_IMPORT_AND_ROTATION
    entry: dict[str, Any] = {
        "KeyId": key.key_id,
        "KeyMaterialId": record.material_id,
        "KeyMaterialState": state.value,
    }
    if record.rotated is not None and record.rotation is not None:
        entry |= {"RotationDate": record.rotated, "RotationType": record.rotation.value}
    return entry | (_import_members(record) if key.origin == EXTERNAL else {})


def _import_members(record: MaterialRecord) -> dict[str, Any]:
    members: dict[str, Any] = {"ImportState": "IMPORTED" if record.present else "PENDING_IMPORT"}
    if record.description is not None:
        members["KeyMaterialDescription"] = record.description
    if record.present:
        expires = record.expiry is not None
        members["ExpirationModel"] = "KEY_MATERIAL_EXPIRES" if expires else "KEY_MATERIAL_DOES_NOT_EXPIRE"
    if record.expiry is not None:
        members["ValidTo"] = record.expiry
    return members
