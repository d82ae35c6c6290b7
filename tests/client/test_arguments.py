"""What a client is made of, and how it refuses what can never work."""

from __future__ import annotations

import pytest

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, Limits
from envelope_sdk.errors import (
    CommitmentPolicyError,
    EncryptionContextError,
    KeyringError,
    LimitExceededError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.formats import parse_header
from envelope_sdk.keyrings import MultiKeyring
from envelope_sdk.managers import DefaultMaterialsManager

MAX_CONTEXT = 65_535
SIGNED = [suite for suite in AlgorithmSuite if suite.signed]
UNSIGNED = [suite for suite in AlgorithmSuite if not suite.signed]


def suite_of(client):
    return client.encrypt(b"").header.algorithm_suite


# --- making a client -------------------------------------------------------------------------------------------------


def test_a_client_needs_a_keyring_or_a_manager():
    with pytest.raises(UsageError, match="needs a keyring or a materials manager"):
        Client()


def test_a_client_takes_not_both_a_keyring_and_a_manager(keyring):
    with pytest.raises(UsageError, match="and not both"):
        Client(keyring, materials_manager=DefaultMaterialsManager(keyring))


@pytest.mark.parametrize(
    "arguments",
    [
        {"keyring": "key"},
        {"keyring": bytes(32)},
        {"materials_manager": object()},
        {"commitment_policy": "require-encrypt-require-decrypt"},
        {"commitment_policy": None},
        {"algorithm_suite": 0x0578},
        {"limits": 100},
        {"limits": {"max_body_length": 1}},
        {"frame_length": "4096"},
        {"frame_length": 4096.0},
        {"frame_length": None},
    ],
    ids=lambda arguments: "-".join(f"{name}={type(value).__name__}" for name, value in arguments.items()),
)
def test_an_argument_of_a_wrong_type_is_a_type_error(arguments, keyring):
    if "materials_manager" not in arguments:
        arguments = {"keyring": keyring} | arguments
    with pytest.raises(TypeError):
        Client(**arguments)


def test_a_manager_in_the_keyring_s_place_is_a_type_error(keyring):
    with pytest.raises(TypeError, match="keyring is a Keyring, not DefaultMaterialsManager"):
        Client(DefaultMaterialsManager(keyring))


@pytest.mark.parametrize("frame_length", [0, -1, 2**32])
def test_a_frame_length_out_of_range_is_refused(frame_length, keyring):
    with pytest.raises(UsageError, match="not between 1 and 4294967295"):
        Client(keyring, frame_length=frame_length)


@pytest.mark.parametrize("frame_length", [1, 100, 2**31, 2**32 - 1])
def test_any_frame_length_in_range_works(frame_length, keyring):
    client = Client(keyring, frame_length=frame_length)

    message = client.encrypt(b"plaintext")

    assert message.header.frame_length == frame_length
    assert client.decrypt(message.ciphertext).plaintext == b"plaintext"


@pytest.mark.parametrize("suite", UNSIGNED, ids=lambda suite: suite.name)
def test_signing_does_not_go_with_an_unsigned_suite(suite, keyring):
    policy = policy_that_writes(suite)
    with pytest.raises(UsageError, match="sign=True does not go with"):
        Client(keyring, algorithm_suite=suite, sign=True, commitment_policy=policy)


@pytest.mark.parametrize("suite", SIGNED, ids=lambda suite: suite.name)
def test_signing_goes_with_a_signed_suite(suite, keyring):
    client = Client(keyring, algorithm_suite=suite, sign=True, commitment_policy=policy_that_writes(suite))

    assert suite_of(client) is suite


def policy_that_writes(suite):
    if suite.committing:
        return CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
    return CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT


@pytest.mark.parametrize(
    ("policy", "sign", "suite_id"),
    [
        (CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, False, 0x0478),
        (CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, True, 0x0578),
        (CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT, False, 0x0478),
        (CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT, True, 0x0578),
        (CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT, False, 0x0178),
        (CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT, True, 0x0378),
    ],
)
def test_each_policy_has_its_default_suites(policy, sign, suite_id, keyring):
    assert suite_of(Client(keyring, commitment_policy=policy, sign=sign)).suite_id == suite_id


def test_the_default_is_committing_and_unsigned(client):
    assert suite_of(client) is AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: suite.name)
@pytest.mark.parametrize("policy", CommitmentPolicy)
def test_a_suite_that_the_policy_does_not_write_is_refused_at_once(suite, policy, keyring):
    forbids = policy is CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    if suite.committing is not forbids:
        Client(keyring, algorithm_suite=suite, commitment_policy=policy)
        return
    with pytest.raises(CommitmentPolicyError):
        Client(keyring, algorithm_suite=suite, commitment_policy=policy)


def test_a_strict_client_refuses_uncommitted_messages_and_names_the_way_out(client, keyring):
    older = Client(keyring, commitment_policy=CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
    message = older.encrypt(b"").ciphertext

    with pytest.raises(CommitmentPolicyError, match="require-encrypt-allow-decrypt"):
        client.decrypt(message)
    lenient = Client(keyring, commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)
    assert lenient.decrypt(message).plaintext == b""


def test_the_repr_of_a_client_tells_its_settings_and_no_key(client):
    assert repr(client) == (
        "Client(DefaultMaterialsManager(RawAesKeyring('test', 'key-1', 256 bits)), "
        "AES_256_GCM_HKDF_SHA512_COMMIT_KEY, require-encrypt-require-decrypt)"
    )


# --- plaintext and context -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["text", None, 5, ["list"], object()], ids=lambda value: type(value).__name__)
def test_what_is_not_bytes_like_is_a_type_error(value, client):
    with pytest.raises(TypeError):
        client.encrypt(value)
    with pytest.raises(TypeError):
        client.decrypt(value)


@pytest.mark.parametrize("key", ["aws-crypto-public-key", "aws-crypto-", "aws-crypto-mine"])
def test_reserved_context_keys_are_refused(key, client):
    with pytest.raises(EncryptionContextError, match="belong to the format"):
        client.encrypt(b"", encryption_context={"purpose": "test", key: "value"})


def test_only_the_exact_prefix_is_reserved(client):
    context = {"aws-crypto": "1", "AWS-CRYPTO-X": "2", "my-aws-crypto-key": "3"}

    assert client.encrypt(b"", encryption_context=context).header.encryption_context == context


@pytest.mark.parametrize("context", [{"k": 1}, {1: "v"}, {"k": None}, {"k": b"v"}], ids=str)
def test_a_context_of_anything_but_text_is_a_type_error(context, client):
    with pytest.raises(TypeError):
        client.encrypt(b"", encryption_context=context)
    message = client.encrypt(b"").ciphertext
    with pytest.raises(TypeError):
        client.decrypt(message, encryption_context=context)


def test_a_context_that_utf8_cannot_hold_is_refused(client):
    with pytest.raises(EncryptionContextError):
        client.encrypt(b"", encryption_context={"k": "\ud800"})


def test_a_context_of_the_greatest_length_fits(client):
    context = {"k": "v" * (MAX_CONTEXT - 2 - 4 - 1)}

    message = client.encrypt(b"x", encryption_context=context).ciphertext

    assert client.decrypt(message).header.encryption_context == context


def test_a_context_one_byte_too_long_is_refused(client):
    with pytest.raises(EncryptionContextError, match="65536 bytes"):
        client.encrypt(b"", encryption_context={"k": "v" * (MAX_CONTEXT - 2 - 4)})


def test_a_context_that_only_the_public_key_makes_too_long_is_refused(keyring):
    context = {"k": "v" * (MAX_CONTEXT - 2 - 4 - 1)}
    with pytest.raises(EncryptionContextError):
        Client(keyring, sign=True).encrypt(b"", encryption_context=context)


def test_a_context_changed_by_the_caller_later_changes_nothing(client):
    context = {"purpose": "test"}
    result = client.encrypt(b"", encryption_context=context)
    context["purpose"] = "another"

    assert result.header.encryption_context == {"purpose": "test"}


# --- what the caller requires of a message's context -----------------------------------------------------------------


def test_a_single_text_as_required_context_keys_is_a_type_error(client):
    message = client.encrypt(b"", encryption_context={"purpose": "test"}).ciphertext
    with pytest.raises(TypeError, match="not one text"):
        client.decrypt(message, required_context_keys="purpose")


# --- limits ----------------------------------------------------------------------------------------------------------


def test_more_data_keys_than_allowed_are_refused_in_writing(keyring):
    client = Client(MultiKeyring(keyring, [keyring]), limits=Limits(max_encrypted_data_keys=1))
    with pytest.raises(LimitExceededError) as caught:
        client.encrypt(b"")
    assert caught.value.limit == "max_encrypted_data_keys"


def test_more_data_keys_than_allowed_are_refused_in_reading(keyring):
    message = Client(MultiKeyring(keyring, [keyring, keyring])).encrypt(b"").ciphertext
    with pytest.raises(LimitExceededError) as caught:
        Client(keyring, limits=Limits(max_encrypted_data_keys=2)).decrypt(message)
    assert caught.value.limit == "max_encrypted_data_keys"
    assert Client(keyring, limits=Limits(max_encrypted_data_keys=3)).decrypt(message).plaintext == b""


def test_a_longer_frame_than_allowed_is_refused(keyring):
    message = Client(keyring, frame_length=1001).encrypt(b"").ciphertext
    with pytest.raises(LimitExceededError) as caught:
        Client(keyring, limits=Limits(max_body_length=1000)).decrypt(message)
    assert caught.value.limit == "max_body_length"
    assert Client(keyring, limits=Limits(max_body_length=1001)).decrypt(message).plaintext == b""


def test_a_longer_header_than_allowed_is_refused(client, keyring):
    result = client.encrypt(b"", encryption_context={"k": "v" * 1000})
    with pytest.raises(LimitExceededError) as caught:
        Client(keyring, limits=Limits(max_header_length=1000)).decrypt(result.ciphertext)
    assert caught.value.limit == "max_header_length"
    exact = Client(keyring, limits=Limits(max_header_length=result.header.length))
    assert exact.decrypt(result.ciphertext).plaintext == b""


def test_one_hundred_data_keys_are_allowed_unless_the_caller_says_otherwise(keyring):
    message = Client(MultiKeyring(keyring, [keyring] * 99)).encrypt(b"").ciphertext

    assert Client(keyring).decrypt(message).plaintext == b""
    with pytest.raises(LimitExceededError):
        Client(MultiKeyring(keyring, [keyring] * 100)).encrypt(b"")
    unlimited = Client(MultiKeyring(keyring, [keyring] * 100), limits=Limits(max_encrypted_data_keys=None))
    assert len(unlimited.encrypt(b"").header.encrypted_data_keys) == 101


@pytest.mark.parametrize("name", ["max_encrypted_data_keys", "max_header_length", "max_body_length"])
def test_a_limit_that_no_message_could_meet_is_refused(name):
    with pytest.raises(UsageError, match=name):
        Limits(**{name: 0})


# --- one message ----------------------------------------------------------------------------------------------------


def pushed(encryptor, plaintext):
    return encryptor.start() + encryptor.finish(plaintext)


def test_one_message_may_have_frames_of_another_length(client):
    message = pushed(client.encryptor(frame_length=7), b"plaintext")

    assert client.decrypt(message).header.frame_length == 7
    assert client.encrypt(b"").header.frame_length == 65_536


@pytest.mark.parametrize("frame_length", [0, -1, 2**32])
def test_a_frame_length_of_one_message_is_checked_too(frame_length, client):
    with pytest.raises(UsageError, match="frame length"):
        client.encryptor(frame_length=frame_length)


def test_one_message_may_leave_pairs_out(client):
    context = {"team": "blue", "tenant": "one"}
    message = pushed(client.encryptor(encryption_context=context, required_context_keys=["tenant"]), b"plaintext")

    assert parse_header(message).body.encryption_context == {"team": "blue"}
    assert client.decrypt(message, encryption_context={"tenant": "one"}).header.encryption_context == context
    with pytest.raises(NoMatchingKeyError):
        client.decrypt(message)


def test_pairs_that_are_left_out_have_to_be_there(client):
    with pytest.raises(EncryptionContextError):
        client.encryptor(required_context_keys=["tenant"])
    with pytest.raises(TypeError):
        client.encryptor(encryption_context={"tenant": "one"}, required_context_keys="tenant")


def test_a_manager_that_would_store_what_is_to_be_left_out_is_found_out(keyring):
    class Storing(DefaultMaterialsManager):
        def get_encryption_materials(self, request):
            return super().get_encryption_materials(request._replace(required_encryption_context_keys=frozenset()))

    client = Client(materials_manager=Storing(keyring))

    with pytest.raises(KeyringError, match="would store pairs that are required of readers"):
        client.encryptor(encryption_context={"tenant": "one"}, required_context_keys=["tenant"])
