"""Materials for trying keyrings without a message around them."""

from __future__ import annotations

from typing import Any, TypeVar

from envelope_sdk import AlgorithmSuite, EncryptionContext
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
CONTEXT = EncryptionContext({"purpose": "test"})
DATA_KEY = bytes(range(32))

AnyMaterials = TypeVar("AnyMaterials", EncryptionMaterials, DecryptionMaterials)


def changed(materials: AnyMaterials, **changes: Any) -> AnyMaterials:
    """Return materials that differ from these in the fields given."""
    return type(materials)(**({name: getattr(materials, name) for name in materials.__match_args__} | changes))


def to_wrap(
    data_key: bytes | None = DATA_KEY, *, suite: AlgorithmSuite = SUITE, context: EncryptionContext = CONTEXT
) -> EncryptionMaterials:
    return EncryptionMaterials(suite, context, plaintext_data_key=data_key)


def to_open(
    data_key: bytes | None = None, *, suite: AlgorithmSuite = SUITE, context: EncryptionContext = CONTEXT
) -> DecryptionMaterials:
    return DecryptionMaterials(suite, context, plaintext_data_key=data_key)
