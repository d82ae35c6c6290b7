"""What a client of a KMS does to import key material: wraps it with the public key it was given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

if TYPE_CHECKING:
    from envelope_sdk.local_kms import LocalKms


def wrap(public_key: bytes, algorithm: str, material: bytes) -> bytes:
    """Return ``material`` wrapped, by any of the four algorithms."""
    digest = SHA1() if algorithm.endswith("SHA_1") else SHA256()
    padding = OAEP(MGF1(digest), digest, None)
    key = load_der_public_key(public_key)
    assert isinstance(key, RSAPublicKey)
    if algorithm.startswith("RSAES"):
        return key.encrypt(material, padding)
    ephemeral = os.urandom(32)
    return key.encrypt(ephemeral, padding) + aes_key_wrap_with_padding(ephemeral, material)


def import_parameters(
    kms: LocalKms, key_id: str, material: bytes, algorithm: str = "RSAES_OAEP_SHA_256", **more: Any
) -> dict[str, Any]:
    """Return the parameters of an import of ``material`` that never expires, unless ``more`` says so."""
    issued = kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048")
    lasting = {} if "ValidTo" in more else {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {
        "KeyId": key_id,
        "ImportToken": issued["ImportToken"],
        "EncryptedKeyMaterial": wrap(issued["PublicKey"], algorithm, material),
        **lasting,
        **more,
    }


def external(kms: LocalKms, spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT", **more: Any) -> str:
    """Make a key whose material is to be imported, and return its id."""
    made = kms.create_key(KeySpec=spec, KeyUsage=usage, Origin="EXTERNAL", **more)
    key_id: str = made["KeyMetadata"]["KeyId"]
    return key_id


def give(kms: LocalKms, key_id: str, material: bytes, algorithm: str = "RSAES_OAEP_SHA_256", **more: Any) -> Any:
    """Import ``material`` and return its id."""
    answer = kms.import_key_material(**import_parameters(kms, key_id, material, algorithm, **more))
    return answer.get("KeyMaterialId")


def described(kms: LocalKms, key_id: str) -> dict[str, Any]:
    """Return a key's metadata."""
    metadata: dict[str, Any] = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    return metadata


def state(kms: LocalKms, key_id: str) -> str:
    """Return a key's state."""
    found: str = described(kms, key_id)["KeyState"]
    return found


def materials(kms: LocalKms, key_id: str) -> list[dict[str, Any]]:
    """Return all that is listed of a key's materials."""
    given = {"KeyId": key_id, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
    listed: list[dict[str, Any]] = kms.list_key_rotations(**given)["Rotations"]
    return listed
