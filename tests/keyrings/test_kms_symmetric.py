"""The KMS keyring against a small KMS that records what it is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy
from envelope_sdk.errors import KeyringError, KmsError, NoMatchingKeyError, UsageError
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000000"
ALIAS = "arn:aws:kms:eu-west-1:111122223333:alias/test"
CONTEXT = {"purpose": "test", "größe": "ñandú 😀"}
PLAINTEXT = b"plaintext"


class FakeKms:
    """Three methods of a KMS with keys that never leave it, and a record of the calls.

    ``answers`` maps the name of a method to what its answers say instead.
    """

    def __init__(self, **answers):
        self.calls = []
        self._answers = answers
        self._sealed = {}

    def _answer(self, name, parameters, **answer):
        self.calls.append((name, parameters))
        changes = self._answers.get(name, {})
        return answer | (changes(parameters) if callable(changes) else changes)

    def _seal(self, parameters, plaintext):
        blob = f"blob {len(self._sealed)}".encode()
        arn = parameters["KeyId"] if parameters["KeyId"].startswith("arn:") else KEY
        arn = KEY if arn == ALIAS else arn
        self._sealed[blob] = (arn, parameters["EncryptionContext"], plaintext)
        return {"CiphertextBlob": blob, "KeyId": arn}

    def generate_data_key(self, **parameters):
        plaintext = bytes(range(parameters["NumberOfBytes"]))
        return self._answer("generate_data_key", parameters, Plaintext=plaintext, **self._seal(parameters, plaintext))

    def encrypt(self, **parameters):
        return self._answer("encrypt", parameters, **self._seal(parameters, parameters["Plaintext"]))

    def decrypt(self, **parameters):
        arn, context, plaintext = self._sealed.get(parameters["CiphertextBlob"], (None, None, None))
        if (arn, context) != (parameters["KeyId"], parameters["EncryptionContext"]):
            raise ServiceError("InvalidCiphertextException")
        return self._answer("decrypt", parameters, KeyId=arn, Plaintext=plaintext)


class ServiceError(Exception):
    """What a boto3 client raises where the service answers with an error, as far as the keyring looks at it."""

    def __init__(self, code, status=400):
        super().__init__(code)
        self.response = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.fixture
def kms():
    return FakeKms()


# --- what KMS is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: suite.name)
def test_a_data_key_is_asked_for_with_the_suite_s_length_and_the_context(suite, kms):
    policy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    if not suite.committing:
        policy = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    client = Client(KmsKeyring(kms, KEY), algorithm_suite=suite, commitment_policy=policy)

    header = client.encrypt(PLAINTEXT, encryption_context=CONTEXT).header

    assert kms.calls == [
        (
            "generate_data_key",
            {"KeyId": KEY, "NumberOfBytes": suite.key_length, "EncryptionContext": dict(header.encryption_context)},
        )
    ]
    assert header.encrypted_data_keys == (EncryptedDataKey("aws-kms", KEY.encode(), b"blob 0"),)


def test_the_public_key_of_a_signed_message_is_bound_to_its_data_key(kms):
    message = Client(KmsKeyring(kms, KEY), sign=True).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    Client(KmsKeyring(kms, KEY)).decrypt(message)

    for _, parameters in kms.calls:
        assert parameters["EncryptionContext"].keys() == CONTEXT.keys() | {"aws-crypto-public-key"}


def test_a_data_key_that_another_keyring_made_is_encrypted(kms):
    raw = RawAesKeyring("test", "key-1", bytes(32), random=lambda count: bytes([7]) * count)
    Client(MultiKeyring(raw, [KmsKeyring(kms, KEY)])).encrypt(PLAINTEXT, encryption_context=CONTEXT)

    assert kms.calls == [("encrypt", {"KeyId": KEY, "Plaintext": bytes([7]) * 32, "EncryptionContext": CONTEXT})]


def test_a_data_key_is_decrypted_with_this_very_key_and_the_full_context(kms):
    client = Client(KmsKeyring(kms, KEY))
    message = client.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    kms.calls.clear()

    assert client.decrypt(message).plaintext == PLAINTEXT
    assert kms.calls == [
        ("decrypt", {"KeyId": KEY, "CiphertextBlob": b"blob 0", "EncryptionContext": CONTEXT}),
    ]


def test_an_empty_context_is_passed_as_such(kms):
    client = Client(KmsKeyring(kms, KEY))
    client.decrypt(client.encrypt(PLAINTEXT).ciphertext)

    assert [parameters["EncryptionContext"] for _, parameters in kms.calls] == [{}, {}]


def test_grant_tokens_are_passed_with_every_call(kms):
    raw = RawAesKeyring("test", "key-1", bytes(32))
    keyring = KmsKeyring(kms, KEY, grant_tokens=(token for token in ("first", "second")))
    client = Client(keyring)
    client.decrypt(client.encrypt(PLAINTEXT).ciphertext)
    Client(MultiKeyring(raw, [keyring])).encrypt(PLAINTEXT)

    assert [name for name, _ in kms.calls] == ["generate_data_key", "decrypt", "encrypt"]
    assert [parameters["GrantTokens"] for _, parameters in kms.calls] == [["first", "second"]] * 3


def test_a_service_that_changes_the_grant_tokens_changes_nothing(kms):
    client = Client(KmsKeyring(kms, KEY, grant_tokens=["token"]))
    client.encrypt(PLAINTEXT)
    kms.calls[0][1]["GrantTokens"].append("added")
    client.encrypt(PLAINTEXT)

    assert kms.calls[1][1]["GrantTokens"] == ["token"]


@pytest.mark.parametrize("key_id", ["alias/test", ALIAS, "1234abcd-12ab-34cd-56ef-1234567890ab"])
def test_a_key_may_be_named_by_alias_or_id_to_encrypt(key_id, kms):
    message = Client(KmsKeyring(kms, key_id)).encrypt(PLAINTEXT)

    assert kms.calls[0][1]["KeyId"] == key_id
    assert message.header.encrypted_data_keys[0].provider_info == KEY.encode()


@pytest.mark.parametrize("key_id", ["alias/test", ALIAS, "1234abcd-12ab-34cd-56ef-1234567890ab"])
def test_a_key_named_by_alias_or_id_decrypts_nothing_and_says_why(key_id, kms):
    client = Client(KmsKeyring(kms, key_id))
    message = client.encrypt(PLAINTEXT).ciphertext
    kms.calls.clear()

    with pytest.raises(NoMatchingKeyError, match="to decrypt, give the key's ARN"):
        client.decrypt(message)
    assert kms.calls == []


def test_keys_of_others_are_not_tried(kms):
    message = Client(KmsKeyring(kms, OTHER_KEY)).encrypt(PLAINTEXT).ciphertext
    kms.calls.clear()

    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for this key"):
        Client(KmsKeyring(kms, KEY)).decrypt(message)
    assert kms.calls == []


def test_a_key_of_the_same_name_but_another_provider_is_not_tried(kms):
    class Elsewhere(KmsKeyring):
        def on_encrypt(self, materials):
            made = super().on_encrypt(materials)
            (key,) = made.encrypted_data_keys
            return materials.with_data_key(
                made.plaintext_data_key, EncryptedDataKey("aws-kms-2", key.provider_info, key.ciphertext)
            )

    message = Client(Elsewhere(kms, KEY)).encrypt(PLAINTEXT).ciphertext
    kms.calls.clear()

    with pytest.raises(NoMatchingKeyError):
        Client(KmsKeyring(kms, KEY)).decrypt(message)
    assert kms.calls == []


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (b"", "not an ARN"),
        (b"not an arn", "not an ARN"),
        (ALIAS.encode(), "by an alias"),
        (b"\xff\xfe", "not UTF-8"),
        (KEY.replace("kms", "s3").encode(), "not of 'kms'"),
    ],
    ids=["empty", "no-arn", "alias", "not-utf8", "another-service"],
)
def test_a_key_whose_name_is_malformed_is_reported_and_not_tried(info, reason, kms):
    message = Client(Renames(RawAesKeyring("test", "key-1", bytes(32)), info)).encrypt(PLAINTEXT).ciphertext

    with pytest.raises(NoMatchingKeyError) as caught:
        Client(KmsKeyring(kms, KEY)).decrypt(message)
    (failure,) = caught.value.failures
    assert reason in str(failure)
    assert failure.provider_id == "aws-kms"
    assert kms.calls == []


class Renames:
    """A keyring that gives its wrapped keys to a KMS key of another name."""

    def __init__(self, inner, info):
        self._inner = inner
        self._info = info

    def on_encrypt(self, materials):
        made = self._inner.on_encrypt(materials)
        return materials.with_data_key(made.plaintext_data_key, EncryptedDataKey("aws-kms", self._info, b"blob"))

    def on_decrypt(self, materials, encrypted_data_keys):
        raise NotImplementedError


# --- what KMS answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_new_data_key_of_another_length_is_refused(length):
    kms = FakeKms(generate_data_key={"Plaintext": bytes(length)})
    with pytest.raises(KmsError, match=f"GenerateDataKey answered with a data key of {length} bytes") as caught:
        Client(KmsKeyring(kms, KEY)).encrypt(PLAINTEXT)
    assert caught.value.code == "UnexpectedAnswer"


@pytest.mark.parametrize("arn", ["", "1234abcd", "alias/test", ALIAS, KEY + ":more", "arn:aws:kms:r:1:key/"])
@pytest.mark.parametrize("operation", ["GenerateDataKey", "Encrypt"])
def test_an_answer_that_names_no_key_arn_is_refused(operation, arn):
    answer = {"KeyId": arn}
    keyring = KmsKeyring(FakeKms(generate_data_key=answer, encrypt=answer), KEY)
    if operation == "Encrypt":
        keyring = MultiKeyring(RawAesKeyring("test", "key-1", bytes(32)), [keyring])
    with pytest.raises(KmsError, match=f"{operation} answered with .* not a key ARN") as caught:
        Client(keyring).encrypt(PLAINTEXT)
    assert caught.value.operation == operation


def test_a_data_key_decrypted_with_another_key_is_refused():
    kms = FakeKms(decrypt={"KeyId": OTHER_KEY})
    client = Client(KmsKeyring(kms, KEY))
    message = client.encrypt(PLAINTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError, match=f"the key {OTHER_KEY!r} where {KEY!r} was asked for") as caught:
        client.decrypt(message)
    assert caught.value.failures[0].error.code == "UnexpectedAnswer"


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_decrypted_data_key_of_another_length_is_refused(length):
    client = Client(KmsKeyring(FakeKms(decrypt={"Plaintext": bytes(length)}), KEY))
    message = client.encrypt(PLAINTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError, match=f"the data key has {length} bytes") as caught:
        client.decrypt(message)
    assert isinstance(caught.value.failures[0].error, KeyringError)


def test_another_context_does_not_open_the_data_key(kms):
    message = bytearray(Client(KmsKeyring(kms, KEY)).encrypt(PLAINTEXT, encryption_context={"a": "b"}).ciphertext)
    position = message.index(b"\x00\x01b")
    message[position + 2] = ord("c")
    with pytest.raises(NoMatchingKeyError, match="InvalidCiphertextException"):
        Client(KmsKeyring(kms, KEY)).decrypt(message)


def test_the_second_wrapped_key_is_tried_where_the_first_does_not_open(kms):
    class First(FakeKms):
        def encrypt(self, **parameters):
            return super().encrypt(**parameters) | {"CiphertextBlob": b"nonsense"}

    raw = RawAesKeyring("test", "key-1", bytes(32))
    children = [KmsKeyring(First(), KEY), KmsKeyring(kms, KEY)]
    message = Client(MultiKeyring(raw, children)).encrypt(PLAINTEXT).ciphertext

    assert Client(KmsKeyring(kms, KEY)).decrypt(message).plaintext == PLAINTEXT


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_id", ["", "alias/", "arn:aws:kms", "schlüssel"])
def test_an_identifier_that_can_name_no_key_is_refused(key_id, kms):
    with pytest.raises(UsageError):
        KmsKeyring(kms, key_id)


def test_swapped_arguments_are_a_type_error(kms):
    with pytest.raises(TypeError, match="a KMS key identifier is text, not FakeKms"):
        KmsKeyring(KEY, kms)


def test_more_grant_tokens_than_kms_takes_are_refused(kms):
    KmsKeyring(kms, KEY, grant_tokens=["token"] * 10)
    with pytest.raises(UsageError, match="at most 10 grant tokens, not 11"):
        KmsKeyring(kms, KEY, grant_tokens=["token"] * 11)


def test_one_text_as_grant_tokens_is_a_type_error(kms):
    with pytest.raises(TypeError, match="not one text"):
        KmsKeyring(kms, KEY, grant_tokens="token")


def test_the_repr_names_the_key_and_no_grant_token(kms):
    assert repr(KmsKeyring(kms, KEY, grant_tokens=["secret"])) == f"KmsKeyring({KEY!r})"


def test_the_keyring_does_not_import_botocore():
    program = (
        "import sys\n"
        "from envelope_sdk.keyrings import KmsKeyring\n"
        "class Kms:\n"
        "    def generate_data_key(self, **parameters):\n"
        "        raise TimeoutError\n"
        f"keyring = KmsKeyring(Kms(), {KEY!r})\n"
        "import envelope_sdk\n"
        "try:\n"
        "    envelope_sdk.Client(keyring).encrypt(b'')\n"
        "except envelope_sdk.EnvelopeError:\n"
        "    print([name for name in sys.modules if name.startswith('boto')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
