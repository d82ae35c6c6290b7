"""What all symmetric KMS keyrings have in common where something goes wrong, seen through the whole client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.kms_regions import ACCOUNT, World

from envelope_sdk import Client
from envelope_sdk.errors import (
    KmsAccessError,
    KmsError,
    KmsServiceError,
    KmsUnavailableError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.formats import AlgorithmSuite, EncryptedDataKey, EncryptionContext
from envelope_sdk.keyrings import (
    KmsDiscoveryKeyring,
    KmsKeyring,
    KmsMrkDiscoveryKeyring,
    KmsMrkKeyring,
    MultiKeyring,
    RawAesKeyring,
    kms_discovery_multi_keyring,
    kms_mrk_discovery_multi_keyring,
    kms_mrk_multi_keyring,
    kms_multi_keyring,
)
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

REGION = "eu-west-1"
PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test"}
DATA_KEY = bytes(range(32))
TOKEN = "the grant token"

WRITERS = {
    "kms": lambda kms, key: KmsKeyring(kms, key, grant_tokens=[TOKEN]),
    "mrk": lambda kms, key: KmsMrkKeyring(kms, key, grant_tokens=[TOKEN]),
    "multi": lambda kms, key: kms_multi_keyring(key, client_supplier=lambda _: kms, grant_tokens=[TOKEN]),
    "mrk-multi": lambda kms, key: kms_mrk_multi_keyring(key, client_supplier=lambda _: kms, grant_tokens=[TOKEN]),
}
READERS = WRITERS | {
    "discovery": lambda kms, _: KmsDiscoveryKeyring(kms, grant_tokens=[TOKEN]),
    "mrk-discovery": lambda kms, _: KmsMrkDiscoveryKeyring(kms, REGION, grant_tokens=[TOKEN]),
    "discovery-multi": lambda kms, _: kms_discovery_multi_keyring(
        [REGION], client_supplier=lambda _: kms, grant_tokens=[TOKEN]
    ),
    "mrk-discovery-multi": lambda kms, _: kms_mrk_discovery_multi_keyring(
        [REGION], client_supplier=lambda _: kms, grant_tokens=[TOKEN]
    ),
}
every_writer = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS.keys())
every_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())

REFUSALS = {
    "denied": ("AccessDeniedException", KmsAccessError),
    "disabled": ("DisabledException", KmsAccessError),
    "pending-deletion": ("KMSInvalidStateException", KmsAccessError),
    "not-found": ("NotFoundException", KmsAccessError),
    "altered": ("InvalidCiphertextException", KmsError),
    "wrong-key": ("IncorrectKeyException", KmsError),
}
every_refusal = pytest.mark.parametrize(("code", "kind"), REFUSALS.values(), ids=REFUSALS.keys())


class Answering:
    """A KMS whose answers say something else; ``None`` leaves a field out."""

    def __init__(self, kms, **changes):
        self.region = kms.region
        self._kms = kms
        self._changes = changes

    def _changed(self, answer):
        return {name: value for name, value in ({**answer, **self._changes}).items() if value is not None}

    def generate_data_key(self, **parameters):
        return self._changed(self._kms.generate_data_key(**parameters))

    def decrypt(self, **parameters):
        return self._changed(self._kms.decrypt(**parameters))


@pytest.fixture
def world():
    return World(random=lambda length: DATA_KEY[:length])


@pytest.fixture
def kms(world):
    return world.client(REGION)


@pytest.fixture
def key(world):
    return world.create_key(REGION)


@pytest.fixture
def message(kms, key):
    return Client(KmsKeyring(kms, key)).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext


def holds_no_secret(error):
    text = f"{error} {error!r} {getattr(error, 'failures', '')}"
    return not any(str(secret) in text for secret in (TOKEN, DATA_KEY, DATA_KEY.hex(), DATA_KEY[:8]))


# --- KMS refuses or fails --------------------------------------------------------------------------------------------


@every_writer
@every_refusal
def test_a_refusal_to_wrap_keeps_the_service_s_code_and_request(code, kind, writer, world, kms, key):
    world.refuse(key, code)
    with pytest.raises(KmsError) as caught:
        Client(writer(kms, key)).encrypt(PLAINTEXT, encryption_context=CONTEXT)

    assert type(caught.value) is kind
    assert (caught.value.operation, caught.value.code) == ("GenerateDataKey", code)
    assert caught.value.request_id == "request-1"
    assert holds_no_secret(caught.value)


@every_reader
@every_refusal
def test_a_refusal_to_unwrap_keeps_the_service_s_code_and_request(code, kind, reader, world, kms, key, message):
    world.refuse(key, code)
    with pytest.raises(NoMatchingKeyError) as caught:
        Client(reader(kms, key)).decrypt(message)

    (failure,) = caught.value.failures
    assert type(failure.error) is kind
    assert (failure.error.operation, failure.error.code) == ("Decrypt", code)
    assert failure.error.request_id == "request-2"
    assert isinstance(failure.error.__cause__, KmsServiceError)
    assert key in str(failure)
    assert "request-2" in str(caught.value)
    assert holds_no_secret(caught.value)


@every_writer
def test_a_throttled_wrap_may_be_tried_again(writer, world, kms, key):
    world.refuse(key, "ThrottlingException")
    with pytest.raises(KmsUnavailableError) as caught:
        Client(writer(kms, key)).encrypt(PLAINTEXT)
    assert (caught.value.code, caught.value.request_id) == ("ThrottlingException", "request-1")
    assert caught.value.retryable


@every_reader
def test_a_throttled_unwrap_may_be_tried_again(reader, world, kms, key, message):
    world.refuse(key, "ThrottlingException")
    with pytest.raises(KmsUnavailableError) as caught:
        Client(reader(kms, key)).decrypt(message)
    assert (caught.value.code, caught.value.request_id) == ("ThrottlingException", "request-2")
    assert caught.value.retryable
    assert holds_no_secret(caught.value)


@every_reader
def test_a_service_that_cannot_be_reached_may_be_tried_again(reader, key, message):
    class Unreachable:
        region = REGION

        def decrypt(self, **_parameters):
            raise ConnectionResetError("reset")

    with pytest.raises(KmsUnavailableError, match="reset"):
        Client(reader(Unreachable(), key)).decrypt(message)


# --- KMS answers what cannot be right --------------------------------------------------------------------------------


@every_writer
@pytest.mark.parametrize("plaintext", [None, b"", bytes(16), bytes(31), bytes(33), "text"], ids=repr)
def test_a_new_data_key_that_is_none_or_of_another_length_is_refused(plaintext, writer, kms, key):
    with pytest.raises(KmsError, match="GenerateDataKey answered with") as caught:
        Client(writer(Answering(kms, Plaintext=plaintext), key)).encrypt(PLAINTEXT)
    assert caught.value.code == "UnexpectedAnswer"


@every_writer
@pytest.mark.parametrize(
    "named",
    [
        None,
        "",
        "1234abcd",
        "alias/a",
        "arn:aws:kms:r:1:alias/a",
        b"arn:aws:kms:r:1:key/a",
        "arn:aws:kms:r:1:key/\ud800",
    ],
    ids=ascii,
)
def test_a_wrapped_data_key_that_names_no_key_arn_is_refused(named, writer, kms, key):
    with pytest.raises(KmsError, match="which is not a key ARN"):
        Client(writer(Answering(kms, KeyId=named), key)).encrypt(PLAINTEXT)


@every_writer
@pytest.mark.parametrize(
    ("wrapped", "reason"), [(None, "no CiphertextBlob"), (b"", "an empty CiphertextBlob")], ids=repr
)
def test_an_answer_without_a_wrapped_data_key_is_refused(wrapped, reason, writer, kms, key):
    with pytest.raises(KmsError, match=reason):
        Client(writer(Answering(kms, CiphertextBlob=wrapped), key)).encrypt(PLAINTEXT)


@every_reader
@pytest.mark.parametrize("plaintext", [None, "text"], ids=repr)
def test_an_unwrapped_data_key_that_is_none_opens_nothing(plaintext, reader, kms, key, message):
    with pytest.raises(NoMatchingKeyError, match="Decrypt answered with no Plaintext"):
        Client(reader(Answering(kms, Plaintext=plaintext), key)).decrypt(message)


@every_reader
@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_an_unwrapped_data_key_of_another_length_opens_nothing(length, reader, kms, key, message):
    with pytest.raises(NoMatchingKeyError, match=f"the data key has {length} bytes, the algorithm suite needs 32"):
        Client(reader(Answering(kms, Plaintext=bytes(length)), key)).decrypt(message)


@every_reader
@pytest.mark.parametrize("named", [None, "other", "alias", "bare"])
def test_an_answer_from_another_key_opens_nothing(named, reader, world, kms, key, message):
    answered = {
        None: None,
        "other": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/other",
        "alias": key.replace(":key/", ":alias/"),
        "bare": key.split("/")[1],
    }[named]
    with pytest.raises(NoMatchingKeyError, match=f"the key {answered!r} where {key!r} was asked for") as caught:
        Client(reader(Answering(kms, KeyId=answered), key)).decrypt(message)
    assert caught.value.failures[0].error.code == "UnexpectedAnswer"
    assert holds_no_secret(caught.value)


class Mute:
    """A client whose answers are not answers."""

    region = REGION

    def __init__(self, answer):
        self._answer = answer

    def decrypt(self, **_parameters):
        return self._answer

    generate_data_key = decrypt


not_answers = pytest.mark.parametrize("answer", [None, [], "text", object()], ids=lambda answer: type(answer).__name__)


@every_writer
@not_answers
def test_an_answer_that_is_no_mapping_is_refused(answer, writer, key):
    with pytest.raises(KmsError, match=f"GenerateDataKey answered with a {type(answer).__name__}, where") as caught:
        Client(writer(Mute(answer), key)).encrypt(PLAINTEXT)
    assert caught.value.code == "UnexpectedAnswer"


@every_reader
@not_answers
def test_an_answer_that_is_no_mapping_opens_nothing(answer, reader, key, message):
    with pytest.raises(NoMatchingKeyError, match=f"Decrypt answered with a {type(answer).__name__}, where"):
        Client(reader(Mute(answer), key)).decrypt(message)


# --- messages that name no key ---------------------------------------------------------------------------------------

MALFORMED = {
    "empty": (b"", "not an ARN"),
    "no-arn": (b"1234abcd", "not an ARN"),
    "too-few-parts": (b"arn:aws:kms:eu-west-1:key/1", "not an ARN"),
    "not-utf8": (b"arn:aws:kms:eu-west-1:1:key/\xff\xfe", "not UTF-8"),
    "alias": (b"arn:aws:kms:eu-west-1:111122223333:alias/app", "by an alias"),
    "another-service": (b"arn:aws:s3:eu-west-1:111122223333:key/1", "not of 'kms'"),
    "no-key-id": (b"arn:aws:kms:eu-west-1:111122223333:key/", "neither key/ID nor alias/NAME"),
    "no-region": (b"arn:aws:kms::111122223333:key/1", "Region or account is missing"),
    "too-long": (b"arn:aws:kms:eu-west-1:111122223333:key/" + b"1" * 2010, "by 2049 bytes, where at most 2048"),
    "line-break": (b"arn:aws:kms:eu-west-1:111122223333:key/1\nERROR", "key/1\\nERROR"),
    "terminal-escape": (b"arn:aws:kms:eu-west-1:111122223333:key/\x1b[31m", "key/\\x1b[31m"),
    "reversed-text": ("arn:aws:kms:eu-west-1:111122223333:key/\u202e".encode(), "key/\\u202e"),
    "surrounded-by-space": (b" arn:aws:kms:eu-west-1:111122223333:key/1", "not an ARN"),
}


def opening_materials():
    return DecryptionMaterials(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, EncryptionContext(CONTEXT))


@pytest.fixture
def wrapped(kms, key):
    empty = EncryptionMaterials(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, EncryptionContext(CONTEXT))
    (wrapped,) = KmsKeyring(kms, key).on_encrypt(empty).encrypted_data_keys
    return wrapped


@every_reader
@pytest.mark.parametrize(("info", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_name_is_a_failure_of_its_data_key(info, reason, reader, world, kms, key, wrapped):
    asked = len(world.calls)
    malformed = EncryptedDataKey("aws-kms", info, b"blob")

    with pytest.raises(NoMatchingKeyError) as caught:
        reader(kms, key).on_decrypt(opening_materials(), [malformed])
    (failure,) = caught.value.failures
    assert reason in str(failure)
    assert str(failure).isprintable()
    assert failure.provider_id == "aws-kms"
    assert isinstance(failure.error, UsageError)
    assert len(world.calls) == asked


@every_reader
@pytest.mark.parametrize(("info", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_name_does_not_hide_the_data_key_that_opens(info, reason, reader, kms, key, wrapped):
    malformed = EncryptedDataKey("aws-kms", info, b"blob")

    opened = reader(kms, key).on_decrypt(opening_materials(), [malformed, wrapped])
    assert opened.plaintext_data_key == DATA_KEY


arn_like = st.lists(
    st.sampled_from(["arn", "aws", "kms", REGION, ACCOUNT, "key/", "key/mrk-1", "alias/a", "key", "/", "", "é", "\0"]),
    max_size=8,
).map(lambda parts: ":".join(parts).encode())


@every_reader
@given(info=arn_like | st.binary(max_size=80))
def test_whatever_bytes_name_a_key_only_documented_errors_leave(reader, info):
    world = World()
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"
    with pytest.raises(NoMatchingKeyError) as caught:
        reader(world.client(REGION), key).on_decrypt(opening_materials(), [EncryptedDataKey("aws-kms", info, b"blob")])
    assert len(caught.value.failures) == 1


@every_reader
def test_long_names_do_not_make_long_errors(reader, kms, key, wrapped):
    """Each is as long as a message can make it, in bytes that are shown as several characters each."""
    malformed = [EncryptedDataKey("aws-kms", b"\0" * 65535, b"blob")] * 16
    with pytest.raises(NoMatchingKeyError) as caught:
        reader(kms, key).on_decrypt(opening_materials(), malformed)
    assert len(str(caught.value)) < 16 * 500


@every_reader
@pytest.mark.parametrize("provider", ["aws-kms-rsa", "aws-kms-ecdh", "aws-kms-hierarchy", "AWS-KMS", "aws-kms ", ""])
def test_data_keys_of_other_providers_are_left_alone(provider, reader, world, kms, key, wrapped):
    asked = len(world.calls)
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for") as caught:
        reader(kms, key).on_decrypt(
            opening_materials(),
            [
                EncryptedDataKey(provider, wrapped.provider_info, wrapped.ciphertext),
                EncryptedDataKey(provider, b"\xff", b""),
            ],
        )
    assert len(caught.value.failures) == 1
    assert len(world.calls) == asked


@every_reader
def test_a_message_that_raw_keys_open_too_is_opened(reader, kms, key):
    """The names of raw keys are bytes of another form, and no malformed ARNs."""
    raw = RawAesKeyring("test", "raw", bytes(32))
    message = Client(MultiKeyring(raw, [KmsKeyring(kms, key)])).encrypt(PLAINTEXT).ciphertext

    assert Client(reader(kms, key)).decrypt(message).plaintext == PLAINTEXT


@every_reader
def test_every_candidate_is_tried_and_every_failure_told_in_message_order(reader, world, kms, key, wrapped):
    world.calls.clear()
    altered = wrapped.ciphertext[:-1] + bytes([wrapped.ciphertext[-1] ^ 1])
    keys = [
        EncryptedDataKey("aws-kms", b"\xff", b"blob"),
        EncryptedDataKey("aws-kms", key.encode(), altered),
        EncryptedDataKey("raw", b"another", b"blob"),
        EncryptedDataKey("aws-kms", b"arn", b"blob"),
        EncryptedDataKey("aws-kms", key.encode(), b"x" * 36 + bytes(60)),
    ]

    with pytest.raises(NoMatchingKeyError) as caught:
        reader(kms, key).on_decrypt(opening_materials(), keys)
    texts = [str(failure) for failure in caught.value.failures]
    reasons = ["not UTF-8", "InvalidCiphertextException", "not an ARN", "IncorrectKeyException"]
    assert len(texts) == len(reasons)
    assert all(reason in text for reason, text in zip(reasons, texts, strict=True))
    assert all(text in str(caught.value) for text in texts)
    assert len(world.calls) == 2


@every_reader
def test_materials_with_a_data_key_are_refused_and_left_as_they_are(reader, world, kms, key, wrapped):
    asked = len(world.calls)
    materials = opening_materials().with_data_key(bytes(32))
    with pytest.raises(UsageError, match="already hold a data key"):
        reader(kms, key).on_decrypt(materials, [wrapped])
    assert materials.plaintext_data_key == bytes(32)
    assert len(world.calls) == asked


@every_reader
def test_materials_are_returned_new_and_never_changed(reader, kms, key, wrapped):
    materials = opening_materials()
    opened = reader(kms, key).on_decrypt(materials, [wrapped])

    assert opened.plaintext_data_key == DATA_KEY
    assert materials.plaintext_data_key is None
    assert opened.encryption_context == materials.encryption_context
