"""Importing key material: every way to wrap it, every kind of key, and what is refused."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from testkit.key_material import described, external, give, import_parameters, materials, state, wrap
from testkit.kms_kinds import available

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.key_pairs import new_key_pair, private_der, public_der
from envelope_sdk.local_kms.store.sqlite import SqliteStore

START = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
HERE = Scope("000000000000", "us-east-1")
FIRST, SECOND = (bytes([number]) * 32 for number in (1, 2))

_DIRECT = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
_ENVELOPED = ["RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"]
_PAIRS = {
    "RSA_2048": "SIGN_VERIFY",
    "RSA_3072": "ENCRYPT_DECRYPT",
    "RSA_4096": "ENCRYPT_DECRYPT",
    "ECC_NIST_P256": "SIGN_VERIFY",
    "ECC_NIST_P384": "KEY_AGREEMENT",
    "ECC_NIST_P521": "SIGN_VERIFY",
    "ECC_SECG_P256K1": "SIGN_VERIFY",
    "ECC_NIST_EDWARDS25519": "SIGN_VERIFY",
    "ML_DSA_65": "SIGN_VERIFY",
    "ML_KEM_768": "ENCAPSULATE_DECAPSULATE",
}
_HMAC_LENGTHS = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}


@cache
def pair(spec: str, _number: int = 0) -> Any:
    """A key pair made outside of the KMS; another one for another number."""
    return new_key_pair(spec, os.urandom)


@pytest.fixture
def empty(kms: LocalKms) -> str:
    """A symmetric key without material."""
    return external(kms)


def test_a_key_waits_for_its_material(kms: LocalKms, empty: str, refused: Any) -> None:
    metadata = described(kms, empty)
    assert (metadata["KeyState"], metadata["Enabled"], metadata["Origin"]) == ("PendingImport", False, "EXTERNAL")
    assert {"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"}.isdisjoint(metadata)
    assert materials(kms, empty) == []
    with refused("KMSInvalidStateException", f"{metadata['Arn']} is pending import."):
        kms.encrypt(KeyId=empty, Plaintext=b"x")


def test_with_its_material_it_is_enabled(kms: LocalKms, empty: str) -> None:
    material_id = give(kms, empty, FIRST)
    metadata = described(kms, empty)

    assert (metadata["KeyState"], metadata["Enabled"]) == ("Enabled", True)
    assert (metadata["ExpirationModel"], "ValidTo" in metadata) == ("KEY_MATERIAL_DOES_NOT_EXPIRE", False)
    assert metadata["CurrentKeyMaterialId"] == material_id
    blob = kms.encrypt(KeyId=empty, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


@pytest.mark.skipif(available("ML_KEM_512"), reason="there are such keys here")
def test_a_kind_that_cannot_be_made_here_cannot_be_imported_either(kms: LocalKms, refused: Any) -> None:
    with refused("UnsupportedOperationException"):
        external(kms, "ML_KEM_512", "ENCAPSULATE_DECAPSULATE")


@pytest.mark.parametrize("algorithm", [*_DIRECT, *_ENVELOPED])
@pytest.mark.parametrize(
    "spec",
    [
        "RSA_2048",
        pytest.param("RSA_3072", marks=pytest.mark.slow),
        pytest.param("RSA_4096", marks=pytest.mark.slow),
    ],
)
def test_material_wrapped_by_each_algorithm_under_each_key_arrives(
    kms: LocalKms, algorithm: str, spec: str, secret_of: Callable[[str], bytes]
) -> None:
    key_id = external(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    issued = kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)
    material = private_der(pair("ECC_NIST_P256"))
    kms.import_key_material(
        KeyId=key_id,
        ImportToken=issued["ImportToken"],
        EncryptedKeyMaterial=wrap(issued["PublicKey"], algorithm, material),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )

    assert secret_of(key_id) == material
    assert len(issued["ImportToken"]) <= 6144


def test_parameters_are_good_for_24_hours(kms: LocalKms, empty: str, clock: Any, refused: Any) -> None:
    given = import_parameters(kms, empty, FIRST)
    issued = kms.get_parameters_for_import(
        KeyId=empty, WrappingAlgorithm="RSAES_OAEP_SHA_1", WrappingKeySpec="RSA_2048"
    )
    assert issued["ParametersValidTo"] == START + timedelta(hours=24)
    assert issued["KeyId"] == HERE.key_arn(empty)
    clock.now = START + timedelta(hours=24)
    with refused("ExpiredImportTokenException", ""):
        kms.import_key_material(**given)
    clock.now -= timedelta(milliseconds=1)
    kms.import_key_material(**given)


def test_another_process_takes_what_one_has_handed_out(store: SqliteStore, kms: LocalKms, empty: str) -> None:
    other = LocalKms(store, clock=lambda: START)
    other.import_key_material(**import_parameters(kms, empty, FIRST))
    assert state(kms, empty) == "Enabled"


@pytest.mark.parametrize(
    ("algorithm", "spec"),
    [("RSAES_PKCS1_V1_5", "RSA_2048"), ("SM2PKE", "SM2"), ("RSAES_OAEP_SHA_256", "SM2"), ("SM2PKE", "RSA_2048")],
)
def test_algorithms_that_aws_has_no_more_or_in_china_only_are_refused(
    kms: LocalKms, empty: str, refused: Any, algorithm: str, spec: str
) -> None:
    with refused("UnsupportedOperationException"):
        kms.get_parameters_for_import(KeyId=empty, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)


@pytest.mark.parametrize(
    ("key_spec", "usage", "algorithm", "spec"),
    [
        *(("RSA_2048", "SIGN_VERIFY", algorithm, "RSA_4096") for algorithm in _DIRECT),
        *(("ECC_NIST_P521", "SIGN_VERIFY", algorithm, "RSA_2048") for algorithm in _DIRECT),
        *(("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", algorithm, "RSA_2048") for algorithm in _ENVELOPED),
        *(("HMAC_256", "GENERATE_VERIFY_MAC", algorithm, "RSA_2048") for algorithm in _ENVELOPED),
    ],
)
def test_ways_of_wrapping_that_do_not_go_with_the_key_are_refused(
    kms: LocalKms, refused: Any, key_spec: str, usage: str, algorithm: str, spec: str
) -> None:
    key_id = external(kms, key_spec, usage)
    text = f"Key material of {key_spec} cannot be wrapped with {algorithm} under a key {spec}."
    with refused("UnsupportedOperationException", text):
        kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)


def test_algorithm_and_key_have_to_be_given(kms: LocalKms, empty: str, refused: Any) -> None:
    with refused("ValidationException"):
        kms.get_parameters_for_import(KeyId=empty, WrappingAlgorithm="ROT13", WrappingKeySpec="RSA_2048")
    with refused("ValidationException"):
        kms.get_parameters_for_import(KeyId=empty, WrappingAlgorithm="RSAES_OAEP_SHA_1", WrappingKeySpec="RSA_1024")


def test_where_the_calendar_ends_within_a_day_there_are_no_parameters(
    kms: LocalKms, empty: str, clock: Any, refused: Any
) -> None:
    clock.now = datetime(9999, 12, 31, 12, tzinfo=UTC)
    with refused("ValidationException", "There is no date 24 hours from now."):
        kms.get_parameters_for_import(KeyId=empty, WrappingAlgorithm="RSAES_OAEP_SHA_1", WrappingKeySpec="RSA_2048")


def test_a_clock_that_shows_a_time_before_1970_does_no_harm(kms: LocalKms, clock: Any) -> None:
    clock.now = datetime(1969, 6, 1, tzinfo=UTC)
    key_id = external(kms)
    give(kms, key_id, FIRST, ValidTo=clock.now + timedelta(days=1))
    assert described(kms, key_id)["ValidTo"] == clock.now + timedelta(days=1)


def test_a_token_is_for_one_key(kms: LocalKms, empty: str, refused: Any) -> None:
    other = import_parameters(kms, external(kms), FIRST)
    with refused("InvalidImportTokenException", ""):
        kms.import_key_material(**(other | {"KeyId": empty}))


@pytest.mark.parametrize(
    "change",
    [lambda token: token[:-1], lambda token: bytes([token[0] ^ 1]) + token[1:]],
    ids=["short", "beginning"],
)
def test_an_altered_token_is_refused(kms: LocalKms, empty: str, refused: Any, change: Any) -> None:
    given = import_parameters(kms, empty, FIRST)
    with refused("InvalidImportTokenException", ""):
        kms.import_key_material(**(given | {"ImportToken": change(given["ImportToken"])}))


@pytest.mark.parametrize("token", [b"x", bytes(12), bytes(27), bytes(6144)], ids=len)
def test_what_is_no_token_is_refused(kms: LocalKms, empty: str, refused: Any, token: bytes) -> None:
    given = import_parameters(kms, empty, FIRST)
    with refused("InvalidImportTokenException", ""):
        kms.import_key_material(**(given | {"ImportToken": token}))


def test_a_token_from_before_the_root_key_was_replaced_is_refused_and_a_new_one_is_not(
    tmp_path: Path, clock: Any, refused: Any
) -> None:
    with LocalKms.open(tmp_path / "keys.db", root_key=bytes(32), clock=clock) as kms:
        key_id = external(kms)
        given = import_parameters(kms, key_id, FIRST)
        kms.rotate_root_key(b"1" * 32)
        with refused("InvalidImportTokenException", ""):
            kms.import_key_material(**given)
        give(kms, key_id, FIRST)
        assert state(kms, key_id) == "Enabled"


def test_a_token_of_another_store_is_refused(kms: LocalKms, empty: str, refused: Any) -> None:
    with LocalKms.in_memory(clock=lambda: START) as other:
        theirs = import_parameters(other, external(other), FIRST)["ImportToken"]
    given = import_parameters(kms, empty, FIRST)
    with refused("InvalidImportTokenException", ""):
        kms.import_key_material(**(given | {"ImportToken": theirs}))


@pytest.mark.parametrize("algorithm", [_DIRECT[1], _ENVELOPED[1]])
@pytest.mark.parametrize(
    "change",
    [
        lambda wrapped: wrapped[:-1],
        lambda wrapped: wrapped[:-1] + bytes([wrapped[-1] ^ 1]),
        lambda wrapped: bytes([wrapped[0] ^ 1]) + wrapped[1:],
        lambda _: b"x",
        lambda wrapped: wrapped[: min(256, len(wrapped) - 1)],
        lambda wrapped: wrapped + b"x",
    ],
    ids=["short", "end", "beginning", "stub", "first part", "long"],
)
def test_material_that_cannot_be_unwrapped_is_one_error(
    kms: LocalKms, refused: Any, algorithm: str, change: Any
) -> None:
    key_id = external(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    given = import_parameters(kms, key_id, private_der(pair("ECC_NIST_P256")), algorithm)
    changed = change(given["EncryptedKeyMaterial"])
    with refused("InvalidCiphertextException", ""):
        kms.import_key_material(**(given | {"EncryptedKeyMaterial": changed}))
    assert state(kms, key_id) == "PendingImport"


def test_material_wrapped_by_another_algorithm_cannot_be_unwrapped(kms: LocalKms, empty: str, refused: Any) -> None:
    issued = kms.get_parameters_for_import(
        KeyId=empty, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    with refused("InvalidCiphertextException", ""):
        kms.import_key_material(
            KeyId=empty,
            ImportToken=issued["ImportToken"],
            EncryptedKeyMaterial=wrap(issued["PublicKey"], "RSAES_OAEP_SHA_1", FIRST),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )


@pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, marks=pytest.mark.slow) if spec in ("RSA_3072", "RSA_4096") else spec for spec in _PAIRS],
)
def test_a_private_key_of_every_kind_is_imported_and_has_its_public_key(kms: LocalKms, spec: str) -> None:
    if not available(spec):
        pytest.skip(f"no {spec} here")
    key_id = external(kms, spec, _PAIRS[spec])
    assert give(kms, key_id, private_der(pair(spec)), _ENVELOPED[1]) is None
    assert kms.get_public_key(KeyId=key_id)["PublicKey"] == public_der(pair(spec))
    assert described(kms, key_id)["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"


@pytest.mark.parametrize("spec", _HMAC_LENGTHS)
def test_an_hmac_key_of_every_length_is_imported(kms: LocalKms, spec: str) -> None:
    material = os.urandom(_HMAC_LENGTHS[spec])
    key_id = external(kms, spec, "GENERATE_VERIFY_MAC")
    give(kms, key_id, material)
    if spec == "HMAC_256":
        mac = HMAC(material, SHA256())
        mac.update(b"message")
        made = kms.generate_mac(KeyId=key_id, Message=b"message", MacAlgorithm="HMAC_SHA_256")["Mac"]
        assert made == mac.finalize()
    assert state(kms, key_id) == "Enabled"


@pytest.mark.parametrize("length", [1, 16, 24, 31, 33, 64])
def test_a_symmetric_key_has_32_bytes(kms: LocalKms, empty: str, refused: Any, length: int) -> None:
    text = f"The material of a key SYMMETRIC_DEFAULT is 32 bytes, not {length}."
    with refused("IncorrectKeyMaterialException", text):
        give(kms, empty, bytes(length))
    assert (state(kms, empty), materials(kms, empty)) == ("PendingImport", [])


@pytest.mark.parametrize("spec", _HMAC_LENGTHS)
def test_an_hmac_key_is_as_long_as_its_spec_says(kms: LocalKms, refused: Any, spec: str) -> None:
    key_id = external(kms, spec, "GENERATE_VERIFY_MAC")
    for length in {28, 32, 48, 64, _HMAC_LENGTHS[spec] - 1, _HMAC_LENGTHS[spec] + 1} - {_HMAC_LENGTHS[spec]}:
        with refused("IncorrectKeyMaterialException"):
            give(kms, key_id, bytes(length))


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519"])
def test_a_private_key_of_another_kind_is_refused(kms: LocalKms, refused: Any, spec: str) -> None:
    key_id = external(kms, spec, "SIGN_VERIFY")
    for other in {"RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_EDWARDS25519"} - {spec}:
        with refused("IncorrectKeyMaterialException"):
            give(kms, key_id, private_der(pair(other)), _ENVELOPED[0])


@pytest.mark.parametrize(
    ("form", "encryption"),
    [
        (PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        (PrivateFormat.PKCS8, BestAvailableEncryption(b"password")),
    ],
)
@pytest.mark.parametrize("made", [ec.generate_private_key(ec.SECP256R1()), pair("RSA_2048")], ids=["EC", "RSA"])
def test_a_private_key_comes_as_pkcs8_unencrypted(
    kms: LocalKms, refused: Any, made: Any, form: PrivateFormat, encryption: KeySerializationEncryption
) -> None:
    spec = "RSA_2048" if isinstance(made, rsa.RSAPrivateKey) else "ECC_NIST_P256"
    key_id = external(kms, spec, "SIGN_VERIFY")
    text = f"The material of a key {spec} is its private key, PKCS#8 in DER, unencrypted: this is not."
    with refused("IncorrectKeyMaterialException", text):
        give(kms, key_id, made.private_bytes(Encoding.DER, form, encryption), _ENVELOPED[0])


@pytest.mark.parametrize(
    "material",
    [
        b"x",
        b"\x30",
        b"\x30\x84",
        bytes(48),
        b"\x30\x06\x02\x01\x00\x30\x00\x00",
        private_der(pair("ECC_NIST_P256"))[:-1],
        pair("ECC_NIST_P256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        pair("ECC_NIST_P256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ],
    ids=["byte", "tag", "length", "zeros", "hollow", "truncated", "public", "PEM"],
)
def test_what_is_no_private_key_is_refused(kms: LocalKms, refused: Any, material: bytes) -> None:
    key_id = external(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    with warnings.catch_warnings(), refused("IncorrectKeyMaterialException"):
        warnings.simplefilter("error")
        give(kms, key_id, material, _ENVELOPED[0])


def test_a_key_pair_is_never_exchanged_for_another(kms: LocalKms, refused: Any) -> None:
    key_id = external(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    give(kms, key_id, private_der(pair("ECC_NIST_P256")))
    kms.delete_imported_key_material(KeyId=key_id)
    with refused("IncorrectKeyMaterialException"):
        give(kms, key_id, private_der(pair("ECC_NIST_P256", 2)))
    give(kms, key_id, private_der(pair("ECC_NIST_P256")))
    assert kms.get_public_key(KeyId=key_id)["PublicKey"] == public_der(pair("ECC_NIST_P256"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("ImportType", "NEW_KEY_MATERIAL"), ("KeyMaterialDescription", "first"), ("KeyMaterialId", "0" * 64)],
)
def test_what_is_for_symmetric_keys_is_refused_for_others(kms: LocalKms, refused: Any, name: str, value: str) -> None:
    key_id = external(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    with refused("ValidationException", f"{name} can only be given with symmetric encryption keys"):
        give(kms, key_id, FIRST, **{name: value})


def test_other_keys_have_no_material_ids(kms: LocalKms, refused: Any) -> None:
    key_id = external(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    give(kms, key_id, FIRST)
    with refused("ValidationException", "KeyMaterialId can only be given with symmetric encryption keys"):
        kms.delete_imported_key_material(KeyId=key_id, KeyMaterialId="0" * 64)
    assert "KeyMaterialId" not in kms.delete_imported_key_material(KeyId=key_id)


def test_only_a_symmetric_key_is_rotated(kms: LocalKms, refused: Any) -> None:
    key_id = external(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    give(kms, key_id, FIRST)
    with refused("UnsupportedOperationException", ""):
        kms.rotate_key_on_demand(KeyId=key_id)


def test_boto3_imports_like_any_other_caller(kms: LocalKms, clock: Any) -> None:
    clock.now = datetime.now(UTC)
    client = kms.boto3_client()
    key_id = external(client)
    expiry = clock.now.replace(microsecond=0) + timedelta(days=1)
    material_id = give(client, key_id, FIRST, ValidTo=expiry)

    metadata = described(client, key_id)
    assert (metadata["CurrentKeyMaterialId"], metadata["ValidTo"]) == (material_id, expiry)
    with pytest.raises(client.exceptions.IncorrectKeyMaterialException):
        give(client, key_id, SECOND)


def test_secrets_are_nowhere_in_answers_errors_or_the_file(tmp_path: Path, refused: Any) -> None:
    material = os.urandom(32)
    with LocalKms.open(tmp_path / "keys.db", clock=lambda: START) as kms:
        key_id = external(kms)
        given = import_parameters(kms, key_id, material)
        answers = [str(kms.import_key_material(**given)), str(described(kms, key_id)), str(materials(kms, key_id))]
        assert all(material.hex() not in answer and repr(material) not in answer for answer in answers)
    for path in tmp_path.iterdir():
        assert material not in path.read_bytes()
