"""Keys of every kind: what CreateKey makes of each spec and usage, and how their material is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from testkit.kms_kinds import available

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.key_pairs import hmac_secret, load_key_pair, new_secret, private_der
from envelope_sdk.local_kms.kinds import KEY_SPECS, OLD_KEY_SPECS
from envelope_sdk.primitives.entropy import system_random

_MODEL = botocore.session.get_session().get_service_model("kms")
_NEW_MODEL = pytest.mark.skipif(
    "Encapsulate" not in _MODEL.operation_names, reason="this botocore's model is older than the one followed here"
)
_RSA_SIGNING = [
    *("RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512"),
    *("RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"),
]
_RSA_ENCRYPTION = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
_slow = pytest.mark.slow


def _post_quantum(spec: str, *values: object) -> Any:
    return pytest.param(spec, *values, marks=pytest.mark.skipif(not available(spec), reason=f"no {spec} here"))


_KINDS = [
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EncryptionAlgorithms", ["SYMMETRIC_DEFAULT"]),
    ("RSA_2048", "ENCRYPT_DECRYPT", "EncryptionAlgorithms", _RSA_ENCRYPTION),
    ("RSA_2048", "SIGN_VERIFY", "SigningAlgorithms", _RSA_SIGNING),
    pytest.param("RSA_3072", "SIGN_VERIFY", "SigningAlgorithms", _RSA_SIGNING, marks=_slow),
    pytest.param("RSA_4096", "ENCRYPT_DECRYPT", "EncryptionAlgorithms", _RSA_ENCRYPTION, marks=_slow),
    ("ECC_NIST_P256", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
    ("ECC_NIST_P384", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_384"]),
    ("ECC_NIST_P521", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_512"]),
    ("ECC_SECG_P256K1", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
    ("ECC_NIST_P256", "KEY_AGREEMENT", "KeyAgreementAlgorithms", ["ECDH"]),
    ("ECC_NIST_P384", "KEY_AGREEMENT", "KeyAgreementAlgorithms", ["ECDH"]),
    ("ECC_NIST_P521", "KEY_AGREEMENT", "KeyAgreementAlgorithms", ["ECDH"]),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "SigningAlgorithms", ["ED25519_SHA_512", "ED25519_PH_SHA_512"]),
    ("HMAC_224", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_224"]),
    ("HMAC_256", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_256"]),
    ("HMAC_384", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_384"]),
    ("HMAC_512", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_512"]),
    _post_quantum("ML_DSA_44", "SIGN_VERIFY", "SigningAlgorithms", ["ML_DSA_SHAKE_256"]),
    _post_quantum("ML_DSA_65", "SIGN_VERIFY", "SigningAlgorithms", ["ML_DSA_SHAKE_256"]),
    _post_quantum("ML_DSA_87", "SIGN_VERIFY", "SigningAlgorithms", ["ML_DSA_SHAKE_256"]),
    _post_quantum("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "EncapsulationAlgorithms", ["ML_KEM"]),
    _post_quantum("ML_KEM_1024", "ENCAPSULATE_DECAPSULATE", "EncapsulationAlgorithms", ["ML_KEM"]),
]
_LISTS = {
    *("EncryptionAlgorithms", "SigningAlgorithms", "MacAlgorithms", "KeyAgreementAlgorithms"),
    "EncapsulationAlgorithms",
}


@_NEW_MODEL
def test_the_specs_are_those_of_the_model() -> None:
    assert sorted(KEY_SPECS) == sorted(_MODEL.shape_for("KeySpec").enum)
    assert sorted(OLD_KEY_SPECS) == sorted(_MODEL.shape_for("CustomerMasterKeySpec").enum)


@pytest.mark.parametrize(("spec", "usage", "member", "algorithms"), _KINDS)
def test_a_key_says_what_it_is_for_and_with_which_algorithms(
    kms: LocalKms, spec: str, usage: str, member: str, algorithms: list[str]
) -> None:
    metadata = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]

    assert (spec, usage) == (metadata["KeySpec"], metadata["KeyUsage"])
    assert {member: algorithms} == {name: value for name, value in metadata.items() if name in _LISTS}
    assert metadata == kms.describe_key(KeyId=metadata["KeyId"])["KeyMetadata"]


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "HMAC_256"])
def test_only_symmetric_keys_name_their_material(kms: LocalKms, spec: str) -> None:
    usage = "SIGN_VERIFY" if spec.startswith("ECC") else "GENERATE_VERIFY_MAC"
    assert "CurrentKeyMaterialId" not in kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]


def test_the_older_name_of_the_spec_is_taken_and_answered(kms: LocalKms) -> None:
    metadata = kms.create_key(CustomerMasterKeySpec="HMAC_224", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    assert (metadata["KeySpec"], metadata["CustomerMasterKeySpec"]) == ("HMAC_224", "HMAC_224")


def test_a_spec_newer_than_the_older_name_is_not_answered_under_it(kms: LocalKms) -> None:
    metadata = kms.create_key(KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    assert "CustomerMasterKeySpec" not in metadata


def test_a_spec_newer_than_the_older_name_is_not_taken_under_it(kms: LocalKms, refused: Any) -> None:
    with refused("ValidationException"):
        kms.create_key(CustomerMasterKeySpec="ML_DSA_44", KeyUsage="SIGN_VERIFY")


def test_a_multi_region_key_may_be_of_any_kind(kms: LocalKms) -> None:
    metadata = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", MultiRegion=True)["KeyMetadata"]
    assert (metadata["MultiRegion"], metadata["MultiRegionConfiguration"]["MultiRegionKeyType"]) == (True, "PRIMARY")


# --- what no key can be ----------------------------------------------------------------------------------------------

_USAGES = [
    *("SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"),
]
_POSSIBLE = {
    "SYMMETRIC_DEFAULT": ["ENCRYPT_DECRYPT"],
    "RSA_": ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
    "ECC_NIST_P": ["SIGN_VERIFY", "KEY_AGREEMENT"],
    "ECC_SECG": ["SIGN_VERIFY"],
    "ECC_NIST_E": ["SIGN_VERIFY"],
    "HMAC_": ["GENERATE_VERIFY_MAC"],
    "SM2": ["ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"],
    "ML_DSA": ["SIGN_VERIFY"],
    "ML_KEM": ["ENCAPSULATE_DECAPSULATE"],
}


def _possible(spec: str) -> list[str]:
    return next(usages for start, usages in _POSSIBLE.items() if spec.startswith(start))


_IMPOSSIBLE = [(spec, usage) for spec in KEY_SPECS for usage in _USAGES if usage not in _possible(spec)]


@pytest.mark.parametrize(("spec", "usage"), _IMPOSSIBLE)
def test_a_usage_that_a_spec_does_not_have_is_refused(kms: LocalKms, refused: Any, spec: str, usage: str) -> None:
    with refused("ValidationException", f"KeyUsage {usage} is not compatible with KeySpec {spec}"):
        kms.create_key(KeySpec=spec, KeyUsage=usage)
    assert kms.list_keys()["Keys"] == []


@pytest.mark.parametrize("spec", [spec for spec in KEY_SPECS if spec != "SYMMETRIC_DEFAULT"])
def test_only_a_symmetric_key_has_a_usage_by_default(kms: LocalKms, refused: Any, spec: str) -> None:
    text = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    with refused("ValidationException", text):
        kms.create_key(KeySpec=spec)


@pytest.mark.parametrize(("spec", "usage"), [("SM2", "SIGN_VERIFY"), ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE")])
def test_what_cannot_be_made_here_is_refused(kms: LocalKms, refused: Any, spec: str, usage: str) -> None:
    with refused("UnsupportedOperationException"):
        kms.create_key(KeySpec=spec, KeyUsage=usage)
    assert kms.list_keys()["Keys"] == []


# --- material --------------------------------------------------------------------------------------------------------


def test_a_symmetric_key_costs_no_key_pair(kms: LocalKms, key_id: str, secret_of: Callable[[str], bytes]) -> None:
    assert len(secret_of(key_id)) == 32


def test_two_keys_of_one_kind_have_unlike_material() -> None:
    made = [bytes(new_secret(spec, system_random)) for spec in ("ECC_NIST_P256", "HMAC_512", "ECC_NIST_EDWARDS25519")]
    again = [bytes(new_secret(spec, system_random)) for spec in ("ECC_NIST_P256", "HMAC_512", "ECC_NIST_EDWARDS25519")]
    assert not set(made) & set(again)


@pytest.mark.parametrize(("spec", "length"), [("HMAC_224", 28), ("HMAC_256", 32), ("HMAC_384", 48), ("HMAC_512", 64)])
def test_an_hmac_key_is_as_long_as_its_hash(spec: str, length: int) -> None:
    assert len(hmac_secret(spec, new_secret(spec, system_random))) == length


_RECORDS = [
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ("HMAC_512", "GENERATE_VERIFY_MAC"),
    ("ECC_NIST_P256", "SIGN_VERIFY"),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
]
_MIXED_UP = [(made, said) for made in _RECORDS for said in _RECORDS if made != said]


@pytest.mark.parametrize(("made", "said"), _MIXED_UP, ids=lambda record: record[0])
def test_material_is_used_for_its_own_kind_only_whatever_the_record_says(
    kms: LocalKms, store: Any, made: tuple[str, str], said: tuple[str, str]
) -> None:
    key_id = kms.create_key(KeySpec=made[0], KeyUsage=made[1])["KeyMetadata"]["KeyId"]
    with store.write() as transaction:
        key = transaction.key(Scope(kms.account, kms.region), key_id)
        transaction.update_key(replace(key, spec=said[0], usage=said[1]))
    uses = {
        "ENCRYPT_DECRYPT": lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x"),
        "GENERATE_VERIFY_MAC": lambda: kms.generate_mac(
            KeyId=key_id, Message=b"x", MacAlgorithm=said[0].replace("_", "_SHA_")
        ),
        "SIGN_VERIFY": lambda: kms.get_public_key(KeyId=key_id),
    }
    with pytest.raises(KeyStoreError):
        uses[said[1]]()


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("spec", "usage", "operation", "given"),
    [
        ("ML_DSA_44", "SIGN_VERIFY", "sign", {"Message": b"x", "SigningAlgorithm": "ML_DSA_SHAKE_256"}),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "encapsulate", {"EncapsulationAlgorithm": "ML_KEM"}),
        ("HMAC_256", "GENERATE_VERIFY_MAC", "generate_mac", {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}),
    ],
)
def test_a_dry_run_fails_as_the_call_would_where_the_material_cannot_be_used(
    kms: LocalKms, key_id: str, store: Any, spec: str, usage: str, operation: str, given: dict[str, Any], dry_run: bool
) -> None:
    with store.write() as transaction:
        key = transaction.key(Scope(kms.account, kms.region), key_id)
        transaction.update_key(replace(key, spec=spec, usage=usage))
    with pytest.raises(KeyStoreError, match=f"where the material of a key {spec} belongs"):
        getattr(kms, operation)(KeyId=key_id, **given, DryRun=dry_run)


def test_a_key_of_one_kind_is_not_read_as_another() -> None:
    secret = new_secret("ECC_NIST_P256", system_random)
    for spec in ("ECC_NIST_P384", "ECC_SECG_P256K1", "RSA_2048", "ECC_NIST_EDWARDS25519", "ML_KEM_768"):
        with pytest.raises(KeyStoreError, match=f"belongs.*|where the material of a key {spec}"):
            load_key_pair(spec, secret)


def test_what_is_no_key_is_an_error_of_the_store() -> None:
    with pytest.raises(KeyStoreError, match="where the material of a key RSA_2048 belongs"):
        load_key_pair("RSA_2048", bytearray(32))


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"])
def test_material_is_read_as_it_was_made(spec: str) -> None:
    secret = new_secret(spec, system_random)
    assert bytes(secret) == private_der(load_key_pair(spec, secret))


@pytest.mark.parametrize("spec", [_post_quantum("ML_DSA_44"), _post_quantum("ML_KEM_1024")])
def test_post_quantum_material_is_read_as_it_was_made(spec: str) -> None:
    secret = new_secret(spec, system_random)
    assert bytes(secret) == private_der(load_key_pair(spec, secret))


def test_private_keys_are_not_on_disk_in_the_clear(database: Path) -> None:
    with LocalKms.open(database, root_key=bytes(32)) as kms:
        kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    with closing(sqlite3.connect(database)) as connection:
        wrapped = connection.execute("SELECT wrapped FROM materials").fetchone()[0]
    # The object identifier of elliptic curve keys, which every such key in PKCS#8 begins with.
    identifier = bytes.fromhex("06072a8648ce3d0201")
    assert identifier in bytes(new_secret("ECC_NIST_P256", system_random))
    assert identifier not in wrapped
    assert identifier not in database.read_bytes()


def test_a_record_of_a_kind_that_does_not_exist_is_an_error_of_the_store(
    kms: LocalKms, key_id: str, store: Any
) -> None:
    with store.write() as transaction:
        key = transaction.key(Scope(kms.account, kms.region), key_id)
        transaction.update_key(replace(key, spec="ROT13"))
    with pytest.raises(KeyStoreError, match="there are no keys of its kind"):
        kms.describe_key(KeyId=key_id)


@pytest.mark.parametrize(
    ("usage", "operation", "given"),
    [
        ("ENCRYPT_DECRYPT", "encrypt", {"Plaintext": b"x", "EncryptionAlgorithm": "SM2PKE"}),
        ("SIGN_VERIFY", "sign", {"Message": b"x", "MessageType": "DIGEST", "SigningAlgorithm": "SM2DSA"}),
    ],
)
def test_a_record_of_a_kind_that_is_not_made_here_is_an_error_of_the_store(
    kms: LocalKms, key_id: str, store: Any, usage: str, operation: str, given: dict[str, Any]
) -> None:
    with store.write() as transaction:
        key = transaction.key(Scope(kms.account, kms.region), key_id)
        transaction.update_key(replace(key, spec="SM2", usage=usage))
    with pytest.raises(KeyStoreError, match="there are no keys of its kind"):
        getattr(kms, operation)(KeyId=key_id, **given)
