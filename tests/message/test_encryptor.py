"""The encrypting machine: what it writes, in which order, and what it refuses."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import replace

import pytest
from testkit.builder import SIGNED, SUITES, Message, sample_bytes, suite_name
from testkit.entry_points import one_call, reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.machines import client_for, encryptor_for, pushed
from testkit.materials import changed

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptedDataKey, EncryptionContext, Limits
from envelope_sdk.errors import (
    CommitmentPolicyError,
    EncryptionContextError,
    KeyringError,
    LimitExceededError,
    StreamError,
    UsageError,
)
from envelope_sdk.formats import SignatureAlgorithm, parse_header
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD
from envelope_sdk.materials import EncryptionMaterials
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.primitives.signing import SigningKey

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED_SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
ORDER = Message(SUITE)
TRUTH = sample_bytes(40)
EDK = EncryptedDataKey("p", b"i", b"c")


def materials(**changes: object) -> EncryptionMaterials:
    good = EncryptionMaterials(
        SUITE, EncryptionContext({"purpose": "test"}), plaintext_data_key=ORDER.data_key, encrypted_data_keys=(EDK,)
    )
    return changed(good, **changes)


def read(suite: AlgorithmSuite, message: bytes) -> bytes:
    outcome = one_call(reader_of(StaticDataKeyring(Message(suite).data_key)), message)
    assert outcome.error is None
    return outcome.released


# --- what it writes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plaintext_length", [0, 1, 15, 16, 17, 31, 32, 33, 48])
@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_what_it_writes_is_read(suite: AlgorithmSuite, plaintext_length: int):
    plaintext = sample_bytes(plaintext_length)

    assert read(suite, pushed(encryptor_for(suite, 16), [plaintext])) == plaintext


def test_a_full_frame_waits_for_one_more_byte():
    machine = encryptor_for(SUITE, 16)
    machine.start()

    assert machine.update(TRUTH[:16]) == b""
    assert machine.update(TRUTH[16:17]) == ORDER.frame(1, TRUTH[:16])


def test_with_the_length_announced_a_full_frame_that_is_not_the_last_does_not_wait():
    machine = encryptor_for(SUITE, 16, length=32)
    machine.start()

    assert machine.update(TRUTH[:16]) == ORDER.frame(1, TRUTH[:16])
    assert machine.update(TRUTH[16:32]) == b""
    assert machine.finish() == ORDER.final(2, TRUTH[16:32])


def test_an_exact_multiple_ends_in_a_full_final_frame():
    machine = encryptor_for(SUITE, 16)

    assert pushed(machine, [TRUTH[:32]]) == ORDER.header() + ORDER.frame(1, TRUTH[:16]) + ORDER.final(2, TRUTH[16:32])


def test_an_empty_plaintext_is_one_empty_final_frame():
    assert pushed(encryptor_for(SUITE, 16), []) == ORDER.header() + ORDER.final(1, b"")


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_frames_of_one_byte(suite: AlgorithmSuite):
    assert read(suite, pushed(encryptor_for(suite, 1), [TRUTH])) == TRUTH


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_the_longest_frames(suite: AlgorithmSuite):
    assert read(suite, pushed(encryptor_for(suite, 2**32 - 1), [TRUTH])) == TRUTH


def test_more_frames_than_are_sealed_at_once():
    plaintext = sample_bytes(2 * 4096 + 7)

    assert pushed(encryptor_for(SUITE, 1), [plaintext]) == replace(ORDER, frame_length=1).whole(plaintext)


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_the_length_of_a_signed_message_does_not_depend_on_the_signature(suite: AlgorithmSuite):
    assert len({len(client_for(suite).encrypt(TRUTH).ciphertext) for _ in range(20)}) == 1


def test_the_output_size_is_exact():
    machine = encryptor_for(SIGNED_SUITE, 16)
    machine.start()
    for chunk in (TRUTH[:5], TRUTH[5:16], TRUTH, b""):
        size = machine.output_size(len(chunk))
        assert len(machine.update(chunk)) == size
    size = machine.output_size(3, last=True)
    assert len(machine.finish(b"end")) == size


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_any_bytes_will_do(form: Callable[[bytes], bytes]):
    assert pushed(encryptor_for(SUITE, 16), [form(TRUTH)]) == ORDER.whole(TRUTH)


def test_a_context_that_was_read_unsorted_is_written_sorted():
    unsorted = replace(ORDER, pairs=(("b", "2"), ("a", "1")))
    context = parse_header(unsorted.header()).body.encryption_context

    message = client_for(SUITE).encrypt(TRUTH, encryption_context=context).ciphertext

    assert b"\0\2\0\1a\0\0011\0\1b\0\0012" in message


def test_pairs_that_are_required_of_the_reader_are_not_stored():
    both = EncryptionContext({"purpose": "test", "tenant": "x"})
    machine = MessageEncryptor(
        materials(encryption_context=both, required_encryption_context_keys=frozenset({"tenant"})),
        frame_length=16,
        random=lambda _: ORDER.message_id,
    )

    header = machine.start()

    assert header == replace(ORDER, edks=(("p", b"i", b"c"),), unstored=(("tenant", "x"),)).header()
    assert machine.header.encryption_context == both


# --- order and amount ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "calls",
    [
        ("update",),
        ("finish",),
        ("start", "start"),
        ("start", "finish", "finish"),
        ("start", "finish", "update"),
        ("start", "finish", "start"),
    ],
    ids=" ".join,
)
def test_calls_out_of_order_are_refused(calls: tuple[str, ...]):
    machine = encryptor_for(SUITE, 16)
    for name in calls[:-1]:
        getattr(machine, name)()

    with pytest.raises(StreamError, match="order"):
        getattr(machine, calls[-1])(*[b""] * (calls[-1] == "update"))


@pytest.mark.parametrize("came", [0, 39, 41])
def test_other_amounts_than_announced_are_refused(came: int):
    machine = encryptor_for(SUITE, 16, length=40)
    machine.start()

    with pytest.raises(UsageError, match="40 bytes of plaintext were announced"):
        machine.finish(sample_bytes(came))


def test_more_than_announced_is_refused_as_soon_as_it_comes():
    machine = encryptor_for(SUITE, 16, length=40)
    machine.start()

    with pytest.raises(UsageError, match="announced"):
        machine.update(sample_bytes(41))


def test_after_an_error_every_call_raises_the_same_error():
    machine = encryptor_for(SUITE, 16, length=1)
    machine.start()
    with pytest.raises(UsageError) as first:
        machine.update(TRUTH)

    for call in (lambda: machine.update(b"x"), machine.finish, machine.start):
        with pytest.raises(UsageError) as later:
            call()
        assert (type(later.value), str(later.value)) == (type(first.value), str(first.value))


def test_an_error_that_is_not_ours_ends_the_machine_too():
    machine = encryptor_for(SUITE, 16)
    machine.start()
    with pytest.raises(TypeError):
        machine.update_into(TRUTH, memoryview(bytes(1000)))

    with pytest.raises(StreamError):
        machine.finish()


def test_more_frames_than_numbers_are_refused_before_anything_is_allocated():
    # Pages that nobody touches take no memory.
    plaintext = memoryview(mmap.mmap(-1, 2**32))

    for push in (MessageEncryptor.update, MessageEncryptor.finish):
        machine = encryptor_for(SUITE, 1)
        machine.start()
        with pytest.raises(UsageError, match="larger frame length"):
            push(machine, plaintext)
    with pytest.raises(UsageError, match="larger frame length"):
        machine.update_into(plaintext, memoryview(bytearray(1)))
    with pytest.raises(UsageError, match="larger frame length"):
        client_for(SUITE, frame_length=1).encrypt(plaintext)


def test_as_many_frames_as_numbers_are_sized():
    assert encryptor_for(SUITE, 1).output_size(2**32 - 1, last=True) == 2**32 - 1 + (2**32 - 2) * 32 + 40


@pytest.mark.parametrize("frame_length", [-1, 0, 2**32])
def test_a_frame_length_out_of_range_is_refused(frame_length: int):
    with pytest.raises(UsageError, match="frame length"):
        MessageEncryptor(materials(), frame_length=frame_length)


# --- materials and policy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_key", [None, b"", bytes(31), bytes(33)])
def test_a_data_key_of_another_length_is_refused(data_key: bytes | None):
    with pytest.raises(KeyringError, match="needs 32 bytes"):
        MessageEncryptor(materials(plaintext_data_key=data_key), frame_length=16)


def test_materials_without_a_wrapped_data_key_are_refused():
    with pytest.raises(KeyringError, match="no wrapped copy"):
        MessageEncryptor(materials(encrypted_data_keys=()), frame_length=16)


def test_a_signed_suite_needs_a_signing_key_before_the_first_byte():
    with pytest.raises(KeyringError, match="no signing key"):
        MessageEncryptor(materials(algorithm_suite=SIGNED_SUITE), frame_length=16)


def test_a_signing_key_of_another_curve_is_refused_before_the_first_byte():
    key = SigningKey.generate(SignatureAlgorithm.ECDSA_P256_SHA256)

    with pytest.raises(KeyringError, match="another algorithm"):
        MessageEncryptor(materials(algorithm_suite=SIGNED_SUITE, signing_key=key), frame_length=16)


def test_more_data_keys_than_allowed_are_not_written():
    with pytest.raises(LimitExceededError) as error:
        MessageEncryptor(
            materials(encrypted_data_keys=(EDK, EDK)), frame_length=16, limits=Limits(max_encrypted_data_keys=1)
        )

    assert error.value.limit == "max_encrypted_data_keys"


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
@pytest.mark.parametrize("policy", CommitmentPolicy)
def test_a_client_writes_just_the_suites_of_its_policy(policy: CommitmentPolicy, suite: AlgorithmSuite):
    forbids_commitment = policy is CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT

    if suite.committing is forbids_commitment:
        with pytest.raises(CommitmentPolicyError):
            Client(StaticDataKeyring(b""), algorithm_suite=suite, commitment_policy=policy)
    else:
        client = Client(StaticDataKeyring(Message(suite).data_key), algorithm_suite=suite, commitment_policy=policy)
        assert read(suite, client.encrypt(TRUTH).ciphertext) == TRUTH


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
@pytest.mark.parametrize("policy", CommitmentPolicy)
def test_the_suite_of_the_materials_is_checked_whoever_chose_it(policy: CommitmentPolicy, suite: AlgorithmSuite):
    key = SigningKey.generate(suite.signature) if suite.signature else None
    context = EncryptionContext({} if key is None else {PUBLIC_KEY_FIELD: key.encoded_public_key})
    given = materials(
        algorithm_suite=suite,
        encryption_context=context,
        plaintext_data_key=Message(suite).data_key,
        signing_key=key,
    )

    if suite.committing is (policy is CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT):
        with pytest.raises(CommitmentPolicyError):
            MessageEncryptor(given, frame_length=16, commitment_policy=policy)
    else:
        assert MessageEncryptor(given, frame_length=16, commitment_policy=policy).header.algorithm_suite is suite


@pytest.mark.parametrize("key", ["aws-crypto-", "aws-crypto-public-key", "aws-crypto-anything"])
def test_reserved_context_keys_are_refused(key: str):
    with pytest.raises(EncryptionContextError, match="belong to the format"):
        client_for(SUITE).encrypt(TRUTH, encryption_context={key: "x"})


def test_two_messages_of_one_client_share_neither_message_id_nor_bytes():
    client = Client(StaticDataKeyring(ORDER.data_key))

    one, two = client.encrypt(TRUTH), client.encrypt(TRUTH)

    assert one.header.message_id != two.header.message_id
    assert one.header.commitment != two.header.commitment
    assert one.ciphertext[-40:] != two.ciphertext[-40:]
