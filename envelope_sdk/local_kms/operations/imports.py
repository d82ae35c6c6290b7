"""GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial: keys whose material comes from outside.

The first material becomes the current one at once. A key that is not symmetric never has another; a symmetric one may
be given more, each of which waits until RotateKeyOnDemand makes it the current one. What has once been current belongs
to the key for good: while the secret of any such material is gone, the key waits for it and cannot be used.

A multi-Region key is given new material through its primary. Replicas take the same, each on its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import MAX_BLOB
from envelope_sdk.local_kms.import_parameters import DIRECT, ENVELOPED, VALIDITY, open_token, seal_token, unwrap
from envelope_sdk.local_kms.key_pairs import imported_secret, new_key_pair, public_der
from envelope_sdk.local_kms.kinds import MAC, SYMMETRIC
from envelope_sdk.local_kms.materials import (
    belonging,
    complete,
    date_after,
    erase,
    imported_material_id,
    lasting,
    primary_of,
    regions_of,
    waiting,
)
from envelope_sdk.local_kms.model import Key, KeyState, MaterialRecord, MaterialState, MultiRegionRole
from envelope_sdk.local_kms.parameters import (
    EXPIRATION_MODELS,
    IMPORT_TYPES,
    WRAPPING_ALGORITHMS,
    WRAPPING_KEY_SPECS,
    Parameters,
)
from envelope_sdk.local_kms.store.contract import WriteTransaction
from envelope_sdk.primitives.aead import wipe

__all__ = ["delete_imported_key_material", "get_parameters_for_import", "import_key_material"]

_DESCRIPTION: Final = re.compile(r"^[a-zA-Z0-9:/_\s.-]+$", re.ASCII)
_MAX_DESCRIPTION: Final = 256
_MATERIAL_ID: Final = re.compile(r"^[a-f0-9]+$", re.ASCII)
_MATERIAL_ID_LENGTH: Final = 64
_LONGEST: Final = timedelta(days=365)
_EXPIRES, _DOES_NOT_EXPIRE = EXPIRATION_MODELS
_NEW, _EXISTING = IMPORT_TYPES
_RSA: Final = "RSA_"


class _Wanted(NamedTuple):
    """What ImportKeyMaterial asks for.

    Attributes:
        name: the key.
        token: the import token.
        wrapped: the material, wrapped.
        model: whether it is to expire.
        expiry: when; ``None`` for never.
        kind: ``ImportType``, where it is given.
        description: of the material, where it is given.
        material_id: which material it has to be, where that is given.
    """

    name: str
    token: bytes
    wrapped: bytes
    model: str
    expiry: datetime | None
    kind: str | None
    description: str | None
    material_id: str | None


def get_parameters_for_import(call: Call) -> dict[str, Any]:
    """Return a public key to wrap material with, and the token that goes with it."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    algorithm = parameters.choice("WrappingAlgorithm", WRAPPING_ALGORITHMS, required=True) or ""
    spec = parameters.choice("WrappingKeySpec", WRAPPING_KEY_SPECS, required=True) or ""
    parameters.done()
    key = call.key(name, call.view, aliases=False)
    _check_wrapping(key, algorithm, spec)
    try:
        expiry = call.now + VALIDITY
    except OverflowError:
        raise faults.validation("There is no date 24 hours from now.") from None
    # Before the store is looked at: it takes long.
    pair = new_key_pair(spec, call.random)
    with call.store.read() as transaction:
        token = seal_token(transaction, key, algorithm, pair, expiry)
    return {"KeyId": key.arn, "ImportToken": token, "PublicKey": public_der(pair), "ParametersValidTo": expiry}


def import_key_material(call: Call) -> dict[str, Any]:
    """Take material: the first of a key, a new one, or one that the key has had before."""
    wanted = _wanted(Parameters(call.parameters))
    # Outside of the change, which others would wait for; the key is looked at again within.
    key = call.key(wanted.name, call.view, aliases=False)
    _check_kind(key, wanted)
    _check_expiry(call, wanted.model, wanted.expiry)
    with call.store.read() as transaction:
        algorithm, pair = open_token(transaction, key, wanted.token, call.now)
    secret = imported_secret(key.spec, unwrap(algorithm, pair, wanted.wrapped))
    try:
        material_id = imported_material_id(key, secret)
        with call.store.write() as transaction:
            key = call.key(wanted.name, transaction, aliases=False)
            _take(call, transaction, key, wanted, material_id, secret)
            _enable_if_complete(transaction, key)
    finally:
        wipe(memoryview(secret))
    return _answer(key, material_id)


def delete_imported_key_material(call: Call) -> dict[str, Any]:
    """Erase the secret of a material, the current one unless told which. The key is unusable until it is back."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    given = _material_id(parameters)
    parameters.done()
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        if given is not None:
            _check_symmetric(key, "KeyMaterialId")
        material_id = given or key.material_id
        records = belonging(transaction.materials(key.scope, key.key_id))
        record = next((each for each in records if each.material_id == material_id), None)
        if record is not None:
            erase(transaction, key, record)
        elif given is not None:
            raise faults.not_found(f"Key material {given} does not belong to {key.arn}")
    return _answer(key, material_id)


def _wanted(parameters: Parameters) -> _Wanted:
    name = parameters.key_id()
    token = parameters.data("ImportToken", MAX_BLOB)
    wrapped = parameters.data("EncryptedKeyMaterial", MAX_BLOB)
    expiry = parameters.moment("ValidTo")
    model = parameters.choice("ExpirationModel", EXPIRATION_MODELS) or _EXPIRES
    kind = parameters.choice("ImportType", IMPORT_TYPES)
    description = parameters.text("KeyMaterialDescription", _MAX_DESCRIPTION, minimum=0, pattern=_DESCRIPTION)
    material_id = _material_id(parameters)
    parameters.done()
    return _Wanted(name, token, wrapped, model, expiry, kind, description, material_id)


def _material_id(parameters: Parameters) -> str | None:
    length = _MATERIAL_ID_LENGTH
    return parameters.text("KeyMaterialId", length, minimum=length, pattern=_MATERIAL_ID)


def _check_expiry(call: Call, model: str, expiry: datetime | None) -> None:
    if model == _DOES_NOT_EXPIRE:
        if expiry is not None:
            raise faults.validation(f"A validTo date must not be set if the ExpirationModel is {model}")
        return
    if expiry is None:
        raise faults.validation(f"A validTo date must be set if the ExpirationModel is {model}")
    if not call.now < expiry:
        raise faults.validation("The validTo date must be in the future")
    if expiry - call.now > _LONGEST:
        raise faults.validation("The validTo date must be within 365 days from now")


def _check_wrapping(key: Key, algorithm: str, spec: str) -> None:
    """Refuse ways of wrapping that AWS has not, has no more, or has not for keys of this kind."""
    if algorithm not in DIRECT | ENVELOPED or spec == "SM2":
        raise faults.unsupported(f"Wrapping with {algorithm} under a key {spec} is not supported.")
    secret = key.spec == SYMMETRIC or key.usage == MAC
    too_long = key.spec.startswith(_RSA) or (key.spec == "ECC_NIST_P521" and spec == "RSA_2048")
    if (secret and algorithm in ENVELOPED) or (too_long and algorithm in DIRECT):
        raise faults.unsupported(f"Key material of {key.spec} cannot be wrapped with {algorithm} under a key {spec}.")


def _check_kind(key: Key, wanted: _Wanted) -> None:
    for name, value in (
        ("ImportType", wanted.kind),
        ("KeyMaterialDescription", wanted.description),
        ("KeyMaterialId", wanted.material_id),
    ):
        if value is not None:
            _check_symmetric(key, name)
    if wanted.material_id is not None and wanted.kind == _NEW:
        raise faults.validation("KeyMaterialId cannot be given with ImportType NEW_KEY_MATERIAL")


def _check_symmetric(key: Key, name: str) -> None:
    if key.spec != SYMMETRIC:
        raise faults.validation(f"{name} can only be given with symmetric encryption keys")


def _take(
    call: Call, transaction: WriteTransaction, key: Key, wanted: _Wanted, material_id: str, secret: bytearray
) -> None:
    """Put the secret where it belongs, or raise what forbids it."""
    if wanted.material_id not in (None, material_id):
        raise faults.incorrect_material(f"The key material is {material_id}, not {wanted.material_id}.")
    known = transaction.materials(key.scope, key.key_id)
    if _is_new(known, wanted):
        _check_new(key, known, material_id)
        record = _new_record(call, key, known, material_id)
    else:
        record = _known_record(transaction, key, known, material_id)
    description = record.description if wanted.description is None else wanted.description
    record = replace(record, present=True, expiry=wanted.expiry, description=description)
    if any(each.material_id == material_id for each in known):
        transaction.replace_secret(key.scope, key.key_id, material_id, secret)
        transaction.update_material(key.scope, record)
    else:
        transaction.add_material(key.scope, record, secret)
    if record.state is MaterialState.CURRENT and key.material_id != material_id:
        transaction.update_key(replace(key, material_id=material_id))


def _is_new(known: Sequence[MaterialRecord], wanted: _Wanted) -> bool:
    return not lasting(known) if wanted.kind is None else wanted.kind == _NEW


def _check_new(key: Key, known: Sequence[MaterialRecord], material_id: str) -> None:
    if key.role is MultiRegionRole.REPLICA:
        raise faults.not_primary(key.arn)
    if any(record.material_id == material_id for record in belonging(known)):
        raise faults.incorrect_material(f"The key material is not new: {key.arn} has had it as {material_id}.")
    pending = waiting(known)
    if pending is not None:
        raise faults.material_waits(key.arn, material_id, pending.material_id)


def _new_record(call: Call, key: Key, known: Sequence[MaterialRecord], material_id: str) -> MaterialRecord:
    state = MaterialState.PENDING_ROTATION if lasting(known) else MaterialState.CURRENT
    # Of one that has waited before, and was deleted, there still is a record, which keeps its date.
    created = next((record.created for record in known if record.material_id == material_id), None)
    created = date_after(known, call.now) if created is None else created
    return MaterialRecord(key_id=key.key_id, material_id=material_id, created=created, state=state)


def _known_record(
    transaction: WriteTransaction, key: Key, known: Sequence[MaterialRecord], material_id: str
) -> MaterialRecord:
    """Return the record of a material that the key has had, or, of a replica, that waits in its primary."""
    found = next((record for record in belonging(known) if record.material_id == material_id), None)
    if found is not None:
        return found
    if key.role is MultiRegionRole.REPLICA:
        primary = primary_of(regions_of(transaction, key))
        pending = None if primary is None else waiting(transaction.materials(primary.scope, primary.key_id))
        if pending is not None and pending.material_id == material_id:
            stale = waiting(known)
            if stale is not None:
                # From before another Region became the primary.
                erase(transaction, key, stale)
            return replace(pending, description=None)
    raise faults.incorrect_material(f"The key material is not one that has been imported into {key.arn} before.")


def _enable_if_complete(transaction: WriteTransaction, key: Key) -> None:
    now = transaction.key(key.scope, key.key_id)
    if now is not None and now.state is KeyState.PENDING_IMPORT and complete(transaction, now):
        transaction.update_key(replace(now, state=KeyState.ENABLED))


def _answer(key: Key, material_id: str | None) -> dict[str, Any]:
    shown = material_id if key.spec == SYMMETRIC else None
    return {"KeyId": key.arn} | ({} if shown is None else {"KeyMaterialId": shown})
