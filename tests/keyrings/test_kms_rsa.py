"""The KMS RSA keyring: encrypting offline, decrypting through a KMS with real RSA, and checking what it answers."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from testkit.asymmetric_kms import ARN_START, AsymmetricKms
from testkit.builder import SIGNED, UNSIGNED, suite_name
from testkit.materials import CONTEXT, DATA_KEY, to_open, to_wrap

from envelope_sdk import Client, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    KeyringError,
    KmsAccessError,
    KmsError,
    KmsUnavailableError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.keyrings import KmsRsaKeyring, MultiKeyring, RawAesKeyring, RsaPadding
from envelope_sdk.materials import Keyring
from envelope_sdk.primitives.rsa import rsa_wrap

ALGORITHMS = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
KEY = f"{ARN_START}1234abcd-12ab-34cd-56ef-1234567890ab"
MULTI_REGION = f"{ARN_START}mrk-1234abcd12ab34cd56ef1234567890ab"


@cache
def private(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key made once a run; nothing here depends on its value."""
    return rsa.generate_private_key(65_537, bits)


@pytest.fixture
def kms() -> AsymmetricKms:
    return new_kms()


def new_kms() -> AsymmetricKms:
    kms = AsymmetricKms()
    for arn in (KEY, MULTI_REGION):
        kms.add_key(private(2048), "ENCRYPT_DECRYPT", arn.removeprefix(ARN_START))
    return kms


def keyring(kms: AsymmetricKms | None, algorithm: str = "RSAES_OAEP_SHA_256", arn: str = KEY) -> KmsRsaKeyring:
    return KmsRsaKeyring(kms, arn, algorithm, public_key=private(2048).public_key())


def wrapped(by: Keyring, data_key: bytes = DATA_KEY) -> EncryptedDataKey:
    (edk,) = by.on_encrypt(to_wrap(data_key)).encrypted_data_keys
    return edk


def opened(by: Keyring, *edks: EncryptedDataKey) -> bytes | None:
    return by.on_decrypt(to_open(), edks).plaintext_data_key


def failures_of(by: Keyring, *edks: EncryptedDataKey) -> list[Exception]:
    with pytest.raises(NoMatchingKeyError) as error:
        by.on_decrypt(to_open(), edks)
    return [failure.error for failure in error.value.failures]


def test_it_is_a_keyring(kms):
    assert isinstance(keyring(kms), Keyring)


# --- wrapping and opening --------------------------------------------------------------------------------------------


@each_algorithm
def test_what_the_public_key_wrapped_kms_opens(algorithm, kms):
    ring = keyring(kms, algorithm)

    assert opened(ring, wrapped(ring)) == DATA_KEY


def test_encrypting_calls_nobody(kms):
    Client(keyring(kms)).encrypt(b"plaintext", encryption_context={"a": "b"})

    assert kms.calls == []


@each_algorithm
def test_decrypting_calls_kms_once_with_the_key_and_the_algorithm(algorithm, kms):
    ring = keyring(kms, algorithm)
    edk = wrapped(ring)

    opened(ring, edk)

    request = {"KeyId": KEY, "CiphertextBlob": edk.ciphertext, "EncryptionAlgorithm": algorithm}
    assert kms.calls == [("decrypt", request)]


def test_sha_256_is_what_is_used_where_nothing_is_said(kms):
    ring = KmsRsaKeyring(kms, KEY, public_key=private(2048).public_key())
    opened(ring, wrapped(ring))

    assert kms.calls[0][1]["EncryptionAlgorithm"] == "RSAES_OAEP_SHA_256"


def test_grant_tokens_go_with_the_call(kms):
    ring = KmsRsaKeyring(kms, KEY, grant_tokens=["one", "two"])

    opened(ring, wrapped(keyring(None)))

    assert kms.calls[0][1]["GrantTokens"] == ["one", "two"]


@pytest.mark.parametrize("suite", UNSIGNED, ids=suite_name)
def test_it_makes_a_data_key_of_the_suites_length_where_there_is_none(suite, kms):
    materials = keyring(kms).on_encrypt(to_wrap(None, suite=suite))

    read = keyring(kms).on_decrypt(to_open(suite=suite), materials.encrypted_data_keys)

    assert len(materials.plaintext_data_key or b"") == suite.key_length
    assert read.plaintext_data_key == materials.plaintext_data_key


def test_the_layout_of_what_it_writes():
    edk = wrapped(keyring(None))
    context = b"\0\1" + b"\0\7purpose" + b"\0\4test"

    opened_by_hand = private(2048).decrypt(edk.ciphertext, RsaPadding.OAEP_SHA256.scheme())

    assert (edk.provider_id, edk.provider_info, len(edk.ciphertext)) == ("aws-kms-rsa", KEY.encode(), 256)
    assert opened_by_hand == hashlib.sha384(context).digest() + DATA_KEY


def test_an_empty_context_is_hashed_as_nothing(kms):
    context = EncryptionContext()
    materials = keyring(kms).on_encrypt(to_wrap(context=context))
    (edk,) = materials.encrypted_data_keys

    plain = private(2048).decrypt(edk.ciphertext, RsaPadding.OAEP_SHA256.scheme())

    assert plain[:48] == hashlib.sha384(b"").digest()
    assert keyring(kms).on_decrypt(to_open(context=context), [edk]).plaintext_data_key == DATA_KEY


def test_a_whole_message_round_trips(kms):
    message = Client(keyring(None)).encrypt(b"plaintext", encryption_context={"a": "b"}).ciphertext

    assert Client(keyring(kms)).decrypt(message).plaintext == b"plaintext"


def test_another_context_is_refused_although_kms_opens_it(kms):
    edk = wrapped(keyring(kms))

    with pytest.raises(NoMatchingKeyError, match="another encryption context") as error:
        keyring(kms).on_decrypt(to_open(context=EncryptionContext({"purpose": "other"})), [edk])

    (failure,) = error.value.failures
    assert isinstance(failure.error, AuthenticationError)
    assert kms.called() == ["decrypt"]


@pytest.mark.parametrize("length", [0, 1, 47, 48, 64, 79, 81, 100])
def test_what_kms_opens_is_a_digest_and_a_data_key_of_the_right_length(length, kms):
    content = (hashlib.sha384(CONTEXT.canonical).digest() + bytes(52))[:length]
    odd = EncryptedDataKey(
        "aws-kms-rsa", KEY.encode(), rsa_wrap(private(2048).public_key(), RsaPadding.OAEP_SHA256, content)
    )

    failures_of(keyring(kms), odd)
    assert opened(keyring(kms), odd, wrapped(keyring(kms))) == DATA_KEY


# --- one half --------------------------------------------------------------------------------------------------------


def test_without_a_client_it_encrypts_and_does_not_decrypt(kms):
    ring = keyring(None)

    assert opened(keyring(kms), wrapped(ring)) == DATA_KEY
    (error,) = failures_of(ring, wrapped(ring))
    assert "no KMS client and so cannot decrypt" in str(error)


def test_without_a_public_key_it_decrypts_and_does_not_encrypt(kms):
    ring = KmsRsaKeyring(kms, KEY)

    assert opened(ring, wrapped(keyring(None))) == DATA_KEY
    with pytest.raises(KeyringError, match="has no public key and so cannot encrypt"):
        ring.on_encrypt(to_wrap())


def test_with_neither_it_is_a_mistake():
    with pytest.raises(UsageError, match="needs a public key to encrypt, a KMS client to decrypt, or both"):
        KmsRsaKeyring(None, KEY)


# --- signed suites ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_signed_suites_are_refused_both_ways(suite, kms):
    with pytest.raises(KeyringError, match=r"not work with signed algorithm suites: .*; choose a suite that"):
        keyring(kms).on_encrypt(to_wrap(None, suite=suite))
    with pytest.raises(NoMatchingKeyError, match="does not work with signed algorithm suites"):
        keyring(kms).on_decrypt(to_open(suite=suite), [wrapped(keyring(kms))])
    assert kms.calls == []


def test_a_signed_message_opens_with_another_of_its_keyrings(kms):
    raw = RawAesKeyring("test", "key", bytes(32))
    message = Client(raw, sign=True).encrypt(b"plaintext").ciphertext

    assert Client(MultiKeyring(children=[keyring(kms), raw])).decrypt(message).plaintext == b"plaintext"


# --- which data keys are its own -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider_id", "arn"),
    [
        ("aws-kms", KEY),
        ("aws-kms-rsa2", KEY),
        ("aws-kms-rsa", f"{ARN_START}00000000-0000-0000-0000-000000000000"),
        ("aws-kms-rsa", KEY.replace("eu-west-1", "us-east-1")),
        ("aws-kms-rsa", MULTI_REGION),
    ],
)
def test_kms_is_not_asked_about_what_is_wrapped_for_others(provider_id, arn, kms):
    edk = EncryptedDataKey(provider_id, arn.encode(), wrapped(keyring(kms)).ciphertext)

    (error,) = failures_of(keyring(kms), edk)

    assert "none of the message's data keys is wrapped for this key" in str(error)
    assert kms.calls == []


def test_a_replica_opens_what_was_wrapped_for_its_key_in_another_region(kms):
    there = wrapped(keyring(None, arn=MULTI_REGION.replace("eu-west-1", "us-east-1")))

    assert opened(keyring(kms, arn=MULTI_REGION), there) == DATA_KEY
    assert kms.calls[0][1]["KeyId"] == MULTI_REGION


@pytest.mark.parametrize(
    "changed",
    [("aws:kms", "aws-cn:kms"), ("111122223333", "444455556666"), ("mrk-1", "mrk-2"), (":key/", ":alias/")],
    ids=["partition", "account", "id", "alias"],
)
def test_what_differs_in_more_than_its_region_is_no_replica(changed, kms):
    edk = EncryptedDataKey("aws-kms-rsa", MULTI_REGION.replace(*changed).encode(), wrapped(keyring(None)).ciphertext)

    failures_of(keyring(kms, arn=MULTI_REGION), edk)

    assert kms.calls == []


@pytest.mark.parametrize("info", [b"", b"\xff", b"alias/test", b"1234abcd", f"{ARN_START[:-4]}alias/test".encode()])
def test_names_that_are_no_key_arn_are_reported_and_fail_alone(info, kms):
    good = wrapped(keyring(kms))
    bad = EncryptedDataKey("aws-kms-rsa", info, good.ciphertext)

    (error,) = failures_of(keyring(kms), bad)

    assert isinstance(error, UsageError)
    assert kms.calls == []
    assert opened(keyring(kms), bad, good) == DATA_KEY


# --- what KMS answers ------------------------------------------------------------------------------------------------

ODD_ANSWERS = {
    "another key": ({"KeyId": MULTI_REGION}, "the key 'arn:.*' where"),
    "no key": ({"KeyId": None}, "the key None where"),
    "no plaintext": ({"Plaintext": None}, "no Plaintext"),
    "plaintext that is text": ({"Plaintext": "x" * 80}, "no Plaintext"),
}


@pytest.mark.parametrize(("answer", "reason"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_an_answer_that_is_not_one_to_the_question_is_refused(answer, reason, kms):
    edk = wrapped(keyring(kms))
    kms.answers["decrypt"] = answer

    with pytest.raises(NoMatchingKeyError, match=reason) as error:
        keyring(kms).on_decrypt(to_open(), [edk])

    (failure,) = error.value.failures
    assert isinstance(failure.error, KmsError)
    assert (failure.error.operation, failure.error.code) == ("Decrypt", "UnexpectedAnswer")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", KmsAccessError),
        ("KMSInvalidStateException", KmsAccessError),
        ("InvalidCiphertextException", KmsError),
        ("ThrottlingException", KmsUnavailableError),
    ],
)
def test_a_refusal_means_what_it_means_everywhere(code, kind, kms):
    kms.errors["decrypt"] = code

    (failure,) = failures_of(keyring(kms), wrapped(keyring(kms)))

    assert type(failure) is kind
    assert (failure.operation, failure.code) == ("Decrypt", code)


def test_every_data_key_tried_has_an_entry_among_the_failures(kms):
    good = wrapped(keyring(kms))
    edks = [
        EncryptedDataKey("aws-kms-rsa", b"", b""),
        EncryptedDataKey("other", KEY.encode(), b""),
        EncryptedDataKey("aws-kms-rsa", KEY.encode(), bytes(256)),
        wrapped(keyring(kms), bytes(16)),
    ]

    errors = failures_of(keyring(kms), *edks)

    assert [type(error) for error in errors] == [UsageError, KmsError, KeyringError]
    assert opened(keyring(kms), *edks, good) == DATA_KEY


def test_a_data_key_that_is_there_is_not_replaced(kms):
    for ring in (keyring(kms), keyring(None)):
        with pytest.raises(UsageError, match="already hold"):
            ring.on_decrypt(to_open(DATA_KEY), [wrapped(keyring(kms))])


RING = keyring(new_kms())
EDK = wrapped(RING)


@given(in_info=st.booleans(), place=st.integers(0, 2**16), change=st.integers(1, 255))
def test_any_altered_byte_is_noticed(in_info, place, change):
    altered = bytearray(EDK.provider_info if in_info else EDK.ciphertext)
    altered[place % len(altered)] ^= change
    fields = (bytes(altered), EDK.ciphertext) if in_info else (EDK.provider_info, bytes(altered))

    failures_of(RING, EncryptedDataKey("aws-kms-rsa", *fields))


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm", ["RSAES_PKCS1_V1_5", "OAEP_SHA256", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_512", ""]
)
def test_an_algorithm_that_kms_does_not_have_is_refused_with_those_it_has(algorithm, kms):
    with pytest.raises(UsageError, match="is none of RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256"):
        keyring(kms, algorithm)


@pytest.mark.parametrize("name", ["1234abcd", "alias/test", f"{ARN_START[:-4]}alias/test", "arn:aws:s3:::bucket", ""])
def test_a_key_is_named_by_its_arn_and_by_nothing_else(name, kms):
    with pytest.raises(UsageError):
        keyring(kms, arn=name)


def test_a_key_name_that_is_not_text_is_a_type_error(kms):
    with pytest.raises(TypeError, match="is text, not bytes"):
        KmsRsaKeyring(kms, KEY.encode())  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", [None, b"RSAES_OAEP_SHA_256", private(2048).public_key()])
def test_an_algorithm_that_is_not_text_is_a_type_error(algorithm, kms):
    with pytest.raises(TypeError, match="encryption algorithm is text, not "):
        KmsRsaKeyring(kms, KEY, algorithm)


def test_a_weak_public_key_is_refused(kms):
    with pytest.raises(UsageError, match="1024 bits is too weak"):
        KmsRsaKeyring(kms, KEY, public_key=private(1024).public_key())


@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.PEM, PublicFormat.PKCS1),
    ],
)
def test_a_public_key_is_read_from(encoding, form, kms):
    ring = KmsRsaKeyring(None, KEY, public_key=private(2048).public_key().public_bytes(encoding, form))

    assert opened(keyring(kms), wrapped(ring)) == DATA_KEY


def test_what_kms_gives_as_the_public_key_is_one(kms):
    public = kms.get_public_key(KeyId=KEY)["PublicKey"]

    assert opened(keyring(kms), wrapped(KmsRsaKeyring(None, KEY, public_key=public))) == DATA_KEY


@pytest.mark.parametrize("junk", [b"", b"junk", ec.generate_private_key(ec.SECP256R1()).public_key()])
def test_what_is_no_rsa_public_key_is_refused(junk, kms):
    with pytest.raises(UsageError):
        KmsRsaKeyring(kms, KEY, public_key=junk)


@pytest.mark.parametrize("tokens", [["t"] * 11, [""]])
def test_grant_tokens_that_kms_would_refuse_are_refused(tokens, kms):
    with pytest.raises(UsageError, match="grant token"):
        KmsRsaKeyring(kms, KEY, grant_tokens=tokens)


# --- what it tells, and who may hold it ------------------------------------------------------------------------------


def test_its_repr_names_the_key_and_what_it_has(kms):
    start = f"KmsRsaKeyring({KEY!r}, RSAES_OAEP_SHA_256"

    assert repr(keyring(kms)) == f"{start}, public key and client)"
    assert repr(keyring(None)) == f"{start}, public key)"
    assert repr(KmsRsaKeyring(kms, KEY)) == f"{start}, client)"


def test_no_text_holds_a_data_key(kms):
    ring = keyring(kms)
    edk = wrapped(ring, b"\x42" * 9)

    with pytest.raises(NoMatchingKeyError) as error:
        ring.on_decrypt(to_open(), [edk])

    assert "BBBB" not in str(error.value)
    assert "4242" not in str(error.value)


def test_threads_may_share_it(kms):
    ring = keyring(kms)

    def there_and_back(number: int) -> bool:
        data_key = number.to_bytes(32, "big")
        return opened(ring, wrapped(ring, data_key)) == data_key

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(there_and_back, range(40)))
