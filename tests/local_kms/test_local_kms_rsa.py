"""RSA keys: their public halves, and encryption that others can do and undo without the KMS."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from envelope_sdk.local_kms import LocalKms

_HASHES: dict[str, HashAlgorithm] = {"RSAES_OAEP_SHA_1": SHA1(), "RSAES_OAEP_SHA_256": SHA256()}
_each_algorithm = pytest.mark.parametrize("algorithm", _HASHES)
_SHA_256 = "RSAES_OAEP_SHA_256"


@pytest.fixture(scope="module")
def shared() -> Generator[LocalKms]:
    with LocalKms.in_memory() as kms:
        yield kms


@pytest.fixture(scope="module")
def key(shared: LocalKms) -> str:
    arn: str = shared.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture(scope="module")
def public(shared: LocalKms, key: str) -> rsa.RSAPublicKey:
    loaded = load_der_public_key(shared.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(loaded, rsa.RSAPublicKey)
    return loaded


def _oaep(algorithm: str) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(_HASHES[algorithm]), _HASHES[algorithm], None)


# --- the public half -------------------------------------------------------------------------------------------------


def test_the_public_key_comes_with_what_it_is_for(shared: LocalKms, key: str) -> None:
    answer = shared.get_public_key(KeyId=key)
    del answer["PublicKey"], answer["ResponseMetadata"]

    assert answer == {
        "KeyId": key,
        "KeySpec": "RSA_2048",
        "CustomerMasterKeySpec": "RSA_2048",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "EncryptionAlgorithms": ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"],
    }


def test_the_public_key_is_of_the_size_asked_for_and_stays_the_same(
    shared: LocalKms, key: str, public: rsa.RSAPublicKey
) -> None:
    assert (public.key_size, public.public_numbers().e) == (2048, 65_537)
    assert load_der_public_key(shared.get_public_key(KeyId=key)["PublicKey"]) == public


@pytest.mark.parametrize(("spec", "usage"), [("SYMMETRIC_DEFAULT", None), ("HMAC_256", "GENERATE_VERIFY_MAC")])
def test_a_key_without_a_public_half_has_none_to_give(
    shared: LocalKms, refused: Any, spec: str, usage: str | None
) -> None:
    key_id = shared.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    with refused("UnsupportedOperationException"):
        shared.get_public_key(KeyId=key_id)


def test_what_names_no_key_is_refused(shared: LocalKms, refused: Any) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:000000000000:key/{nobody}' does not exist"):
        shared.get_public_key(KeyId=nobody)
    with refused("InvalidArnException"):
        shared.get_public_key(KeyId="arn:aws:s3:::bucket")


# --- encryption ------------------------------------------------------------------------------------------------------


@_each_algorithm
def test_what_was_encrypted_is_decrypted(shared: LocalKms, key: str, algorithm: str) -> None:
    encrypted = shared.encrypt(KeyId=key, Plaintext=b"content", EncryptionAlgorithm=algorithm)
    opened = shared.decrypt(KeyId=key, CiphertextBlob=encrypted["CiphertextBlob"], EncryptionAlgorithm=algorithm)

    assert (key, algorithm) == (encrypted["KeyId"], encrypted["EncryptionAlgorithm"])
    assert (b"content", key, algorithm) == (opened["Plaintext"], opened["KeyId"], opened["EncryptionAlgorithm"])


@_each_algorithm
@settings(max_examples=20)
@given(plaintext=st.binary(min_size=1, max_size=190))
def test_what_was_encrypted_outside_is_decrypted(
    shared: LocalKms, key: str, public: rsa.RSAPublicKey, algorithm: str, plaintext: bytes
) -> None:
    ciphertext = public.encrypt(plaintext, _oaep(algorithm))
    opened = shared.decrypt(KeyId=key, CiphertextBlob=ciphertext, EncryptionAlgorithm=algorithm)

    assert plaintext == opened["Plaintext"]


def test_a_ciphertext_is_that_of_rsa_and_no_blob(shared: LocalKms, key: str) -> None:
    made = [shared.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"] for _ in "ab"]

    assert [len(ciphertext) for ciphertext in made] == [256, 256]
    assert made[0] != made[1]


@_each_algorithm
def test_what_was_encrypted_is_opened_outside(kms: LocalKms, secret_of: Callable[[str], bytes], algorithm: str) -> None:
    metadata = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    ciphertext = kms.encrypt(KeyId=metadata["KeyId"], Plaintext=b"x", EncryptionAlgorithm=algorithm)["CiphertextBlob"]
    private = load_der_private_key(secret_of(metadata["KeyId"]), None)
    assert isinstance(private, rsa.RSAPrivateKey)

    assert private.decrypt(ciphertext, _oaep(algorithm)) == b"x"


def test_no_material_is_named_with_rsa(shared: LocalKms, key: str) -> None:
    blob = shared.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"]
    assert "KeyMaterialId" not in shared.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=_SHA_256)


_MOST = [
    ("RSA_2048", "RSAES_OAEP_SHA_1", 214),
    ("RSA_2048", "RSAES_OAEP_SHA_256", 190),
    pytest.param("RSA_3072", "RSAES_OAEP_SHA_1", 342, marks=pytest.mark.slow),
    pytest.param("RSA_3072", "RSAES_OAEP_SHA_256", 318, marks=pytest.mark.slow),
    pytest.param("RSA_4096", "RSAES_OAEP_SHA_1", 470, marks=pytest.mark.slow),
    pytest.param("RSA_4096", "RSAES_OAEP_SHA_256", 446, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("spec", "algorithm", "most"), _MOST)
def test_as_much_is_encrypted_as_the_key_takes_and_no_more(
    shared: LocalKms, refused: Any, spec: str, algorithm: str, most: int
) -> None:
    key = shared.create_key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    text = f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."

    assert shared.encrypt(KeyId=key, Plaintext=bytes(most), EncryptionAlgorithm=algorithm)
    for dry_run in (False, True):
        with refused("ValidationException", text):
            shared.encrypt(KeyId=key, Plaintext=bytes(most + 1), EncryptionAlgorithm=algorithm, DryRun=dry_run)


@_each_algorithm
def test_an_altered_ciphertext_is_refused_without_a_text(
    shared: LocalKms, key: str, refused: Any, algorithm: str
) -> None:
    blob = bytearray(shared.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=algorithm)["CiphertextBlob"])
    blob[-1] ^= 1
    for altered in (bytes(blob), bytes(blob[:-1]), bytes(blob) + b"\0", b"\xff" * 256, b"x"):
        with refused("InvalidCiphertextException", ""):
            shared.decrypt(KeyId=key, CiphertextBlob=altered, EncryptionAlgorithm=algorithm)


def test_another_algorithm_or_key_does_not_decrypt(shared: LocalKms, key: str, refused: Any) -> None:
    other = shared.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    blob = shared.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"]
    for key_id, algorithm in ((key, "RSAES_OAEP_SHA_1"), (other, _SHA_256)):
        with refused("InvalidCiphertextException", ""):
            shared.decrypt(KeyId=key_id, CiphertextBlob=blob, EncryptionAlgorithm=algorithm)


def test_nothing_encrypted_outside_is_no_ciphertext(
    shared: LocalKms, key: str, public: rsa.RSAPublicKey, refused: Any
) -> None:
    with refused("InvalidCiphertextException", ""):
        shared.decrypt(KeyId=key, CiphertextBlob=public.encrypt(b"", _oaep(_SHA_256)), EncryptionAlgorithm=_SHA_256)


# --- what RSA keys are not for ---------------------------------------------------------------------------------------


def test_the_algorithm_has_to_be_given(shared: LocalKms, key: str, refused: Any) -> None:
    text = "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."
    with refused("InvalidKeyUsageException", text):
        shared.encrypt(KeyId=key, Plaintext=b"x")
    blob = shared.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        shared.decrypt(KeyId=key, CiphertextBlob=blob)


def test_the_key_has_to_be_named(shared: LocalKms, key: str, refused: Any) -> None:
    blob = shared.encrypt(KeyId=key, Plaintext=b"x", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"]
    with refused("ValidationException"):
        shared.decrypt(CiphertextBlob=blob, EncryptionAlgorithm=_SHA_256)
    with refused("InvalidCiphertextException"):
        shared.decrypt(CiphertextBlob=blob)


def test_an_algorithm_of_rsa_is_not_for_a_symmetric_key(shared: LocalKms, refused: Any) -> None:
    key_id = shared.create_key()["KeyMetadata"]["KeyId"]
    blob = shared.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    text = "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
    with refused("InvalidKeyUsageException", text):
        shared.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm=_SHA_256)
    with refused("InvalidKeyUsageException", text):
        shared.decrypt(KeyId=key_id, CiphertextBlob=blob, EncryptionAlgorithm=_SHA_256)


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_a_context_that_could_not_be_bound_is_refused(shared: LocalKms, key: str, refused: Any, operation: str) -> None:
    content = {"Plaintext": b"x"} if operation == "encrypt" else {"CiphertextBlob": bytes(256)}
    with refused("ValidationException"):
        getattr(shared, operation)(
            KeyId=key, **content, EncryptionAlgorithm=_SHA_256, EncryptionContext={"purpose": "invoices"}
        )


def test_a_dry_run_without_ciphertext_refuses_a_context_that_could_not_be_bound(
    shared: LocalKms, key: str, refused: Any
) -> None:
    context = {"purpose": "invoices"}
    ignoring = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    keys = {"SourceKeyId": key, "DestinationKeyId": key}
    algorithms = {"SourceEncryptionAlgorithm": _SHA_256, "DestinationEncryptionAlgorithm": _SHA_256}
    with refused("ValidationException"):
        shared.decrypt(KeyId=key, EncryptionAlgorithm=_SHA_256, EncryptionContext=context, **ignoring)
    for name in ("SourceEncryptionContext", "DestinationEncryptionContext"):
        with refused("ValidationException"):
            shared.re_encrypt(**keys, **algorithms, **{name: context}, **ignoring)


@pytest.mark.parametrize(
    ("spec", "usage"),
    [("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P256", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC")],
)
def test_a_key_for_something_else_does_not_encrypt(shared: LocalKms, refused: Any, spec: str, usage: str) -> None:
    arn = shared.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
    with refused("InvalidKeyUsageException", f"{arn} key usage is {usage} which is not valid for Encrypt."):
        shared.encrypt(KeyId=arn, Plaintext=b"x")
    with refused("InvalidKeyUsageException", f"{arn} key usage is {usage} which is not valid for Decrypt."):
        shared.decrypt(KeyId=arn, CiphertextBlob=bytes(256), EncryptionAlgorithm=_SHA_256)


@pytest.mark.parametrize("operation", ["generate_data_key", "generate_data_key_without_plaintext"])
def test_an_rsa_key_wraps_no_data_key(shared: LocalKms, key: str, refused: Any, operation: str) -> None:
    text = "You cannot generate a data key with an asymmetric CMK"
    with refused("InvalidKeyUsageException", text):
        getattr(shared, operation)(KeyId=key, KeySpec="AES_256")


# --- re-encryption ---------------------------------------------------------------------------------------------------


def test_content_moves_from_rsa_to_a_symmetric_key_and_back(shared: LocalKms, key: str) -> None:
    symmetric = shared.create_key()["KeyMetadata"]
    there = shared.re_encrypt(
        CiphertextBlob=shared.encrypt(KeyId=key, Plaintext=b"moved", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"],
        SourceKeyId=key,
        SourceEncryptionAlgorithm=_SHA_256,
        DestinationKeyId=symmetric["KeyId"],
        DestinationEncryptionContext={"a": "b"},
    )
    back = shared.re_encrypt(
        CiphertextBlob=there["CiphertextBlob"],
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=key,
        DestinationEncryptionAlgorithm="RSAES_OAEP_SHA_1",
    )
    opened = shared.decrypt(KeyId=key, CiphertextBlob=back["CiphertextBlob"], EncryptionAlgorithm="RSAES_OAEP_SHA_1")

    assert opened["Plaintext"] == b"moved"
    assert symmetric["CurrentKeyMaterialId"] == there["DestinationKeyMaterialId"] == back["SourceKeyMaterialId"]
    assert "SourceKeyMaterialId" not in there
    assert "DestinationKeyMaterialId" not in back
    assert (
        back["SourceEncryptionAlgorithm"],
        back["DestinationEncryptionAlgorithm"],
    ) == ("SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1")


def test_content_too_long_for_rsa_is_not_moved(shared: LocalKms, key: str, refused: Any) -> None:
    symmetric = shared.create_key()["KeyMetadata"]["KeyId"]
    blob = shared.encrypt(KeyId=symmetric, Plaintext=bytes(191))["CiphertextBlob"]
    with refused("ValidationException"):
        shared.re_encrypt(
            CiphertextBlob=blob, DestinationKeyId=key, DestinationEncryptionAlgorithm="RSAES_OAEP_SHA_256"
        )


def test_a_dry_run_of_each_says_so_and_gives_nothing(shared: LocalKms, key: str, refused: Any) -> None:
    given = {"KeyId": key, "EncryptionAlgorithm": _SHA_256}
    blob = shared.encrypt(**given, Plaintext=b"x")["CiphertextBlob"]
    text = "The request would have succeeded, but the DryRun option is set."
    with refused("DryRunOperationException", text):
        shared.encrypt(**given, Plaintext=b"x", DryRun=True)
    with refused("DryRunOperationException", text):
        shared.decrypt(**given, CiphertextBlob=blob, DryRun=True)
    with refused("DryRunOperationException", text):
        shared.re_encrypt(
            CiphertextBlob=blob,
            SourceKeyId=key,
            SourceEncryptionAlgorithm=_SHA_256,
            DestinationKeyId=key,
            DestinationEncryptionAlgorithm=_SHA_256,
            DryRun=True,
        )


def test_an_rsa_key_works_when_the_file_is_opened_again(database: Any) -> None:
    with LocalKms.open(database, root_key=bytes(32)) as kms:
        key = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key, Plaintext=b"kept", EncryptionAlgorithm=_SHA_256)["CiphertextBlob"]
    with LocalKms.open(database, root_key=bytes(32)) as kms:
        opened = kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=_SHA_256)

    assert opened["Plaintext"] == b"kept"
