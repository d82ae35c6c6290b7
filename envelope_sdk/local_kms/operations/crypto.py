"""Encrypt, Decrypt, ReEncrypt, GenerateDataKey and its form without plaintext, GenerateRandom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import MAX_BLOB, MAX_PLAINTEXT, Blob, Purpose, parse
from envelope_sdk.local_kms.kinds import ENCRYPT, SYMMETRIC
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.operations.custom_key_stores import refuse_custom_key_store, takes_custom_key_store
from envelope_sdk.local_kms.operations.rsa_encryption import check_plaintext, rsa_decrypt, rsa_encrypt
from envelope_sdk.local_kms.operations.using import admit_to, check_fit, open_under, seal_under, stop_if
from envelope_sdk.local_kms.parameters import (
    DATA_KEY_SPECS,
    DRY_RUN_MODIFIERS,
    ENCRYPTION_ALGORITHMS,
    LISTED_DATA_KEY_SPECS,
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

_MAX_RANDOM: Final = 1024
_DATA_KEY_LENGTHS: Final = {"AES_256": 32, "AES_128": 16}


class _Given(NamedTuple):
    """The ciphertext a call gives.

    Attributes:
        data: the ciphertext; empty where it was left out, which only a dry run that ignores it may do.
        dry_run: whether the caller only wants to know whether the call would succeed.
        ignored: whether that is to be said from the key alone.
    """

    data: bytes
    dry_run: bool
    ignored: bool


class _Source(NamedTuple):
    """A ciphertext to be decrypted.

    Attributes:
        key: the key it is said to be made with, else the one it was.
        algorithm: the algorithm asked for.
        blob: the ciphertext taken apart; ``None`` where it is one of RSA.
        data: the ciphertext.
        named: whether the caller named the key.
        maker: the key that the blob was made with, where there is one.
    """

    key: Key
    algorithm: str
    blob: Blob | None
    data: bytes
    named: bool = True
    maker: Key | None = None


def encrypt(call: Call) -> dict[str, Any]:
    """Encrypt up to 4096 bytes."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    plaintext = parameters.data("Plaintext", MAX_PLAINTEXT)
    context = parameters.context("EncryptionContext")
    parameters.grant_tokens()
    algorithm = parameters.choice("EncryptionAlgorithm", ENCRYPTION_ALGORITHMS) or SYMMETRIC
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), ENCRYPT, algorithm)
    _check_context(algorithm, context)
    _check_length(key, algorithm, plaintext)
    stop_if(dry_run)
    blob = _encrypted(call, key, algorithm, plaintext, context)
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": algorithm}


def decrypt(call: Call) -> dict[str, Any]:
    """Decrypt a ciphertext.

    A symmetric key is found by the blob, and compared with the one named, if any; an RSA key has to be named.
    """
    parameters = Parameters(call.parameters)
    given = _given(parameters)
    context = parameters.context("EncryptionContext")
    parameters.grant_tokens()
    parameters.check_recipient()
    name = parameters.optional_key_id()
    algorithm = parameters.choice("EncryptionAlgorithm", ENCRYPTION_ALGORITHMS) or SYMMETRIC
    parameters.done()
    source = _source(call, given, name, algorithm)
    _admit_source(call, source, "Decrypt")
    _check_context(algorithm, context)
    stop_if(given.ignored)
    plaintext = _decrypted(call, source, context)
    stop_if(given.dry_run)
    answer: dict[str, Any] = {"KeyId": source.key.arn, "Plaintext": plaintext, "EncryptionAlgorithm": algorithm}
    if source.blob is not None:
        answer["KeyMaterialId"] = source.blob.material_id.hex()
    return answer


def re_encrypt(call: Call) -> dict[str, Any]:
    """Decrypt a ciphertext and encrypt its content under another key or context; the content is not shown."""
    parameters = Parameters(call.parameters)
    given = _given(parameters)
    source_context = parameters.context("SourceEncryptionContext")
    source_name = parameters.optional_key_id("SourceKeyId")
    destination_name = parameters.key_id("DestinationKeyId")
    context = parameters.context("DestinationEncryptionContext")
    source_algorithm = parameters.choice("SourceEncryptionAlgorithm", ENCRYPTION_ALGORITHMS) or SYMMETRIC
    algorithm = parameters.choice("DestinationEncryptionAlgorithm", ENCRYPTION_ALGORITHMS) or SYMMETRIC
    parameters.grant_tokens()
    parameters.done()
    source = _source(call, given, source_name, source_algorithm)
    key = _destination(call, source, destination_name)
    _admit_source(call, source, "ReEncryptFrom")
    admit_to(call, key, ENCRYPT, algorithm, "ReEncryptTo")
    _check_context(source_algorithm, source_context)
    _check_context(algorithm, context)
    stop_if(given.ignored)
    plaintext = _decrypted(call, source, source_context)
    _check_length(key, algorithm, plaintext)
    stop_if(given.dry_run)
    blob = _encrypted(call, key, algorithm, plaintext, context)
    return {"CiphertextBlob": blob, **_moved(source, key, algorithm)}


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
    custom = takes_custom_key_store(parameters)
    parameters.check_recipient()
    parameters.done()
    if length is None:
        raise faults.validation("NumberOfBytes is required.")
    call.permit(None)
    refuse_custom_key_store(wanted=custom)
    return {"Plaintext": call.random(length)}


def _data_key(call: Call, purpose: Purpose) -> tuple[Key, bytes, bytes]:
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    context = parameters.context("EncryptionContext")
    number = parameters.number("NumberOfBytes", 1, _MAX_RANDOM)
    spec = parameters.choice("KeySpec", DATA_KEY_SPECS, listed=LISTED_DATA_KEY_SPECS)
    parameters.grant_tokens()
    parameters.check_recipient()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    length = number if spec is None else _DATA_KEY_LENGTHS[spec]
    if length is None or (number is not None and spec is not None):
        raise faults.validation("Please specify either number of bytes or key spec.")
    key = admit_to(call, call.find(name, call.view), ENCRYPT, None)
    if key.spec != SYMMETRIC:
        raise faults.asymmetric_for_data_key()
    stop_if(dry_run)
    plaintext = call.random(length)
    return key, plaintext, seal_under(call, key, purpose, plaintext, context)


def _given(parameters: Parameters) -> _Given:
    dry_run = parameters.flag("DryRun")
    # Modifiers of a dry run mean nothing to a call that is none.
    ignored = bool(parameters.choices("DryRunModifiers", DRY_RUN_MODIFIERS)) and dry_run
    return _Given(parameters.data("CiphertextBlob", MAX_BLOB, required=not ignored), dry_run, ignored)


def _moved(source: _Source, key: Key, algorithm: str) -> dict[str, Any]:
    """Return what ReEncrypt answers beside the ciphertext."""
    answer: dict[str, Any] = {
        "SourceKeyId": source.key.arn,
        "KeyId": key.arn,
        "SourceEncryptionAlgorithm": source.algorithm,
        "DestinationEncryptionAlgorithm": algorithm,
    }
    if source.blob is not None:
        answer["SourceKeyMaterialId"] = source.blob.material_id.hex()
    if key.spec == SYMMETRIC:
        answer["DestinationKeyMaterialId"] = key.material_id
    return answer


def _source(call: Call, given: _Given, name: str | None, algorithm: str) -> _Source:
    """Return a ciphertext and the key it was made with; the key is neither permitted nor checked yet."""
    action = "ReEncryptFrom" if call.operation == "ReEncrypt" else None
    named = None if name is None else call.find(name, call.view, action=action)
    if given.ignored and named is None:
        raise faults.validation("The key has to be named where the ciphertext is ignored.")
    if named is not None and (given.ignored or algorithm != SYMMETRIC):
        return _Source(named, algorithm, None, given.data)
    if algorithm != SYMMETRIC:
        raise faults.validation(f"A KeyId is required to decrypt with {algorithm}: the ciphertext names no key.")
    blob = parse(given.data)
    maker = _maker(call, blob)
    if named is not None:
        return _Source(named, algorithm, blob, given.data, maker=maker)
    if maker is None:
        raise faults.unknown_material(named=False)
    return _Source(maker, algorithm, blob, given.data, named=False, maker=maker)


def _maker(call: Call, blob: Blob) -> Key | None:
    """Return the key that a blob was made with: of the caller's account, or else of another."""
    material_id, scope = blob.material_id.hex(), call.scope
    key_id = call.view.key_of_material(scope, material_id)
    if key_id is None:
        owner = call.view.owner_of(scope.region, material_id)
        if owner is None:
            return None
        scope, key_id = owner
    key = call.view.key(scope, key_id)
    return key if key is not None and key.spec == SYMMETRIC else None


def _destination(call: Call, source: _Source, name: str) -> Key:
    """Return the key to encrypt under, neither permitted nor checked yet."""
    try:
        key = call.find(name, call.view, action="ReEncryptTo")
    except KmsServiceError as error:
        if error.code == "AccessDeniedException":
            # As if there were such a key, which is looked at after the source.
            call.facts = {"kms:ReEncryptOnSameKey": False}
            _admit_source(call, source, "ReEncryptFrom")
        raise
    call.facts = {"kms:ReEncryptOnSameKey": key.arn == source.key.arn}
    return key


def _admit_source(call: Call, source: _Source, action: str) -> None:
    """Check that the caller may decrypt with the key, that the blob is one of its own, and that it is fit for it.

    Who names no key and may not use the one that the blob was made with does not learn that there is one.
    """
    try:
        call.permit(source.key, action)
    except KmsServiceError as error:
        if source.named or error.code != "AccessDeniedException":
            raise
        raise faults.unknown_material(named=False) from None
    if source.blob is not None and source.maker is None:
        raise faults.unknown_material(named=True)
    if source.maker is not None and source.maker.arn != source.key.arn:
        raise faults.incorrect_key()
    check_fit(call, source.key, ENCRYPT, source.algorithm)


def _decrypted(call: Call, source: _Source, context: Mapping[str, str]) -> bytes:
    if source.blob is not None:
        return open_under(call, source.key, source.blob, context)
    return rsa_decrypt(call, source.key, source.algorithm, source.data)


def _encrypted(call: Call, key: Key, algorithm: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    if algorithm == SYMMETRIC:
        return seal_under(call, key, Purpose.ENCRYPT, plaintext, context)
    return rsa_encrypt(call, key, algorithm, plaintext)


def _check_length(key: Key, algorithm: str, plaintext: bytes) -> None:
    if algorithm != SYMMETRIC:
        check_plaintext(key, algorithm, plaintext)


def _check_context(algorithm: str, context: Mapping[str, str]) -> None:
    """Refuse a context that RSA could not bind: a caller who gives one relies on it."""
    if context and algorithm != SYMMETRIC:
        raise faults.validation("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.")
