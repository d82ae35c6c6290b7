"""Encrypting, decrypting, data keys and random bytes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envelope_sdk.local_kms import LocalKms

_LENGTHS = [1, 15, 16, 31, 32, 100, 101, 200, 228, 229, 230, 256, 1024, 4069, 4096]


@pytest.mark.parametrize("length", _LENGTHS)
def test_what_was_encrypted_is_decrypted(kms: LocalKms, key_id: str, length: int) -> None:
    plaintext = bytes(range(256)) * 16
    blob = kms.encrypt(KeyId=key_id, Plaintext=plaintext[:length])["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext[:length]


def test_encrypt_answers_blob_key_and_algorithm(kms: LocalKms, key_id: str, arn: str) -> None:
    answer = kms.encrypt(KeyId=key_id, Plaintext=b"x")
    assert set(answer) == {"CiphertextBlob", "KeyId", "EncryptionAlgorithm", "ResponseMetadata"}
    assert (answer["KeyId"], answer["EncryptionAlgorithm"]) == (arn, "SYMMETRIC_DEFAULT")


def test_decrypt_names_key_and_material(kms: LocalKms, key_id: str, arn: str) -> None:
    answer = kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"])
    current = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert (answer["KeyId"], answer["KeyMaterialId"]) == (arn, current)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_may_come_in_any_buffer(kms: LocalKms, key_id: str, kind: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=kind(b"abc"))["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=kind(blob))["Plaintext"] == b"abc"


@pytest.mark.parametrize(("spec", "length"), [("AES_256", 32), ("AES_128", 16)])
def test_a_data_key_is_as_long_as_its_spec_says(kms: LocalKms, key_id: str, spec: str, length: int) -> None:
    answer = kms.generate_data_key(KeyId=key_id, KeySpec=spec)
    assert len(answer["Plaintext"]) == length
    assert kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == answer["Plaintext"]


@pytest.mark.parametrize("length", [1, 64, 1024])
def test_a_data_key_is_as_long_as_asked(kms: LocalKms, key_id: str, length: int) -> None:
    assert len(kms.generate_data_key(KeyId=key_id, NumberOfBytes=length)["Plaintext"]) == length


def test_a_data_key_without_plaintext_shows_none_and_decrypts(kms: LocalKms, key_id: str) -> None:
    answer = kms.generate_data_key_without_plaintext(KeyId=key_id, NumberOfBytes=24)
    assert "Plaintext" not in answer
    assert len(kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"]) == 24


def test_no_two_data_keys_are_alike(kms: LocalKms, key_id: str) -> None:
    made = [kms.generate_data_key(KeyId=key_id, KeySpec="AES_256") for _ in range(100)]
    assert len({answer["Plaintext"] for answer in made}) == 100
    assert len({answer["CiphertextBlob"] for answer in made}) == 100


def test_a_blob_of_a_32_byte_data_key_has_the_length_aws_gives_it(kms: LocalKms, key_id: str) -> None:
    context = {"purpose": "x" * 100}
    answer = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=context)
    assert len(answer["CiphertextBlob"]) == 184


def test_blobs_begin_in_base64_as_those_of_aws_do(kms: LocalKms) -> None:
    for _ in range(20):
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        encrypted = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        data_key = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
        without = kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
        moved = kms.re_encrypt(CiphertextBlob=data_key, DestinationKeyId=key_id)["CiphertextBlob"]
        prefixes = [base64.b64encode(blob)[:7] for blob in (encrypted, data_key, without, moved)]
        assert prefixes == [b"AQICAHh", b"AQIDAHh", b"AQIBAHh", b"AQICAHh"]


def test_re_encrypt_moves_content_to_another_key_and_context(kms: LocalKms, key_id: str, arn: str) -> None:
    other = kms.create_key()["KeyMetadata"]
    first = kms.encrypt(KeyId=key_id, Plaintext=b"content", EncryptionContext={"a": "1"})["CiphertextBlob"]
    answer = kms.re_encrypt(
        CiphertextBlob=first,
        SourceEncryptionContext={"a": "1"},
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"b": "2"},
    )
    opened = kms.decrypt(CiphertextBlob=answer.pop("CiphertextBlob"), EncryptionContext={"b": "2"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"content", other["Arn"])
    del answer["ResponseMetadata"]
    assert answer == {
        "SourceKeyId": arn,
        "KeyId": other["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"],
        "DestinationKeyMaterialId": other["CurrentKeyMaterialId"],
    }


def test_re_encrypt_needs_the_source_context(kms: LocalKms, key_id: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key_id)


_CONTEXTS: list[tuple[dict[str, str], dict[str, str] | None]] = [
    ({"ab": "c"}, {"a": "bc"}),
    ({"a": "b"}, {"b": "a"}),
    ({"a": "b"}, {"A": "b"}),
    ({"a": "b", "c": "d"}, {"a": "bcd"}),
    ({"a": "b", "c": "d"}, {"a": "b"}),
    ({"a": "b"}, {"a": "b", "c": "d"}),
    ({"a": ""}, {"": "a"}),
    ({"": ""}, {}),
    ({"a": "b"}, None),
    ({}, {"a": "b"}),
    ({"é": "x"}, {"e\u0301": "x"}),
]


@pytest.mark.parametrize(("made", "given_"), _CONTEXTS)
def test_another_context_does_not_open(kms: LocalKms, key_id: str, refused: Any, made: Any, given_: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=made)["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext=given_)


def test_an_empty_context_is_none_at_all(kms: LocalKms, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_the_order_of_a_context_does_not_matter(kms: LocalKms, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"b": "2", "a": "1"})["Plaintext"] == b"x"


@settings(max_examples=50, deadline=None)
@given(context=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5), plaintext=st.binary(min_size=1))
def test_any_text_is_a_context(context: dict[str, str], plaintext: bytes) -> None:
    with LocalKms.in_memory() as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionContext=context)["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == plaintext


@pytest.mark.parametrize("context", [{"a": 1}, {1: "a"}, {"a": None}, [("a", "b")], "a", {"a": b"b"}, {"a": "\ud800"}])
def test_a_context_is_text_by_text(kms: LocalKms, key_id: str, refused: Any, context: Any) -> None:
    with refused("SerializationException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=context)


def _too_long(name: str, maximum: int) -> str:
    return (
        f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {maximum}"
    )


def _too_short(name: str) -> str:
    return (
        f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    )


def test_4097_bytes_are_too_many(kms: LocalKms, key_id: str, refused: Any) -> None:
    with refused("ValidationException", _too_long("plaintext", 4096)):
        kms.encrypt(KeyId=key_id, Plaintext=bytes(4097))


def test_no_bytes_are_too_few(kms: LocalKms, key_id: str, refused: Any) -> None:
    with refused("ValidationException", _too_short("plaintext")):
        kms.encrypt(KeyId=key_id, Plaintext=b"")


def test_a_blob_of_6145_bytes_is_too_long(kms: LocalKms, refused: Any) -> None:
    with refused("ValidationException", _too_long("ciphertextBlob", 6144)):
        kms.decrypt(CiphertextBlob=bytes(6145))


def test_an_empty_blob_is_too_short(kms: LocalKms, refused: Any) -> None:
    with refused("ValidationException", _too_short("ciphertextBlob")):
        kms.decrypt(CiphertextBlob=b"")


@pytest.mark.parametrize("length", [1, 57, 58, 184, 6144])
def test_zeros_are_no_blob(kms: LocalKms, refused: Any, length: int) -> None:
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=bytes(length))


@pytest.mark.parametrize("plaintext", ["text", 5, [1]])
def test_a_plaintext_is_bytes(kms: LocalKms, key_id: str, refused: Any, plaintext: Any) -> None:
    with refused("SerializationException"):
        kms.encrypt(KeyId=key_id, Plaintext=plaintext)


@pytest.mark.parametrize("operation", ["generate_data_key", "generate_data_key_without_plaintext"])
class TestDataKeyLengths:
    """Exactly one of two ways to say how long a data key is."""

    @pytest.mark.parametrize("lengths", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}])
    def test_neither_or_both_is_refused(
        self, kms: LocalKms, key_id: str, refused: Any, operation: str, lengths: dict[str, Any]
    ) -> None:
        with refused("ValidationException", "Please specify either number of bytes or key spec."):
            getattr(kms, operation)(KeyId=key_id, **lengths)

    def test_1025_bytes_are_too_many(self, kms: LocalKms, key_id: str, refused: Any, operation: str) -> None:
        text = (
            "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: "
            "Member must have value less than or equal to 1024"
        )
        with refused("ValidationException", text):
            getattr(kms, operation)(KeyId=key_id, NumberOfBytes=1025)

    def test_zero_bytes_are_too_few(self, kms: LocalKms, key_id: str, refused: Any, operation: str) -> None:
        text = (
            "1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1"
        )
        with refused("ValidationException", text):
            getattr(kms, operation)(KeyId=key_id, NumberOfBytes=0)

    def test_an_unknown_spec_is_refused(self, kms: LocalKms, key_id: str, refused: Any, operation: str) -> None:
        text = (
            "1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy constraint: "
            "Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, "
            "ECC_NIST_P521, ECC_SECG_P256K1, ECC_NIST_EDWARDS25519, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, "
            "HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87]"
        )
        with refused("ValidationException", text):
            getattr(kms, operation)(KeyId=key_id, KeySpec="AES_512")

    @pytest.mark.parametrize("number", [True, 1.0, "1"])
    def test_a_number_is_whole(self, kms: LocalKms, key_id: str, refused: Any, operation: str, number: Any) -> None:
        with refused("SerializationException"):
            getattr(kms, operation)(KeyId=key_id, NumberOfBytes=number)


@pytest.mark.parametrize("length", [1, 1024])
def test_random_bytes(kms: LocalKms, length: int) -> None:
    assert len(kms.generate_random(NumberOfBytes=length)["Plaintext"]) == length


def test_random_bytes_need_a_length(kms: LocalKms, refused: Any) -> None:
    with refused("ValidationException", "NumberOfBytes is required."):
        kms.generate_random()


@pytest.mark.parametrize("parameters", [{"CustomKeyStoreId": "cks-1"}, {"Recipient": {}}])
def test_random_bytes_come_from_nowhere_else(kms: LocalKms, refused: Any, parameters: dict[str, Any]) -> None:
    with refused("UnsupportedOperationException"):
        kms.generate_random(NumberOfBytes=1, **parameters)


def test_another_key_named_is_the_incorrect_key(kms: LocalKms, key_id: str, refused: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    text = "The key ID in the request does not identify a CMK that can perform this operation."
    with refused("IncorrectKeyException", text):
        kms.decrypt(CiphertextBlob=blob, KeyId=other)
    with refused("IncorrectKeyException", text):
        kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=other, DestinationKeyId=key_id)


def test_an_unknown_key_named_is_not_found_before_the_blob_is_looked_at(kms: LocalKms, refused: Any) -> None:
    with refused("NotFoundException"):
        kms.decrypt(CiphertextBlob=b"x", KeyId="00000000-0000-4000-8000-000000000000")


def test_another_kms_s_blob_is_no_blob_of_the_key_named(kms: LocalKms, key_id: str, refused: Any) -> None:
    with LocalKms.in_memory() as other:
        blob = other.encrypt(KeyId=other.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=key_id)


def test_another_kms_s_blob_is_refused(kms: LocalKms, refused: Any) -> None:
    with LocalKms.in_memory() as other:
        blob = other.encrypt(KeyId=other.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with refused(
        "AccessDeniedException",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
        "or you are not allowed to access.",
    ):
        kms.decrypt(CiphertextBlob=blob)


def test_a_dry_run_of_each_operation_ends_in_its_own_error(kms: LocalKms, key_id: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    text = "The request would have succeeded, but the DryRun option is set."
    for call in (
        lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x", DryRun=True),
        lambda: kms.decrypt(CiphertextBlob=blob, DryRun=True),
        lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key_id, DryRun=True),
        lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", DryRun=True),
        lambda: kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256", DryRun=True),
    ):
        with refused("DryRunOperationException", text):
            call()


def test_a_dry_run_fails_as_the_call_would(kms: LocalKms, key_id: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, DryRun=True)
    kms.disable_key(KeyId=key_id)
    with refused("DisabledException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", DryRun=True)


_IGNORING: dict[str, Any] = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}


def test_a_dry_run_may_ignore_the_ciphertext(kms: LocalKms, key_id: str, refused: Any) -> None:
    for content in ({}, {"CiphertextBlob": b"no blob"}):
        with refused("DryRunOperationException"):
            kms.decrypt(KeyId=key_id, **content, **_IGNORING)
        with refused("DryRunOperationException"):
            kms.re_encrypt(SourceKeyId=key_id, DestinationKeyId=key_id, **content, **_IGNORING)


def test_a_dry_run_that_ignores_the_ciphertext_looks_at_the_key(kms: LocalKms, key_id: str, refused: Any) -> None:
    other = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    with refused("InvalidKeyUsageException"):
        kms.decrypt(KeyId=other, **_IGNORING)
    with refused("InvalidKeyUsageException"):
        kms.re_encrypt(SourceKeyId=key_id, DestinationKeyId=other, **_IGNORING)
    kms.disable_key(KeyId=key_id)
    with refused("DisabledException"):
        kms.decrypt(KeyId=key_id, **_IGNORING)


def test_a_dry_run_that_ignores_the_ciphertext_has_to_name_the_key(kms: LocalKms, key_id: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    for content in ({}, {"CiphertextBlob": blob}):
        with refused("ValidationException"):
            kms.decrypt(**content, **_IGNORING)
        with refused("ValidationException"):
            kms.re_encrypt(DestinationKeyId=key_id, **content, **_IGNORING)


def test_only_a_dry_run_ignores_the_ciphertext(kms: LocalKms, key_id: str, refused: Any) -> None:
    text = "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
    for more in ({}, {"DryRun": True}, {"DryRunModifiers": ["IGNORE_CIPHERTEXT"]}):
        with refused("ValidationException", f"{text}Member must not be null"):
            kms.decrypt(KeyId=key_id, **more)


def test_an_unknown_modifier_is_refused(kms: LocalKms, key_id: str, refused: Any) -> None:
    with refused("ValidationException"):
        kms.decrypt(KeyId=key_id, DryRun=True, DryRunModifiers=["IGNORE_KEY"])


def test_an_algorithm_the_key_does_not_have_is_refused(kms: LocalKms, key_id: str, refused: Any) -> None:
    text = "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
    with refused("InvalidKeyUsageException", text):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_the_symmetric_algorithm_may_be_named(kms: LocalKms, key_id: str) -> None:
    algorithm = "SYMMETRIC_DEFAULT"
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm=algorithm)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionAlgorithm=algorithm)["Plaintext"] == b"x"


def test_what_is_not_built_is_refused_rather_than_ignored(kms: LocalKms, key_id: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused("UnsupportedOperationException", "Recipient is not supported by the local KMS."):
        kms.decrypt(CiphertextBlob=blob, Recipient={"AttestationDocument": b"x"})
    with refused("UnsupportedOperationException"):
        kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", Recipient={})


def test_grant_tokens_are_taken(kms: LocalKms, key_id: str) -> None:
    grant = {"KeyId": key_id, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Encrypt"]}
    token = kms.create_grant(**grant)["GrantToken"]
    kms.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token] * 10)


@pytest.mark.parametrize("tokens", [["t"] * 11, [""], ["t" * 8193]])
def test_grant_tokens_have_limits(kms: LocalKms, key_id: str, refused: Any, tokens: list[str]) -> None:
    with refused("ValidationException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=tokens)


def test_randomness_comes_from_where_it_is_injected() -> None:
    blobs = []
    for _ in range(2):
        count = iter(range(1000))

        def random(length: int, count: Any = count) -> bytes:
            return bytes([next(count)]) * length

        with LocalKms.in_memory(random=random) as kms:
            key_id = kms.create_key()["KeyMetadata"]["KeyId"]
            blobs.append(kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"])
    assert blobs[0] == blobs[1]


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 10**5000, -(10**5000)], ids="abcd")
def test_a_number_beyond_32_bits_is_refused_and_not_repeated(kms: LocalKms, refused: Any, number: int) -> None:
    with refused("SerializationException", "NumberOfBytes has to be a whole number of 32 bits."):
        kms.generate_random(NumberOfBytes=number)
    with refused("SerializationException", "Limit has to be a whole number of 32 bits."):
        kms.list_keys(Limit=number)


def test_bytes_that_were_released_are_refused(kms: LocalKms, key_id: str, refused: Any) -> None:
    view = memoryview(b"x")
    view.release()
    with refused("SerializationException", "Plaintext has to be bytes."):
        kms.encrypt(KeyId=key_id, Plaintext=view)  # type: ignore[arg-type]
