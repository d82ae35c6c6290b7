"""The default materials manager: policy, signing keys, and the encryption context before anything is unwrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from testkit.builder import COMMITTING, SIGNED, SUITES, UNCOMMITTED, UNSIGNED, Message, sample_bytes, suite_name
from testkit.entry_points import ENTRY_POINTS, EntryPoint
from testkit.keyrings import StaticDataKeyring

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    CommitmentPolicyError,
    ContextMismatchError,
    EncryptionContextError,
    KeyringError,
    KmsUnavailableError,
    NoMatchingKeyError,
    SignatureError,
    UnwrapFailure,
)
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    MaterialsManager,
)

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
ORDER = Message(SUITE)
TRUTH = sample_bytes(40)
ALLOW = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
STRICT = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
FORBID = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
AES = RawAesKeyring("test", "key", bytes(32))


def request(suite: AlgorithmSuite = SUITE, policy: CommitmentPolicy = ALLOW, **context: str) -> EncryptionRequest:
    return EncryptionRequest(EncryptionContext(context), policy, suite)


class FailingKeyring:
    """Opens nothing, for the reasons given."""

    def __init__(self, *reasons: Exception) -> None:
        self._failures = [UnwrapFailure("FailingKeyring()", "test", reason) for reason in reasons]

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        return materials

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        raise NoMatchingKeyError("no key at hand opens this message", self._failures)


def decryption(order: Message = ORDER, policy: CommitmentPolicy = ALLOW, **reproduced: str) -> DecryptionRequest:
    pairs = {str(key): str(value) for key, value in order.stored_pairs}
    keys = (EncryptedDataKey("test", b"", b""),)
    return DecryptionRequest(order.suite, keys, EncryptionContext(pairs), EncryptionContext(reproduced), policy)


def test_it_is_a_materials_manager():
    assert isinstance(DefaultMaterialsManager(AES), MaterialsManager)


# --- encryption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_encryption_materials_are_complete(suite: AlgorithmSuite):
    policy = ALLOW if suite.committing else FORBID

    materials = DefaultMaterialsManager(AES).get_encryption_materials(request(suite, policy, a="1"))

    assert materials.algorithm_suite is suite
    assert len(materials.plaintext_data_key or b"") == suite.key_length
    assert len(materials.encrypted_data_keys) == 1
    assert (materials.signing_key is not None) is suite.signed


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_a_signed_message_carries_its_public_key_which_is_new_each_time(suite: AlgorithmSuite):
    manager = DefaultMaterialsManager(AES)
    policy = ALLOW if suite.committing else FORBID

    one, two = (manager.get_encryption_materials(request(suite, policy, a="1")) for _ in range(2))

    assert one.signing_key is not None
    assert one.encryption_context == {"a": "1", "aws-crypto-public-key": one.signing_key.encoded_public_key}
    assert one.encryption_context != two.encryption_context


@pytest.mark.parametrize("suite", UNSIGNED, ids=suite_name)
def test_an_unsigned_message_carries_no_public_key(suite: AlgorithmSuite):
    policy = ALLOW if suite.committing else FORBID

    assert DefaultMaterialsManager(AES).get_encryption_materials(request(suite, policy, a="1")).encryption_context == {
        "a": "1"
    }


def test_the_callers_context_may_not_hold_the_public_key():
    wanted = EncryptionRequest(EncryptionContext({"aws-crypto-public-key": "x"}), ALLOW, SUITE)

    with pytest.raises(EncryptionContextError):
        DefaultMaterialsManager(AES).get_encryption_materials(wanted)


@pytest.mark.parametrize(("policy", "suites"), [(FORBID, COMMITTING), (ALLOW, UNCOMMITTED), (STRICT, UNCOMMITTED)])
def test_a_suite_that_the_policy_forbids_gets_no_materials(
    policy: CommitmentPolicy, suites: tuple[AlgorithmSuite, ...]
):
    for suite in suites:
        with pytest.raises(CommitmentPolicyError):
            DefaultMaterialsManager(AES).get_encryption_materials(request(suite, policy))


def test_a_keyring_that_makes_no_data_key_is_at_fault():
    with pytest.raises(KeyringError, match="no data key"):
        DefaultMaterialsManager(FailingKeyring()).get_encryption_materials(request())


# --- decryption: the policy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
@pytest.mark.parametrize("policy", CommitmentPolicy)
@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_only_the_strict_policy_refuses_to_read_and_only_what_does_not_commit(
    enter: EntryPoint, policy: CommitmentPolicy, suite: AlgorithmSuite
):
    keyring = StaticDataKeyring(Message(suite).data_key)

    outcome = enter(Client(keyring, commitment_policy=policy), Message(suite).whole(TRUTH))

    if policy is STRICT and not suite.committing:
        assert isinstance(outcome.error, CommitmentPolicyError)
        assert (outcome.released, keyring.unwraps) == (b"", 0)
    else:
        assert (outcome.released, outcome.error) == (TRUTH, None)


def test_the_manager_checks_the_policy_itself():
    with pytest.raises(CommitmentPolicyError):
        DefaultMaterialsManager(AES).decrypt_materials(decryption(Message(UNCOMMITTED[0]), STRICT))


# --- decryption: the context -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("order", [ORDER, Message(SIGNED[-1])], ids=["unsigned", "signed"])
def test_a_reproduced_pair_that_is_stored_has_to_match(order: Message, enter: EntryPoint):
    client = Client(StaticDataKeyring(order.data_key))

    assert enter(client, order.whole(TRUTH), {"purpose": "test"}).released == TRUTH
    assert isinstance(enter(client, order.whole(TRUTH), {"purpose": "Test"}).error, ContextMismatchError)


def test_a_mismatch_is_noticed_before_anything_is_unwrapped():
    keyring = StaticDataKeyring(ORDER.data_key)

    with pytest.raises(ContextMismatchError):
        Client(keyring).decrypt(ORDER.whole(TRUTH), encryption_context={"purpose": "other"})

    assert keyring.unwraps == 0


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_pairs_that_are_not_stored_open_the_message_just_as_they_were(suite: AlgorithmSuite, enter: EntryPoint):
    order = Message(suite, unstored=(("tenant", "x"),))
    client = Client(StaticDataKeyring(order.data_key), commitment_policy=ALLOW)
    message = order.whole(TRUTH)

    assert enter(client, message, {"tenant": "x"}).released == TRUTH
    assert enter(client, message, {"tenant": "x", "purpose": "test"}).released == TRUTH
    for context in (None, {"tenant": "y"}, {"tenant": "x", "more": "z"}, {"Tenant": "x"}):
        assert isinstance(enter(client, message, context).error, AuthenticationError)


def test_a_pair_that_no_tag_covers_cannot_be_added_when_reading():
    client = Client(StaticDataKeyring(ORDER.data_key))

    with pytest.raises(AuthenticationError):
        client.decrypt(ORDER.whole(TRUTH), encryption_context={"tenant": "x"})


def test_wrapped_keys_are_bound_to_stored_and_unstored_pairs_alike():
    both = {"purpose": "test", "tenant": "x"}
    wrapped = AES.on_encrypt(EncryptionMaterials(SUITE, EncryptionContext(both), plaintext_data_key=ORDER.data_key))
    (edk,) = wrapped.encrypted_data_keys
    order = replace(ORDER, unstored=(("tenant", "x"),), edks=((edk.provider_id, edk.provider_info, edk.ciphertext),))

    assert Client(AES).decrypt(order.whole(TRUTH), encryption_context=both).plaintext == TRUTH
    with pytest.raises(NoMatchingKeyError, match="not stored in the message"):
        Client(AES).decrypt(order.whole(TRUTH), encryption_context={"tenant": "y"})
    with pytest.raises(NoMatchingKeyError):
        Client(AES).decrypt(order.whole(TRUTH))


@pytest.mark.parametrize("required", [["purpose"], ["tenant"], ["purpose", "tenant"], []])
def test_required_keys_may_be_stored_or_reproduced(required: list[str]):
    order = replace(ORDER, unstored=(("tenant", "x"),))
    client = Client(StaticDataKeyring(order.data_key))

    result = client.decrypt(order.whole(TRUTH), encryption_context={"tenant": "x"}, required_context_keys=required)

    assert result.header.encryption_context == {"purpose": "test", "tenant": "x"}


def test_a_required_key_that_is_nowhere_is_refused_before_anything_is_unwrapped():
    keyring = StaticDataKeyring(ORDER.data_key)

    with pytest.raises(ContextMismatchError, match="tenant"):
        Client(keyring).decrypt(ORDER.whole(TRUTH), required_context_keys=["purpose", "tenant"])

    assert keyring.unwraps == 0


# --- decryption: the public key --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_a_signed_message_without_a_public_key_is_refused_before_anything_is_unwrapped(suite: AlgorithmSuite):
    order = Message(suite, public_key=None)
    keyring = StaticDataKeyring(order.data_key)

    with pytest.raises(SignatureError, match="no public key"):
        Client(keyring, commitment_policy=ALLOW).decrypt(order.whole(TRUTH))

    assert keyring.unwraps == 0


@pytest.mark.parametrize("suite", UNSIGNED, ids=suite_name)
def test_an_unsigned_message_with_a_public_key_is_refused_before_anything_is_unwrapped(suite: AlgorithmSuite):
    order = Message(suite, pairs=(("aws-crypto-public-key", Message(SIGNED[-1]).signing.public_key),))
    keyring = StaticDataKeyring(order.data_key)

    with pytest.raises(SignatureError, match="does not sign"):
        Client(keyring, commitment_policy=ALLOW).decrypt(order.whole(TRUTH))

    assert keyring.unwraps == 0


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_a_reproduced_public_key_does_not_stand_in_for_a_stored_one(suite: AlgorithmSuite):
    order = Message(suite, public_key=None)
    client = Client(StaticDataKeyring(order.data_key), commitment_policy=ALLOW)

    with pytest.raises(SignatureError):
        client.decrypt(order.whole(TRUTH), encryption_context={"aws-crypto-public-key": order.signing.public_key})


# --- decryption: failures --------------------------------------------------------------------------------------------


def test_no_key_at_hand_says_what_was_tried():
    reasons = (KeyringError("this"), KeyringError("that"))

    with pytest.raises(NoMatchingKeyError) as error:
        DefaultMaterialsManager(FailingKeyring(*reasons)).decrypt_materials(decryption())

    assert tuple(failure.error for failure in error.value.failures) == reasons


def test_an_error_is_never_its_own_cause():
    with pytest.raises(NoMatchingKeyError) as error:
        DefaultMaterialsManager(FailingKeyring(KeyringError("this"))).decrypt_materials(decryption())

    assert error.value.__cause__ is not error.value


def test_a_service_that_failed_for_now_comes_before_a_missing_key():
    away = KmsUnavailableError("try later", operation="Decrypt", code="ThrottlingException")

    with pytest.raises(KmsUnavailableError) as error:
        DefaultMaterialsManager(FailingKeyring(KeyringError("this"), away)).decrypt_materials(decryption())

    assert (error.value.code, error.value.operation, error.value.retryable) == ("ThrottlingException", "Decrypt", True)
    assert isinstance(error.value.__cause__, NoMatchingKeyError)


def test_its_repr_names_the_keyring_and_no_key():
    assert repr(DefaultMaterialsManager(AES)) == "DefaultMaterialsManager(RawAesKeyring('test', 'key', 256 bits))"
