"""The decrypting machine: what it lets out, when, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from testkit.builder import SIGNED, SUITES, UNCOMMITTED, UNSIGNED, Message, Signer, sample_bytes, suite_name
from testkit.entry_points import reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.materials import changed

from envelope_sdk import AlgorithmSuite, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    CommitmentPolicyError,
    EnvelopeError,
    KeyringError,
    MessageError,
    NoMatchingKeyError,
    SignatureError,
    SignedStreamError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.formats import SignatureAlgorithm, UnverifiedHeader
from envelope_sdk.materials import DecryptionMaterials
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.primitives.signing import VerificationKey

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED_SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
TRUTH = sample_bytes(40)
ORDER = Message(SUITE)


def machine_for(order: Message, **options: bool) -> MessageDecryptor:
    return reader_of(StaticDataKeyring(order.data_key)).decryptor(**options)


def machine_with(order: Message, **materials: object) -> MessageDecryptor:
    """Return a machine whose materials are right but for what is given."""

    def materials_for(header: UnverifiedHeader) -> DecryptionMaterials:
        good = DecryptionMaterials(order.suite, header.body.encryption_context, plaintext_data_key=order.data_key)
        return changed(good, **materials)

    return MessageDecryptor(materials_for, commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)


# --- what comes out, and when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", UNSIGNED, ids=suite_name)
def test_an_unsigned_message_gives_each_frame_with_its_last_byte(suite: AlgorithmSuite):
    order = Message(suite)
    machine = machine_for(order)
    machine.update(order.header())
    first, second, final = order.frame(1, TRUTH[:16]), order.frame(2, TRUTH[16:32]), order.final(3, TRUTH[32:])

    assert [machine.update(first[:-1]), machine.update(first[-1:])] == [b"", TRUTH[:16]]
    assert [machine.update(second[:-1]), machine.update(second[-1:])] == [b"", TRUTH[16:32]]
    assert [machine.update(final[:-1]), machine.update(final[-1:])] == [b"", TRUTH[32:]]
    assert machine.finished


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_a_signed_message_gives_its_final_frame_with_the_signatures_last_byte(suite: AlgorithmSuite):
    order = Message(suite)
    machine = machine_for(order)
    covered = order.header() + order.body(TRUTH)
    footer = order.whole(TRUTH)[len(covered) :]

    assert machine.update(covered) == TRUTH[:32]
    assert not machine.finished
    assert machine.update(footer[:-1]) == b""
    assert machine.update(footer[-1:]) == TRUTH[32:]
    assert machine.finished


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_a_signed_body_without_frames_comes_out_with_the_signatures_last_byte(suite: AlgorithmSuite):
    order = Message(suite, frame_length=0)
    machine = machine_for(order)
    message = order.whole(TRUTH)

    assert machine.update(message[:-1]) == b""
    assert machine.update(message[-1:]) == TRUTH


def test_the_header_is_known_once_its_tag_is_checked():
    machine = machine_for(ORDER)
    header = ORDER.header()

    machine.update(header[:-1])
    assert machine.header is None
    machine.update(header[-1:])

    assert machine.header is not None
    assert machine.header.length == len(header)
    assert machine.header.encryption_context == {"purpose": "test"}
    assert machine.header.message_id == ORDER.message_id


def test_a_header_whose_tag_does_not_hold_is_never_shown():
    machine = machine_for(replace(ORDER, changes={"tag": bytes(16)}))
    with pytest.raises(AuthenticationError):
        machine.update(replace(ORDER, changes={"tag": bytes(16)}).header())

    assert machine.header is None


def test_only_finish_tells_a_whole_message_from_a_beginning():
    machine = machine_for(ORDER)
    machine.update(ORDER.header() + ORDER.frame(1, TRUTH[:16]))

    assert not machine.finished
    with pytest.raises(TruncatedMessageError):
        machine.finish()


def test_no_bytes_at_all_are_a_truncated_message():
    with pytest.raises(TruncatedMessageError):
        machine_for(ORDER).finish()


def test_finishing_twice_is_no_error():
    machine = machine_for(ORDER)
    machine.update(ORDER.whole(TRUTH))

    machine.finish()
    machine.finish()


def test_no_bytes_may_come_at_any_time():
    machine = machine_for(ORDER)

    assert machine.update(b"") == b""
    assert machine.update(ORDER.whole(TRUTH)) == TRUTH
    assert machine.update(b"") == b""


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_any_bytes_will_do(form: Callable[[bytes], bytes]):
    assert machine_for(ORDER).update(form(ORDER.whole(TRUTH))) == TRUTH


def test_a_view_with_gaps_will_do():
    spread = bytearray(2 * len(ORDER.whole(TRUTH)))
    spread[::2] = ORDER.whole(TRUTH)

    assert machine_for(ORDER).update(memoryview(spread)[::2]) == TRUTH


def test_text_is_no_message():
    with pytest.raises(TypeError):
        machine_for(ORDER).update("message")  # type: ignore[arg-type]


def test_the_output_of_a_whole_message_needs_no_more_room_than_its_plaintext():
    out = bytearray(len(TRUTH))

    assert machine_for(ORDER).update_into(ORDER.whole(TRUTH), memoryview(out)) == len(TRUTH)
    assert out == TRUTH


@pytest.mark.parametrize("order", [ORDER, Message(SIGNED_SUITE), replace(ORDER, frame_length=0)])
@pytest.mark.parametrize("room", [0, 15, 39])
def test_too_little_room_is_an_error_and_not_a_short_answer(order: Message, room: int):
    with pytest.raises(UsageError, match="room"):
        machine_for(order).update_into(order.whole(TRUTH), memoryview(bytearray(room)))


# --- nothing unauthenticated stays behind ----------------------------------------------------------------------------


def altered(part: bytes) -> bytes:
    return part[:-1] + bytes((part[-1] ^ 1,))


FAILING_TAGS = {
    "first frame": (ORDER, altered(ORDER.frame(1, TRUTH[:16])), b""),
    "second frame": (ORDER, ORDER.frame(1, TRUTH[:16]) + altered(ORDER.frame(2, TRUTH[16:32])), TRUTH[:16]),
    "final frame": (ORDER, altered(ORDER.final(1, TRUTH[:16])), b""),
    "block": (replace(ORDER, frame_length=0), altered(ORDER.block(TRUTH)), b""),
}


@pytest.mark.parametrize(("order", "body", "before"), FAILING_TAGS.values(), ids=FAILING_TAGS)
def test_a_failing_tag_leaves_zeros_where_its_plaintext_would_be(order: Message, body: bytes, before: bytes):
    machine = machine_for(order)
    machine.update(order.header())
    out = bytearray(b"\xaa" * 100)

    with pytest.raises(AuthenticationError):
        machine.update_into(body, memoryview(out))

    assert out[: len(before)] == before
    assert set(out[len(before) : len(before) + 16]) == {0}
    assert set(out[len(before) + 40 :]) == {0xAA}


def test_a_failing_signature_leaves_the_output_as_it_was():
    order = Message(SIGNED_SUITE)
    machine = machine_for(order)
    covered = order.header() + order.final(1, TRUTH[:16])
    out = bytearray(b"\xaa" * 100)

    with pytest.raises(SignatureError):
        machine.update_into(altered(order.signed(covered)), memoryview(out))

    assert set(out) == {0xAA}


# --- failures stay ---------------------------------------------------------------------------------------------------


FAILURES = {
    "malformed": b"\x03",
    "unauthentic header": replace(ORDER, changes={"tag": bytes(16)}).header(),
    "unauthentic frame": ORDER.header() + altered(ORDER.frame(1, TRUTH[:16])),
    "out of order": ORDER.header() + ORDER.frame(2, TRUTH[:16]),
    "trailing data": ORDER.whole(TRUTH) + b"\0",
}


@pytest.mark.parametrize("message", FAILURES.values(), ids=FAILURES)
def test_after_an_error_every_call_raises_the_same_error(message: bytes):
    machine = machine_for(ORDER)
    with pytest.raises(EnvelopeError) as first:
        machine.update(message)

    for call in (lambda: machine.update(ORDER.whole(TRUTH)), lambda: machine.update(b""), machine.finish):
        with pytest.raises(EnvelopeError) as later:
            call()
        assert (type(later.value), str(later.value)) == (type(first.value), str(first.value))


def test_a_truncated_message_cannot_be_continued_after_finish():
    machine = machine_for(ORDER)
    message = ORDER.whole(TRUTH)
    machine.update(message[:-1])
    with pytest.raises(TruncatedMessageError) as first:
        machine.finish()

    with pytest.raises(TruncatedMessageError) as later:
        machine.update(message[-1:])

    assert (type(later.value), str(later.value)) == (type(first.value), str(first.value))


def test_an_error_that_is_not_ours_ends_the_machine_too():
    def broken(_header: UnverifiedHeader) -> DecryptionMaterials:
        raise RuntimeError("a keyring of somebody else's")

    machine = MessageDecryptor(broken)
    with pytest.raises(RuntimeError):
        machine.update(ORDER.header())

    with pytest.raises(StreamError):
        machine.update(ORDER.header())


def test_bytes_after_the_end_are_refused_for_good():
    machine = machine_for(ORDER)
    machine.update(ORDER.whole(TRUTH))

    for _ in range(2):
        with pytest.raises(TrailingDataError):
            machine.update(b"\0")


# --- signed messages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_signed_messages_are_refused_where_the_caller_says_so(suite: AlgorithmSuite):
    order = Message(suite)
    keyring = StaticDataKeyring(order.data_key)
    machine = reader_of(keyring).decryptor(refuse_signed=True)

    if suite.signed:
        with pytest.raises(SignedStreamError):
            machine.update(order.whole(TRUTH))
        assert keyring.unwraps == 0
    else:
        assert machine.update(order.whole(TRUTH)) == TRUTH


# --- materials -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", UNCOMMITTED, ids=suite_name)
def test_the_policy_is_checked_before_materials_are_asked_for(suite: AlgorithmSuite):
    asked: list[UnverifiedHeader] = []

    def materials_for(header: UnverifiedHeader) -> DecryptionMaterials:
        asked.append(header)
        raise NoMatchingKeyError("no key")

    with pytest.raises(CommitmentPolicyError):
        MessageDecryptor(materials_for).update(Message(suite).whole(TRUTH))

    assert asked == []


def test_materials_are_asked_for_once_with_the_header_as_read():
    asked: list[UnverifiedHeader] = []

    def materials_for(header: UnverifiedHeader) -> DecryptionMaterials:
        asked.append(header)
        return DecryptionMaterials(SUITE, header.body.encryption_context, plaintext_data_key=ORDER.data_key)

    machine = MessageDecryptor(materials_for)
    for byte in ORDER.whole(TRUTH):
        machine.update(bytes((byte,)))

    assert [header.encode() for header in asked] == [ORDER.header()]


def test_materials_of_another_suite_are_refused():
    with pytest.raises(KeyringError, match="faulty materials manager"):
        machine_with(ORDER, algorithm_suite=SIGNED_SUITE).update(ORDER.whole(TRUTH))


@pytest.mark.parametrize("data_key", [None, b"", bytes(16), bytes(31), bytes(33)])
def test_materials_with_a_data_key_of_another_length_are_refused(data_key: bytes | None):
    with pytest.raises(KeyringError, match="32 bytes"):
        machine_with(ORDER, plaintext_data_key=data_key).update(ORDER.whole(TRUTH))


def test_materials_of_a_signed_message_need_a_verification_key():
    order = Message(SIGNED_SUITE)

    with pytest.raises(SignatureError, match="no verification key"):
        machine_with(order).update(order.whole(TRUTH))


def test_a_verification_key_of_another_curve_is_refused_at_the_header():
    order = Message(SIGNED_SUITE)
    other = Signer(SignatureAlgorithm.ECDSA_P256_SHA256)
    key = VerificationKey(other.algorithm, other.public_key)

    with pytest.raises(KeyringError, match="another algorithm"):
        machine_with(order, verification_key=key).update(order.header())


def test_pairs_that_are_not_stored_are_under_the_headers_tag():
    order = replace(ORDER, unstored=(("department", "7"), ("tenant", "x")))
    context = EncryptionContext({"purpose": "test", "tenant": "x", "department": "7"})
    required = frozenset({"tenant", "department"})

    machine = machine_with(order, encryption_context=context, required_encryption_context_keys=required)

    assert machine.update(order.whole(TRUTH)) == TRUTH
    assert machine.header is not None
    assert machine.header.encryption_context == context


def test_what_the_materials_source_raises_comes_through():
    def nothing(_header: UnverifiedHeader) -> DecryptionMaterials:
        raise NoMatchingKeyError("no key")

    with pytest.raises(NoMatchingKeyError):
        MessageDecryptor(nothing).update(ORDER.header())


# --- sequence numbers ------------------------------------------------------------------------------------------------


def test_more_frames_than_are_opened_at_once_are_read():
    order = replace(ORDER, frame_length=1)
    plaintext = sample_bytes(4096 * 2 + 5)

    assert machine_for(order).update(order.whole(plaintext)) == plaintext


@pytest.mark.parametrize("wrong", [0, 1, 4095, 4096, 4097, 8190])
def test_a_wrong_number_is_found_wherever_it_stands_in_a_batch(wrong: int):
    order = replace(ORDER, frame_length=1)
    message = bytearray(order.whole(bytes(8192)))
    message[len(order.header()) + wrong * 33 + 3] ^= 0x40

    with pytest.raises(MessageError) as error:
        machine_for(order).update(bytes(message))

    assert error.value.section == f"frame {wrong + 1}"
    assert error.value.offset == len(order.header()) + wrong * 33
