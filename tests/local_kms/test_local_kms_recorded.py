"""Answers that AWS gave, case by case: codes, texts, and which check comes first.

Sources, none of whose code is here: what the authors of floci measured in us-east-1 for their pull requests 3038 and
3968 (https://github.com/floci-io/floci/pull/3968, September 2026), and what those of LocalStack recorded
(https://github.com/localstack/localstack/blob/main/tests/aws/services/kms/test_kms.snapshot.json, 2023 to 2026).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import pytest

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms

_NOBODY = "00000000-0000-0000-0000-000000000000"
_PREFIX = "arn:aws:kms:us-east-1:000000000000:"
_OAEP = "RSAES_OAEP_SHA_256"
_SIGNING_ALGORITHMS = (
    "[RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, RSASSA_PSS_SHA_512, RSASSA_PKCS1_V1_5_SHA_256, "
    "RSASSA_PKCS1_V1_5_SHA_384, RSASSA_PKCS1_V1_5_SHA_512, ECDSA_SHA_256, ECDSA_SHA_384, ECDSA_SHA_512, "
    "ED25519_SHA_512, ED25519_PH_SHA_512, SM2DSA, ML_DSA_SHAKE_256]"
)
_ENUMERATION = "Member must satisfy enum value set: "


@pytest.fixture(scope="module")
def shared() -> Generator[LocalKms]:
    with LocalKms.in_memory() as kms:
        yield kms


def _key(kms: LocalKms, spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT") -> str:
    arn: str = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
    return arn


def _answer(kms: LocalKms, operation: str, **parameters: Any) -> tuple[str, str]:
    """Return the code and text of the error that a call ends in."""
    with pytest.raises(KmsServiceError) as caught:
        getattr(kms, operation)(**parameters)
    return caught.value.code, caught.value.response["Error"]["Message"]


# --- what is wrong with a request, before there is a key -------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "parameters", "problem"),
    [
        (
            "sign",
            {"Message": b"m", "SigningAlgorithm": "FOO"},
            f"Value 'FOO' at 'signingAlgorithm' failed to satisfy constraint: {_ENUMERATION}{_SIGNING_ALGORITHMS}",
        ),
        (
            "verify",
            {"Message": b"m", "Signature": b"s", "SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "FOO"},
            f"Value 'FOO' at 'messageType' failed to satisfy constraint: {_ENUMERATION}[RAW, DIGEST, EXTERNAL_MU]",
        ),
        (
            "generate_mac",
            {"Message": b"m", "MacAlgorithm": "hmac_sha_256"},
            f"Value 'hmac_sha_256' at 'macAlgorithm' failed to satisfy constraint: {_ENUMERATION}"
            "[HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
        ),
        (
            "encrypt",
            {"Plaintext": b"p", "EncryptionAlgorithm": "FOO"},
            f"Value 'FOO' at 'encryptionAlgorithm' failed to satisfy constraint: {_ENUMERATION}"
            "[RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT]",
        ),
        (
            "generate_data_key",
            {"KeySpec": "RSA_2048"},
            f"Value 'RSA_2048' at 'keySpec' failed to satisfy constraint: {_ENUMERATION}"
            "[RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1, "
            "ECC_NIST_EDWARDS25519, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2, ML_DSA_44, "
            "ML_DSA_65, ML_DSA_87]",
        ),
    ],
)
def test_a_value_that_is_none_of_an_enumeration(
    shared: LocalKms, operation: str, parameters: Mapping[str, Any], problem: str
) -> None:
    expected = ("ValidationException", f"1 validation error detected: {problem}")

    assert expected == _answer(shared, operation, KeyId=_NOBODY, **parameters)


@pytest.mark.parametrize(
    ("operation", "parameters", "member", "shown"),
    [
        ("encrypt", {"Plaintext": None}, "plaintext", "Value"),
        ("sign", {"Message": None, "SigningAlgorithm": "ECDSA_SHA_256"}, "message", "Value"),
        ("generate_mac", {"Message": None, "MacAlgorithm": "HMAC_SHA_256"}, "message", "Value"),
        (
            "verify",
            {"Message": b"m", "Signature": None, "SigningAlgorithm": "ECDSA_SHA_256"},
            "signature",
            "Value null",
        ),
        ("verify_mac", {"Message": b"m", "Mac": None, "MacAlgorithm": "HMAC_SHA_256"}, "mac", "Value null"),
        ("decrypt", {"CiphertextBlob": None}, "ciphertextBlob", "Value null"),
        ("sign", {"Message": b"m", "SigningAlgorithm": None}, "signingAlgorithm", "Value null"),
    ],
)
def test_what_is_missing_is_said_to_be_null_unless_it_is_sensitive(
    shared: LocalKms, operation: str, parameters: Mapping[str, Any], member: str, shown: str
) -> None:
    problem = f"{shown} at '{member}' failed to satisfy constraint: Member must not be null"
    expected = ("ValidationException", f"1 validation error detected: {problem}")

    assert expected == _answer(shared, operation, KeyId=_NOBODY, **parameters)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "12345678-1234-1234-1234-123456789012",
            f"Key '{_PREFIX}key/12345678-1234-1234-1234-123456789012' does not exist",
        ),
        (
            "786CA7CD-B74B-42B3-B887-902AD7AB6429",
            f"Key '{_PREFIX}key/786CA7CD-B74B-42B3-B887-902AD7AB6429' does not exist",
        ),
        (
            "mrk-1234567812341234123412345678901a",
            f"Key '{_PREFIX}key/mrk-1234567812341234123412345678901a' does not exist",
        ),
        (f"{_PREFIX}key/{_NOBODY}", f"Key '{_PREFIX}key/{_NOBODY}' does not exist"),
        (f"{_PREFIX}key/foo", "Invalid keyId foo"),
        ("foo", "Invalid keyId 'foo'"),
        ("12345678123412341234123456789012", "Invalid keyId '12345678123412341234123456789012'"),
        ("mrk-1234", "Invalid keyId 'mrk-1234'"),
        ("alias/missing", f"Alias {_PREFIX}alias/missing is not found."),
        (f"{_PREFIX}alias/missing", f"Alias {_PREFIX}alias/missing is not found."),
        (f"arn:aws:kms:us-west-2:000000000000:key/{_NOBODY}", "Invalid arn us-west-2"),
        ("arn:aws:kms:us-west-2:000000000000:alias/missing", "Invalid arn us-west-2"),
    ],
)
def test_what_is_not_found_is_named(shared: LocalKms, name: str, text: str) -> None:
    assert _answer(shared, "describe_key", KeyId=name) == ("NotFoundException", text)


@pytest.mark.parametrize("form", ["alias/missing", f"{_PREFIX}alias/missing"])
@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("cancel_key_deletion", {}),
        ("create_grant", {"GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Encrypt"]}),
        ("disable_key", {}),
        ("enable_key", {}),
        ("get_key_policy", {}),
        ("list_grants", {}),
        ("list_key_policies", {}),
        ("schedule_key_deletion", {}),
        ("update_key_description", {"Description": "d"}),
    ],
)
def test_where_only_keys_are_taken_an_alias_is_not_even_looked_up(
    shared: LocalKms, form: str, operation: str, parameters: Mapping[str, Any]
) -> None:
    expected = ("InvalidArnException", "Key Aliases are not supported for this operation.")

    assert expected == _answer(shared, operation, KeyId=form, **parameters)


# --- what a key is for, then its state, then the algorithm -----------------------------------------------------------


@pytest.mark.parametrize("change", ["disable_key", "schedule_key_deletion"])
@pytest.mark.parametrize(
    ("spec", "usage", "operation", "parameters"),
    [
        ("HMAC_256", "GENERATE_VERIFY_MAC", "sign", {"Message": b"m", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}),
        ("ECC_NIST_P256", "SIGN_VERIFY", "encrypt", {"Plaintext": b"p", "EncryptionAlgorithm": _OAEP}),
        ("ECC_NIST_P256", "SIGN_VERIFY", "generate_data_key", {"KeySpec": "AES_256"}),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "generate_mac", {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}),
    ],
)
def test_the_usage_comes_before_the_state(
    shared: LocalKms, change: str, spec: str, usage: str, operation: str, parameters: Mapping[str, Any]
) -> None:
    arn = _key(shared, spec, usage)
    getattr(shared, change)(KeyId=arn)
    name = "".join(word.capitalize() for word in operation.split("_"))
    expected = ("InvalidKeyUsageException", f"{arn} key usage is {usage} which is not valid for {name}.")

    assert expected == _answer(shared, operation, KeyId=arn, **parameters)


@pytest.mark.parametrize(
    ("spec", "usage", "operation", "parameters"),
    [
        ("ECC_NIST_P256", "SIGN_VERIFY", "sign", {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_384"}),
        ("HMAC_256", "GENERATE_VERIFY_MAC", "generate_mac", {"Message": b"m", "MacAlgorithm": "HMAC_SHA_512"}),
        ("RSA_2048", "ENCRYPT_DECRYPT", "generate_data_key", {"KeySpec": "AES_256"}),
    ],
)
def test_the_state_comes_before_the_algorithm(
    shared: LocalKms, spec: str, usage: str, operation: str, parameters: Mapping[str, Any]
) -> None:
    arn = _key(shared, spec, usage)
    shared.disable_key(KeyId=arn)

    assert _answer(shared, operation, KeyId=arn, **parameters) == ("DisabledException", f"{arn} is disabled.")


@pytest.mark.parametrize("operation", ["generate_data_key", "generate_data_key_without_plaintext"])
@pytest.mark.parametrize("parameters", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}])
def test_the_length_of_a_data_key_comes_before_usage_and_state(
    shared: LocalKms, operation: str, parameters: Mapping[str, Any]
) -> None:
    arn = _key(shared, "HMAC_256", "GENERATE_VERIFY_MAC")
    shared.disable_key(KeyId=arn)
    expected = ("ValidationException", "Please specify either number of bytes or key spec.")

    assert expected == _answer(shared, operation, KeyId=arn, **parameters)


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        ("ECC_NIST_P256", "ECDSA_SHA_384"),
        ("ECC_NIST_P256", "ED25519_PH_SHA_512"),
        ("ECC_NIST_P256", "SYMMETRIC_DEFAULT"),
        ("ECC_NIST_EDWARDS25519", "ECDSA_SHA_512"),
    ],
)
def test_the_algorithm_comes_before_the_length_of_a_digest(shared: LocalKms, spec: str, algorithm: str) -> None:
    arn = _key(shared, spec, "SIGN_VERIFY")
    parameters = {"Message": bytes(20), "MessageType": "DIGEST", "SigningAlgorithm": algorithm}
    expected = ("InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {spec}.")

    assert expected == _answer(shared, "sign", KeyId=arn, **parameters)


# --- ciphertexts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("HMAC_224", "GENERATE_VERIFY_MAC"),
    ],
)
def test_whose_a_ciphertext_is_comes_before_what_the_key_named_is_for(shared: LocalKms, spec: str, usage: str) -> None:
    blob = shared.encrypt(KeyId=_key(shared), Plaintext=b"p")["CiphertextBlob"]
    other = _key(shared, spec, usage)
    text = "The key ID in the request does not identify a CMK that can perform this operation."
    keys = {"SourceKeyId": other, "DestinationKeyId": other}

    assert _answer(shared, "decrypt", KeyId=other, CiphertextBlob=blob) == ("IncorrectKeyException", text)
    assert _answer(shared, "re_encrypt", CiphertextBlob=blob, **keys) == ("IncorrectKeyException", text)


def test_whose_a_ciphertext_is_comes_before_the_state_of_the_key_named(shared: LocalKms) -> None:
    blob = shared.encrypt(KeyId=_key(shared), Plaintext=b"p")["CiphertextBlob"]
    other = _key(shared)
    shared.disable_key(KeyId=other)

    assert _answer(shared, "decrypt", KeyId=other, CiphertextBlob=blob)[0] == "IncorrectKeyException"


def test_a_ciphertext_of_rsa_is_none_where_no_algorithm_is_given(shared: LocalKms) -> None:
    arn = _key(shared, "RSA_2048")
    blob = shared.encrypt(KeyId=arn, Plaintext=b"p", EncryptionAlgorithm=_OAEP)["CiphertextBlob"]

    assert _answer(shared, "decrypt", KeyId=arn, CiphertextBlob=blob) == ("InvalidCiphertextException", "")


def test_no_context_goes_with_rsa(shared: LocalKms) -> None:
    text = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
    parameters = {"Plaintext": b"p", "EncryptionAlgorithm": _OAEP, "EncryptionContext": {"a": "b"}}
    expected = ("ValidationException", text)

    assert expected == _answer(shared, "encrypt", KeyId=_key(shared, "RSA_2048"), **parameters)


# --- keys that lack something ----------------------------------------------------------------------------------------


def test_a_symmetric_key_has_no_public_half_and_nothing_is_said_of_it(shared: LocalKms) -> None:
    assert _answer(shared, "get_public_key", KeyId=_key(shared)) == ("UnsupportedOperationException", "")


def test_the_state_comes_before_the_lack_of_a_public_half(shared: LocalKms) -> None:
    arn = _key(shared, "HMAC_256", "GENERATE_VERIFY_MAC")
    shared.schedule_key_deletion(KeyId=arn)
    expected = ("KMSInvalidStateException", f"{arn} is pending deletion.")

    assert expected == _answer(shared, "get_public_key", KeyId=arn)


@pytest.mark.parametrize("operation", ["generate_data_key", "generate_data_key_without_plaintext"])
def test_an_asymmetric_key_wraps_no_data_key(shared: LocalKms, operation: str) -> None:
    expected = ("InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK")

    assert expected == _answer(shared, operation, KeyId=_key(shared, "RSA_2048"), KeySpec="AES_256")


@pytest.mark.parametrize(
    ("spec", "algorithm", "message_type", "text"),
    [
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "DIGEST", "algorithm ED25519_SHA_512"),
        ("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", "RAW", "algorithm ED25519_PH_SHA_512"),
        ("ML_DSA_44", "ML_DSA_SHAKE_256", "DIGEST", "key spec ML_DSA_44"),
    ],
)
def test_a_message_of_the_wrong_type(shared: LocalKms, spec: str, algorithm: str, message_type: str, text: str) -> None:
    parameters = {"Message": b"message", "MessageType": message_type, "SigningAlgorithm": algorithm}
    try:
        arn = _key(shared, spec, "SIGN_VERIFY")
    except KmsServiceError:
        pytest.skip(f"no {spec} here")
    expected = ("ValidationException", f"Message type {message_type} is incompatible with {text}.")

    assert expected == _answer(shared, "sign", KeyId=arn, **parameters)
