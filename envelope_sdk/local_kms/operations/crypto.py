"""Encrypt, Decrypt, ReEncrypt, GenerateDataKey and its form without plaintext, GenerateRandom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import (
    MAX_BLOB,
    MAX_PLAINTEXT,
    RANDOM_LENGTH,
    Blob,
    Purpose,
    open_blob,
    parse,
    seal,
)
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.parameters import (
    DATA_KEY_SPECS,
    ENCRYPTION_ALGORITHMS,
    MAX_KEY_ID,
    Parameters,
)

__all__ = [
    "decrypt",
    "encrypt",
    "generate_data_key",
    "generate_data_key_without_plaintext",
    "generate_random",
    "re_encrypt",
]

_SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
_MAX_RANDOM: Final = 1024
_DATA_KEY_LENGTHS: Final = {"AES_256": 32, "AES_128": 16}
_MESSAGE_ID: Final = slice(0, 16)


def encrypt(call: Call) -> dict[str, Any]:
    """Encrypt up to 4096 bytes."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    plaintext = parameters.data("Plaintext", MAX_PLAINTEXT)
    context = parameters.context("EncryptionContext")
    parameters.grant_tokens()
    algorithm = parameters.choice("EncryptionAlgorithm", ENCRYPTION_ALGORITHMS)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = _usable(call, call.key(name, call.view), algorithm)
    _stop_if(dry_run)
    blob = _seal(call, key, Purpose.ENCRYPT, plaintext, context)
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": _SYMMETRIC}


def decrypt(call: Call) -> dict[str, Any]:
    """Decrypt a blob; the key is found by the blob, and compared with the one named, if any."""
    parameters = Parameters(call.parameters)
    data = parameters.data("CiphertextBlob", MAX_BLOB)
    context = parameters.context("EncryptionContext")
    parameters.grant_tokens()
    name = parameters.text("KeyId", MAX_KEY_ID)
    algorithm = parameters.choice("EncryptionAlgorithm", ENCRYPTION_ALGORITHMS)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key, blob = _source(call, data, name)
    _usable(call, call.admit(key), algorithm)
    plaintext = _open(call, blob, context)
    _stop_if(dry_run)
    return {
        "KeyId": key.arn,
        "Plaintext": plaintext,
        "EncryptionAlgorithm": _SYMMETRIC,
        "KeyMaterialId": blob.material_id.hex(),
    }


def re_encrypt(call: Call) -> dict[str, Any]:
    """Decrypt a blob and encrypt its content under another key or context, without the content leaving the KMS."""
    parameters = Parameters(call.parameters)
    data = parameters.data("CiphertextBlob", MAX_BLOB)
    source_context = parameters.context("SourceEncryptionContext")
    source_name = parameters.text("SourceKeyId", MAX_KEY_ID)
    destination_name = parameters.key_id("DestinationKeyId")
    context = parameters.context("DestinationEncryptionContext")
    source_algorithm = parameters.choice("SourceEncryptionAlgorithm", ENCRYPTION_ALGORITHMS)
    algorithm = parameters.choice("DestinationEncryptionAlgorithm", ENCRYPTION_ALGORITHMS)
    parameters.grant_tokens()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    source, blob = _source(call, data, source_name)
    _usable(call, call.admit(source, "ReEncryptFrom"), source_algorithm)
    key = _usable(call, call.key(destination_name, call.view, action="ReEncryptTo"), algorithm)
    plaintext = _open(call, blob, source_context)
    _stop_if(dry_run)
    return {
        "CiphertextBlob": _seal(call, key, Purpose.ENCRYPT, plaintext, context),
        "SourceKeyId": source.arn,
        "KeyId": key.arn,
        "SourceEncryptionAlgorithm": _SYMMETRIC,
        "DestinationEncryptionAlgorithm": _SYMMETRIC,
        "SourceKeyMaterialId": blob.material_id.hex(),
        "DestinationKeyMaterialId": key.material_id,
    }


def generate_data_key(call: Call) -> dict[str, Any]:
    """Make a data key, in the clear and as a blob."""
    key, plaintext, blob = _data_key(call, Purpose.DATA_KEY)
    return {"CiphertextBlob": blob, "Plaintext": plaintext, "KeyId": key.arn, "KeyMaterialId": key.material_id}


def generate_data_key_without_plaintext(call: Call) -> dict[str, Any]:
    """Make a data key, as a blob only."""
    key, _, blob = _data_key(call, Purpose.DATA_KEY_WITHOUT_PLAINTEXT)
    return {"CiphertextBlob": blob, "KeyId": key.arn, "KeyMaterialId": key.material_id}


def generate_random(call: Call) -> dict[str, Any]:
    """Return 1 to 1024 random bytes."""
    parameters = Parameters(call.parameters)
    length = parameters.number("NumberOfBytes", 1, _MAX_RANDOM)
    parameters.done()
    if length is None:
        raise faults.validation("NumberOfBytes is required.")
    call.gate.authorize(call, call.operation, None)
    return {"Plaintext": call.random(length)}


def _data_key(call: Call, purpose: Purpose) -> tuple[Key, bytes, bytes]:
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    context = parameters.context("EncryptionContext")
    number = parameters.number("NumberOfBytes", 1, _MAX_RANDOM)
    spec = parameters.choice("KeySpec", DATA_KEY_SPECS)
    parameters.grant_tokens()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    length = number if spec is None else _DATA_KEY_LENGTHS[spec]
    if length is None or (number is not None and spec is not None):
        raise faults.validation("Please specify either number of bytes or key spec.")
    key = _usable(call, call.key(name, call.view), None)
    _stop_if(dry_run)
    plaintext = call.random(length)
    return key, plaintext, _seal(call, key, purpose, plaintext, context)


def _usable(call: Call, key: Key, algorithm: str | None) -> Key:
    if key.usage != "ENCRYPT_DECRYPT":
        raise faults.usage(key.arn, key.usage, call.operation)
    if algorithm not in (None, _SYMMETRIC):
        raise faults.algorithm_mismatch(algorithm, key.spec)
    return key


def _stop_if(dry_run: bool) -> None:
    if dry_run:
        raise faults.dry_run()


def _source(call: Call, data: bytes, name: str | None) -> tuple[Key, Blob]:
    """Return the key a blob was made with and the blob taken apart."""
    named = None if name is None else call.find(name, call.view)
    blob = parse(data)
    key_id = call.view.key_of_material(call.scope, blob.material_id.hex())
    if key_id is None:
        raise faults.unknown_material()
    key = call.view.key(call.scope, key_id)
    if key is None:
        raise faults.unknown_material()
    if named is not None and named.key_id != key.key_id:
        raise faults.incorrect_key()
    return key, blob


def _seal(call: Call, key: Key, purpose: Purpose, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    random = call.random(RANDOM_LENGTH)
    cipher = None
    if key.material_id is not None:
        cipher = call.view.message_cipher(call.scope, key.material_id, random[_MESSAGE_ID])
    if key.material_id is None or cipher is None:
        # Erased by another process since the key was found.
        raise faults.key_not_found(key.arn)
    return seal(cipher, purpose, bytes.fromhex(key.material_id), random, plaintext, context)


def _open(call: Call, blob: Blob, context: Mapping[str, str]) -> bytes:
    cipher = call.view.message_cipher(call.scope, blob.material_id.hex(), blob.message_id)
    if cipher is None:
        raise faults.unknown_material()
    return open_blob(cipher, blob, context)
