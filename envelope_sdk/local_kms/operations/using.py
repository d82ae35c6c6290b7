"""Using a key: whether it is for that, and its material, for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import RANDOM_LENGTH, Blob, Purpose, open_blob, seal
from envelope_sdk.local_kms.key_pairs import load_key_pair
from envelope_sdk.local_kms.kinds import algorithms
from envelope_sdk.local_kms.materials import EXTERNAL
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.states import check_state

__all__ = ["admit_to", "check_fit", "key_pair", "open_under", "seal_under", "stop_if", "with_secret"]

_MESSAGE_ID = slice(0, 16)

T = TypeVar("T")


def admit_to(call: Call, key: Key, usage: str, algorithm: str | None, action: str | None = None) -> Key:
    """Return ``key`` if the caller may use it, and it is for ``usage``, in a state to be used, and for ``algorithm``.

    In this order, which is AWS's.

    Args:
        call: the call.
        key: which one.
        usage: its ``KeyUsage``.
        algorithm: what it is to be used with; ``None`` leaves that to the caller.
        action: the permission to ask for, if not that of the operation's name.

    Raises:
        KmsServiceError: AccessDeniedException, InvalidKeyUsageException, or the state's error.
    """
    call.permit(key, action)
    check_fit(call, key, usage, algorithm)
    return key


def check_fit(call: Call, key: Key, usage: str, algorithm: str | None) -> None:
    """Raise as :func:`admit_to` does of a key that the caller is known to be allowed to use."""
    if key.usage != usage:
        raise faults.usage(key.arn, key.usage, call.operation)
    check_state(call.operation, key)
    if algorithm is not None and algorithm not in algorithms(key):
        raise faults.algorithm_mismatch(algorithm, key.spec)


def stop_if(dry_run: bool) -> None:
    """Raise DryRunOperationException where the caller only wants to know whether the call would have succeeded."""
    if dry_run:
        raise faults.dry_run()


def with_secret(call: Call, key: Key, use: Callable[[bytearray], T]) -> T:
    """Return what ``use`` makes of the material of ``key``, which is overwritten afterwards."""
    # A list, so that an answer of None is told from no material.
    found = None
    if key.material_id is not None:
        found = call.view.with_material(key.scope, key.material_id, lambda material: [use(material.secret)])
    if found is None:
        raise _erased(key)
    return found[0]


def key_pair(call: Call, key: Key) -> Any:
    """Return the private key that is the material of ``key``."""
    return with_secret(call, key, lambda secret: load_key_pair(key.spec, secret))


def seal_under(call: Call, key: Key, purpose: Purpose, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    """Return the blob of ``plaintext`` under a symmetric key."""
    random = call.random(RANDOM_LENGTH)
    cipher = None
    if key.material_id is not None:
        cipher = call.view.message_cipher(key.scope, key.material_id, random[_MESSAGE_ID])
    if key.material_id is None or cipher is None:
        raise _erased(key)
    return seal(cipher, purpose, bytes.fromhex(key.material_id), random, plaintext, context)


def open_under(call: Call, key: Key, blob: Blob, context: Mapping[str, str]) -> bytes:
    """Return the plaintext of a blob, made with ``key``."""
    cipher = call.view.message_cipher(key.scope, blob.material_id.hex(), blob.message_id)
    if cipher is None:
        raise _erased(key)
    return open_blob(cipher, blob, context)


def _erased(key: Key) -> KmsServiceError:
    """Return the error for material that another process has erased since the key was found."""
    if key.origin == EXTERNAL:
        return faults.invalid_state(key.arn, "pending import")
    return faults.key_not_found(key.arn)
