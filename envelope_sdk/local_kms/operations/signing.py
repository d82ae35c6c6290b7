"""GetPublicKey, Sign, Verify, GenerateMac, VerifyMac."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA224, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

from envelope_sdk.local_kms import faults, signatures
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import MAX_BLOB, MAX_PLAINTEXT
from envelope_sdk.local_kms.key_pairs import hmac_secret, public_der
from envelope_sdk.local_kms.kinds import MAC, SIGN, SYMMETRIC, algorithm_lists, named
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.operations.using import admit_to, key_pair, stop_if, with_secret
from envelope_sdk.local_kms.parameters import MAC_ALGORITHMS, MESSAGE_TYPES, SIGNING_ALGORITHMS, Parameters

__all__ = ["generate_mac", "get_public_key", "sign", "verify", "verify_mac"]

_HASHES: Final[Mapping[str, HashAlgorithm]] = {
    "HMAC_SHA_224": SHA224(),
    "HMAC_SHA_256": SHA256(),
    "HMAC_SHA_384": SHA384(),
    "HMAC_SHA_512": SHA512(),
}


def get_public_key(call: Call) -> dict[str, Any]:
    """Return the public half of a key pair, and what it is for."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.grant_tokens()
    parameters.done()
    key = call.key(name, call.view)
    if key.spec == SYMMETRIC or key.usage == MAC:
        raise faults.unsupported("")
    return {
        "KeyId": key.arn,
        "PublicKey": public_der(key_pair(call, key)),
        **named(key.spec),
        "KeyUsage": key.usage,
        **algorithm_lists(key),
    }


def sign(call: Call) -> dict[str, Any]:
    """Sign a message, its digest or its representative."""
    parameters = Parameters(call.parameters)
    name, algorithm, message_type, message = _to_sign(parameters)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = _signing_key(call, name, algorithm, message_type, message)
    # Before a dry run ends: only signing tells whether the ``cryptography`` installed can.
    signature = signatures.sign(key_pair(call, key), algorithm, message_type, message)
    stop_if(dry_run)
    return {"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": algorithm}


def verify(call: Call) -> dict[str, Any]:
    """Verify a signature; one that does not hold is an error, never an answer."""
    parameters = Parameters(call.parameters)
    name, algorithm, message_type, message = _to_sign(parameters)
    signature = parameters.data("Signature", MAX_BLOB)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = _signing_key(call, name, algorithm, message_type, message)
    if not signatures.verify(key_pair(call, key).public_key(), algorithm, message_type, message, signature):
        raise faults.invalid_signature()
    stop_if(dry_run)
    return {"KeyId": key.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}


def generate_mac(call: Call) -> dict[str, Any]:
    """Return the HMAC of a message."""
    parameters = Parameters(call.parameters)
    name, algorithm, message = _to_authenticate(parameters)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), MAC, algorithm)
    mac = _hmac(call, key, algorithm, message)
    stop_if(dry_run)
    return {"KeyId": key.arn, "Mac": mac, "MacAlgorithm": algorithm}


def verify_mac(call: Call) -> dict[str, Any]:
    """Compare an HMAC with that of a message; another one is an error, never an answer."""
    parameters = Parameters(call.parameters)
    name, algorithm, message = _to_authenticate(parameters)
    mac = parameters.data("Mac", MAX_BLOB)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), MAC, algorithm)
    if not bytes_eq(mac, _hmac(call, key, algorithm, message)):
        raise faults.invalid_mac()
    stop_if(dry_run)
    return {"KeyId": key.arn, "MacValid": True, "MacAlgorithm": algorithm}


def _to_sign(parameters: Parameters) -> tuple[str, str, str, bytes]:
    """Take a key's name, a signing algorithm, and a message with its type."""
    name = parameters.key_id()
    message = parameters.data("Message", MAX_PLAINTEXT)
    message_type = parameters.choice("MessageType", MESSAGE_TYPES) or "RAW"
    parameters.grant_tokens()
    # Not of the enumeration, and yet AWS looks at the key first.
    allowed = (*SIGNING_ALGORITHMS, SYMMETRIC)
    algorithm = parameters.choice("SigningAlgorithm", allowed, listed=SIGNING_ALGORITHMS, required=True) or ""
    return name, algorithm, message_type, message


def _signing_key(call: Call, name: str, algorithm: str, message_type: str, message: bytes) -> Key:
    key = admit_to(call, call.find(name, call.view), SIGN, algorithm)
    signatures.check_message(key.spec, algorithm, message_type, message)
    return key


def _to_authenticate(parameters: Parameters) -> tuple[str, str, bytes]:
    """Take a key's name, a MAC algorithm and a message."""
    message = parameters.data("Message", MAX_PLAINTEXT)
    name = parameters.key_id()
    algorithm = parameters.choice("MacAlgorithm", MAC_ALGORITHMS, required=True) or ""
    parameters.grant_tokens()
    return name, algorithm, message


def _hmac(call: Call, key: Key, algorithm: str, message: bytes) -> bytes:
    def authenticate(secret: bytearray) -> bytes:
        mac = HMAC(hmac_secret(key.spec, secret), _HASHES[algorithm])
        mac.update(message)
        return mac.finalize()

    return with_secret(call, key, authenticate)
