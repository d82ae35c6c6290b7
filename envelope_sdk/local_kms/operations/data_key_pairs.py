"""GenerateDataKeyPair and its form without plaintext."""

from __future__ import annotations

from typing import Any

from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.ciphertext import Purpose
from envelope_sdk.local_kms.key_pairs import check_available, new_key_pair, private_der, public_der
from envelope_sdk.local_kms.kinds import ENCRYPT, SYMMETRIC
from envelope_sdk.local_kms.operations.using import admit_to, seal_under, stop_if
from envelope_sdk.local_kms.parameters import DATA_KEY_PAIR_SPECS, Parameters

__all__ = ["generate_data_key_pair", "generate_data_key_pair_without_plaintext"]


def generate_data_key_pair(call: Call) -> dict[str, Any]:
    """Make a key pair, the private key in the clear and as a blob."""
    answer, plaintext = _data_key_pair(call, Purpose.DATA_KEY)
    return answer | {"PrivateKeyPlaintext": plaintext}


def generate_data_key_pair_without_plaintext(call: Call) -> dict[str, Any]:
    """Make a key pair, the private key as a blob only."""
    answer, _ = _data_key_pair(call, Purpose.DATA_KEY_WITHOUT_PLAINTEXT)
    return answer


def _data_key_pair(call: Call, purpose: Purpose) -> tuple[dict[str, Any], bytes]:
    """Return the answer, and the private key in the clear."""
    parameters = Parameters(call.parameters)
    context = parameters.context("EncryptionContext")
    name = parameters.key_id()
    spec = parameters.choice("KeyPairSpec", DATA_KEY_PAIR_SPECS, required=True) or ""
    parameters.grant_tokens()
    parameters.check_recipient()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    key = admit_to(call, call.find(name, call.view), ENCRYPT, SYMMETRIC)
    check_available(spec)
    stop_if(dry_run)
    pair = new_key_pair(spec, call.random)
    plaintext = private_der(pair)
    answer = {
        "PrivateKeyCiphertextBlob": seal_under(call, key, purpose, plaintext, context),
        "PublicKey": public_der(pair),
        "KeyId": key.arn,
        "KeyPairSpec": spec,
        "KeyMaterialId": key.material_id,
    }
    return answer, plaintext
