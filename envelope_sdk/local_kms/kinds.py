"""The kinds of keys: what each key spec is for, and with which algorithms. Data only.

Source: AWS KMS API reference, ``KeySpec`` and ``KeyUsage`` of CreateKey, and what DescribeKey answers for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.model import Key

__all__ = [
    "AGREE",
    "ENCAPSULATE",
    "ENCRYPT",
    "KEY_SPECS",
    "MAC",
    "OLD_KEY_SPECS",
    "SIGN",
    "SYMMETRIC",
    "algorithm_lists",
    "algorithms",
    "named",
    "usages",
]

SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
"""The spec of keys whose ciphertext names them, and the algorithm of those."""

ENCRYPT: Final = "ENCRYPT_DECRYPT"
SIGN: Final = "SIGN_VERIFY"
MAC: Final = "GENERATE_VERIFY_MAC"
AGREE: Final = "KEY_AGREEMENT"
ENCAPSULATE: Final = "ENCAPSULATE_DECAPSULATE"

_MEMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ENCRYPT: "EncryptionAlgorithms",
        SIGN: "SigningAlgorithms",
        MAC: "MacAlgorithms",
        AGREE: "KeyAgreementAlgorithms",
        ENCAPSULATE: "EncapsulationAlgorithms",
    }
)
_RSA: Final[Mapping[str, Sequence[str]]] = {
    ENCRYPT: ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"),
    SIGN: (
        *("RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512"),
        *("RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"),
    ),
}
_SM2: Final[Mapping[str, Sequence[str]]] = {ENCRYPT: ("SM2PKE",), SIGN: ("SM2DSA",), AGREE: ("ECDH",)}
_ML_DSA: Final[Mapping[str, Sequence[str]]] = {SIGN: ("ML_DSA_SHAKE_256",)}
_ML_KEM: Final[Mapping[str, Sequence[str]]] = {ENCAPSULATE: ("ML_KEM",)}

_OLD_KINDS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "RSA_2048": _RSA,
    "RSA_3072": _RSA,
    "RSA_4096": _RSA,
    "ECC_NIST_P256": {SIGN: ("ECDSA_SHA_256",), AGREE: ("ECDH",)},
    "ECC_NIST_P384": {SIGN: ("ECDSA_SHA_384",), AGREE: ("ECDH",)},
    "ECC_NIST_P521": {SIGN: ("ECDSA_SHA_512",), AGREE: ("ECDH",)},
    "ECC_SECG_P256K1": {SIGN: ("ECDSA_SHA_256",)},
    "SYMMETRIC_DEFAULT": {ENCRYPT: (SYMMETRIC,)},
    "HMAC_224": {MAC: ("HMAC_SHA_224",)},
    "HMAC_256": {MAC: ("HMAC_SHA_256",)},
    "HMAC_384": {MAC: ("HMAC_SHA_384",)},
    "HMAC_512": {MAC: ("HMAC_SHA_512",)},
    "SM2": _SM2,
}
_KINDS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    **_OLD_KINDS,
    "ML_DSA_44": _ML_DSA,
    "ML_DSA_65": _ML_DSA,
    "ML_DSA_87": _ML_DSA,
    "ECC_NIST_EDWARDS25519": {SIGN: ("ED25519_SHA_512", "ED25519_PH_SHA_512")},
    "ML_KEM_512": _ML_KEM,
    "ML_KEM_768": _ML_KEM,
    "ML_KEM_1024": _ML_KEM,
}

_RECORDED: Final = (
    *("RSA_2048", "ECC_NIST_P384", "ECC_NIST_P256", "ECC_NIST_P521", "HMAC_384", "RSA_3072", "ECC_SECG_P256K1"),
    *("RSA_4096", "SYMMETRIC_DEFAULT", "HMAC_256", "HMAC_224", "HMAC_512"),
)
"""The order in which AWS was recorded to print specs."""

KEY_SPECS: Final = (*_RECORDED, *(spec for spec in _KINDS if spec not in _RECORDED))
"""``KeySpec`` of CreateKey, in AWS's order; those newer than the record in the model's."""

OLD_KEY_SPECS: Final = tuple(spec for spec in KEY_SPECS if spec in _OLD_KINDS)
"""``CustomerMasterKeySpec``, the older name, which newer specs have not."""


def usages(spec: str) -> Sequence[str]:
    """Return what a key of one of :data:`KEY_SPECS` may be made for; each key is for one of them."""
    return tuple(_KINDS[spec])


def algorithms(key: Key) -> Sequence[str]:
    """Return the algorithms that ``key`` can be used with.

    Raises:
        KeyStoreError: the store says of it what no key is.
    """
    # Of SM2 no key is ever made here: what is known of it serves to say so.
    found = None if key.spec == "SM2" else _KINDS.get(key.spec, {}).get(key.usage)
    if found is None:
        raise KeyStoreError(
            f"the key store's record of key {key.key_id!r:.80} is damaged: there are no keys of its kind"
        )
    return found


def named(spec: str) -> dict[str, str]:
    """Return the members of an answer that name a spec: under both names, where the older one has it."""
    return ({"CustomerMasterKeySpec": spec} if spec in _OLD_KINDS else {}) | {"KeySpec": spec}


def algorithm_lists(key: Key) -> dict[str, list[str]]:
    """Return the member of an answer that lists a key's algorithms, under the name that goes with its usage."""
    listed = list(algorithms(key))
    return {_MEMBERS[key.usage]: listed}
