"""DeriveSharedSecret, Encapsulate, Decapsulate."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import MAX_BLOB
from envelope_sdk.local_kms.key_pairs import CURVES
from envelope_sdk.local_kms.kinds import AGREE, ENCAPSULATE
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.operations.using import admit_to, key_pair, stop_if
from envelope_sdk.local_kms.parameters import (
    ENCAPSULATION_ALGORITHMS,
    KEY_AGREEMENT_ALGORITHMS,
    MAX_PUBLIC_KEY,
    Parameters,
)

__all__ = ["decapsulate", "derive_shared_secret", "encapsulate"]


def derive_shared_secret(call: Call) -> dict[str, Any]:
    """Return the secret that a key of the KMS and another party's public key agree on."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    algorithm = parameters.choice("KeyAgreementAlgorithm", KEY_AGREEMENT_ALGORITHMS, required=True) or ""
    data = parameters.data("PublicKey", MAX_PUBLIC_KEY)
    parameters.grant_tokens()
    parameters.check_recipient()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), AGREE, algorithm)
    peer = _peer(key, data)
    secret: bytes = key_pair(call, key).exchange(ec.ECDH(), peer)
    stop_if(dry_run)
    return {"KeyId": key.arn, "SharedSecret": secret, "KeyAgreementAlgorithm": algorithm, "KeyOrigin": key.origin}


def encapsulate(call: Call) -> dict[str, Any]:
    """Make a secret, in the clear and enclosed."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    algorithm = _algorithm(parameters)
    parameters.grant_tokens()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), ENCAPSULATE, algorithm)
    # Before a dry run ends: the ``cryptography`` installed may have no such keys.
    secret, enclosed = key_pair(call, key).public_key().encapsulate()
    stop_if(dry_run)
    return {
        "KeyId": key.arn,
        "SharedSecret": secret,
        "SharedSecretCiphertextBlob": enclosed,
        "EncapsulationAlgorithm": algorithm,
    }


def decapsulate(call: Call) -> dict[str, Any]:
    """Return the secret enclosed. What was altered gives another secret and no error (FIPS 203 section 6.3)."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    enclosed = parameters.data("SharedSecretCiphertextBlob", MAX_BLOB)
    algorithm = _algorithm(parameters)
    parameters.grant_tokens()
    parameters.check_recipient()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), ENCAPSULATE, algorithm)
    try:
        secret: bytes = key_pair(call, key).decapsulate(enclosed)
    except ValueError:
        # Of another length.
        raise faults.invalid_ciphertext() from None
    stop_if(dry_run)
    return {"KeyId": key.arn, "SharedSecret": secret, "EncapsulationAlgorithm": algorithm}


def _algorithm(parameters: Parameters) -> str:
    return parameters.choice("EncapsulationAlgorithm", ENCAPSULATION_ALGORITHMS, required=True) or ""


def _peer(key: Key, data: bytes) -> ec.EllipticCurvePublicKey:
    try:
        peer = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm, Warning):
        # AWS sends no text. Of kinds on their way out ``cryptography`` warns, which a program may have made an error.
        raise faults.validation("") from None
    if not isinstance(peer, ec.EllipticCurvePublicKey) or peer.curve.name != CURVES[key.spec].name:
        raise faults.validation("")
    return peer
