"""DeriveSharedSecret, Encapsulate and Decapsulate."""

from __future__ import annotations

import base64
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from testkit.kms_kinds import available

from envelope_sdk.local_kms import LocalKms

_CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
}
_each_curve = pytest.mark.parametrize("spec", _CURVES)
_LENGTHS = {"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66}


def _key(kms: LocalKms, spec: str = "ECC_NIST_P256", usage: str = "KEY_AGREEMENT") -> str:
    arn: str = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
    return arn


def _der(key: Any) -> bytes:
    encoded: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _derive(kms: LocalKms, key: str, public: bytes, **more: Any) -> dict[str, Any]:
    return kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=public, **more)


# --- agreeing on a secret --------------------------------------------------------------------------------------------


@_each_curve
def test_both_sides_come_to_the_same_secret(kms: LocalKms, spec: str) -> None:
    key, partner = _key(kms, spec), ec.generate_private_key(_CURVES[spec])
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    secret = _derive(kms, key, _der(partner))["SharedSecret"]

    assert secret == partner.exchange(ec.ECDH(), public)
    assert len(secret) == _LENGTHS[spec]


def test_two_keys_of_the_kms_agree(kms: LocalKms) -> None:
    one, other = _key(kms), _key(kms)
    publics = {key: kms.get_public_key(KeyId=key)["PublicKey"] for key in (one, other)}

    assert _derive(kms, one, publics[other])["SharedSecret"] == _derive(kms, other, publics[one])["SharedSecret"]


def test_the_answer_says_which_key_and_where_it_came_from(kms: LocalKms) -> None:
    key = _key(kms)
    answer = _derive(kms, key, _der(ec.generate_private_key(ec.SECP256R1())))
    del answer["SharedSecret"], answer["ResponseMetadata"]

    assert answer == {"KeyId": key, "KeyAgreementAlgorithm": "ECDH", "KeyOrigin": "AWS_KMS"}


def test_a_public_key_of_an_agreement_key_says_so(kms: LocalKms) -> None:
    answer = kms.get_public_key(KeyId=_key(kms))
    assert (answer["KeyUsage"], answer["KeyAgreementAlgorithms"]) == ("KEY_AGREEMENT", ["ECDH"])


# The SubjectPublicKeyInfo of P-256 up to the point, of which the first byte says the form: 04 is one, 05 is none.
_P256_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_NO_KEYS = {
    "noise": b"\x30\x00",
    "PEM": b"-----BEGIN PUBLIC KEY-----\n",
    "a point off the curve": _P256_HEAD + b"\x04" + b"\x01" * 64,
    "no point": _P256_HEAD + b"\x05" + bytes(64),
    "another curve": _der(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": _der(ec.generate_private_key(ec.SECP256K1())),
    "another kind": _der(x25519.X25519PrivateKey.generate()),
}


@pytest.mark.parametrize("public", _NO_KEYS.values(), ids=_NO_KEYS)
def test_what_is_no_public_key_of_the_curve_is_refused_without_a_text(
    kms: LocalKms, refused: Any, public: bytes
) -> None:
    key = _key(kms)
    for dry_run in (False, True):
        with refused("ValidationException", ""):
            _derive(kms, key, public, DryRun=dry_run)


# A SubjectPublicKeyInfo of Diffie-Hellman: the group ffdhe2048 (RFC 7919), and 4.
_FINITE_FIELD = base64.b64decode(
    "MIIBITCCARcGCSqGSIb3DQEDATCCAQgCggEBAP//////////rfhUWKK7Spqv3FYgJz088di5xYPOLTaVqeE2QRRkM/vMk53OJJs++X0v"
    "42NjDHXY9oGyAq7EYXrT3x7V1f1lYSQz9R9fBm7QhWNlVT3tGvO1VxNef1fJNZhPDHDg5ot34qaJ2vPv6HId8VihNq3nNTCsyk9IOnl6"
    "vAqxgrMk+2HRCKlLssjj+7lq2rdg1/RoHU9Co945TfSuVu3nY3K7GQsHp8juCm1wngL84c334uzANATNKDQvYZFy/pzphYP/jk8SMu7y"
    "gYPD/jsbTG+tczu1/LwuwiAFxY7xg30Wg7LG80omwbLv+ohrQjhhKFyX//////////8CAQIDBAACAQQ="
)


def test_a_public_key_that_is_warned_of_is_refused_though_warnings_are_errors(kms: LocalKms, refused: Any) -> None:
    key = _key(kms)
    with warnings.catch_warnings(), refused("ValidationException", ""):
        warnings.simplefilter("error")
        _derive(kms, key, _FINITE_FIELD)


def test_a_key_that_signs_does_not_agree(kms: LocalKms, refused: Any) -> None:
    key = _key(kms, usage="SIGN_VERIFY")
    with refused(
        "InvalidKeyUsageException", f"{key} key usage is SIGN_VERIFY which is not valid for DeriveSharedSecret."
    ):
        _derive(kms, key, kms.get_public_key(KeyId=key)["PublicKey"])


def test_a_symmetric_key_does_not_agree(kms: LocalKms, arn: str, refused: Any) -> None:
    with refused("InvalidKeyUsageException"):
        _derive(kms, arn, b"x")


def test_an_algorithm_has_to_be_given_and_to_be_ecdh(kms: LocalKms, refused: Any) -> None:
    key = _key(kms)
    with refused("ValidationException"):
        kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="DH", PublicKey=b"x")


def test_a_dry_run_derives_nothing(kms: LocalKms, refused: Any) -> None:
    key = _key(kms)
    with refused("DryRunOperationException"):
        _derive(kms, key, kms.get_public_key(KeyId=key)["PublicKey"], DryRun=True)


# --- enclosing a secret ----------------------------------------------------------------------------------------------

_LENGTHS_OF_ML_KEM = {"ML_KEM_768": 1088, "ML_KEM_1024": 1568}
_each_ml_kem = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, marks=pytest.mark.skipif(not available(spec), reason=f"no {spec} here"))
        for spec in _LENGTHS_OF_ML_KEM
    ],
)


def _ml_kem(kms: LocalKms, spec: str) -> dict[str, str]:
    return {"KeyId": _key(kms, spec, "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM"}


@_each_ml_kem
def test_a_secret_comes_out_as_it_was_enclosed(kms: LocalKms, spec: str) -> None:
    given = _ml_kem(kms, spec)
    enclosed = kms.encapsulate(**given)
    opened = kms.decapsulate(**given, SharedSecretCiphertextBlob=enclosed["SharedSecretCiphertextBlob"])
    del opened["ResponseMetadata"]

    assert opened == {**given, "SharedSecret": enclosed["SharedSecret"]}
    assert (len(enclosed["SharedSecret"]), len(enclosed["SharedSecretCiphertextBlob"])) == (
        32,
        _LENGTHS_OF_ML_KEM[spec],
    )


@_each_ml_kem
def test_a_secret_enclosed_outside_comes_out(kms: LocalKms, spec: str) -> None:
    given = _ml_kem(kms, spec)
    public: Any = load_der_public_key(kms.get_public_key(KeyId=given["KeyId"])["PublicKey"])
    secret, enclosed = public.encapsulate()

    assert kms.decapsulate(**given, SharedSecretCiphertextBlob=enclosed)["SharedSecret"] == secret


@_each_ml_kem
def test_what_was_altered_gives_another_secret_each_time_the_same(kms: LocalKms, spec: str) -> None:
    given = _ml_kem(kms, spec)
    answer = kms.encapsulate(**given)
    altered = bytearray(answer["SharedSecretCiphertextBlob"])
    altered[0] ^= 1
    opened = [kms.decapsulate(**given, SharedSecretCiphertextBlob=bytes(altered))["SharedSecret"] for _ in range(2)]

    assert opened[0] == opened[1] != answer["SharedSecret"]
    assert len(opened[0]) == 32


@_each_ml_kem
def test_a_ciphertext_of_another_length_is_refused(kms: LocalKms, refused: Any, spec: str) -> None:
    given = _ml_kem(kms, spec)
    enclosed = kms.encapsulate(**given)["SharedSecretCiphertextBlob"]
    for wrong in (enclosed[:-1], enclosed + b"\0", b"x"):
        with refused("InvalidCiphertextException", ""):
            kms.decapsulate(**given, SharedSecretCiphertextBlob=wrong)


@_each_ml_kem
def test_a_dry_run_encloses_nothing(kms: LocalKms, refused: Any, spec: str) -> None:
    given = _ml_kem(kms, spec)
    enclosed = kms.encapsulate(**given)["SharedSecretCiphertextBlob"]
    with refused("DryRunOperationException"):
        kms.encapsulate(**given, DryRun=True)
    with refused("DryRunOperationException"):
        kms.decapsulate(**given, SharedSecretCiphertextBlob=enclosed, DryRun=True)


def test_other_keys_enclose_nothing(kms: LocalKms, refused: Any) -> None:
    key = _key(kms)
    for operation in ("Encapsulate", "Decapsulate"):
        given = {"SharedSecretCiphertextBlob": b"x"} if operation == "Decapsulate" else {}
        text = f"{key} key usage is KEY_AGREEMENT which is not valid for {operation}."
        with refused("InvalidKeyUsageException", text):
            getattr(kms, operation.lower())(KeyId=key, EncapsulationAlgorithm="ML_KEM", **given)
