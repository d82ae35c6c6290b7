"""The points of the format that implementations have got wrong, one behaviour each, named for the point.

Numbers are those of the list in the project's notes on the format. Two points are about features that this package
does not have yet (data keys under KMS RSA keys, caches) and are not here.
"""

from __future__ import annotations

import base64
import tracemalloc
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from testkit.builder import EDK, SIGNED, SUITES, Message, Signer, derive, sample_bytes, suite_name
from testkit.entry_points import chunks_of, feed, one_call, reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.machines import client_for, encryptor_for, pushed
from testkit.official import load

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptedDataKey, EncryptionContext, Limits
from envelope_sdk.errors import (
    AuthenticationError,
    CommitmentError,
    ContextMismatchError,
    LimitExceededError,
    MessageError,
    NoMatchingKeyError,
    SignatureError,
    TrailingDataError,
    TruncatedMessageError,
    UnsupportedMessageError,
)
from envelope_sdk.formats import parse_header
from envelope_sdk.formats.body import final_frame_aad
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring
from envelope_sdk.message.keys import new_message_key

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
DERIVED = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
SIGNED_SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
ORDER = Message(SUITE)
TRUTH = sample_bytes(40)
A, B, C = TRUTH[:16], TRUTH[16:32], TRUTH[32:]


def client_of(order: Message = ORDER, limits: Limits | None = None) -> Client:
    return reader_of(StaticDataKeyring(order.data_key), limits=limits)


def read(message: bytes, order: Message = ORDER, context: dict[str, str] | None = None) -> bytes:
    return client_of(order).decrypt(message, encryption_context=context).plaintext


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_01_frames_are_opened_with_the_iv_on_the_wire_and_written_with_their_number(suite: AlgorithmSuite):
    order = Message(suite)
    frames = order.frame(1, A, iv=b"any iv at al") + order.final(2, C, iv=b"another one!")

    assert read(order.signed(order.header() + frames), order) == A + C
    written = pushed(encryptor_for(suite, 16), [A + C])
    header = parse_header(written).length
    assert written[header : header + 16] == b"\0\0\0\1" + bytes(11) + b"\1"


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_02_the_headers_tag_covers_its_body_and_the_unstored_pairs_without_their_length(suite: AlgorithmSuite):
    order = Message(suite, unstored=(("a", "1"),))
    header = order.header()
    authentication = 28 if suite.message_version == 1 else 16
    covered = header[:-authentication] + b"\0\1\0\1a\0\x011"
    key = derive(suite, order.data_key, order.message_id)[0]

    assert header[-16:] == AESGCM(key).encrypt(bytes(12), b"", covered)
    assert read(order.whole(TRUTH), order, {"a": "1"}) == TRUTH


def test_02_an_empty_set_of_unstored_pairs_adds_nothing_to_what_the_headers_tag_covers():
    bare = ORDER.header()[:-16]

    with pytest.raises(AuthenticationError):
        read(replace(ORDER, changes={"tag_covers": bare + b"\0\0"}).whole(TRUTH))


def test_02_a_version_1_header_is_checked_with_the_iv_it_carries():
    order = Message(DERIVED, changes={"iv": b"headers' own"})

    assert read(order.whole(TRUTH), order) == TRUTH


def test_03_context_keys_are_sorted_by_their_bytes_and_not_by_utf16():
    message = client_for(SUITE).encrypt(b"", encryption_context={"\U00010000": "x", "\uffee": "y"}).ciphertext

    assert message.index("\uffee".encode()) < message.index("\U00010000".encode())


def test_03_an_empty_context_is_a_zero_length_without_a_count():
    assert pushed(client_for(SUITE).encryptor(), [])[35:39] == b"\0\0\0\1"


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_04_frames_are_bound_to_the_whole_message_id(suite: AlgorithmSuite):
    order = Message(suite)
    assert len(order.message_id) == (32 if suite.committing else 16)
    cut = order.frame(1, A, message_id=order.message_id[:-1])

    with pytest.raises(AuthenticationError):
        read(order.header() + cut, order)


def test_05_the_final_frame_is_marked_by_four_bytes_and_numbered():
    body = pushed(encryptor_for(SUITE, 16), [A + C])[len(ORDER.header()) + 48 :]

    assert body[:8] == b"\xff\xff\xff\xff\0\0\0\2"


def test_05_the_last_number_of_all_belongs_to_the_final_frame_only():
    assert final_frame_aad(b"", 0xFFFFFFFF, 0)[34:38] == b"\xff\xff\xff\xff"
    regular = b"\xff\xff\xff\xff" + ORDER.frame(1, A)[4:]
    with pytest.raises(MessageError) as error:
        read(ORDER.header() + regular + bytes(40))
    assert error.value.section == "final frame"


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_06_after_an_exact_multiple_a_full_and_an_empty_final_frame_are_both_read(suite: AlgorithmSuite):
    order = Message(suite)
    full = order.frame(1, A) + order.final(2, B)
    empty = order.frame(1, A) + order.frame(2, B) + order.final(3, b"")

    for body in (full, empty):
        assert read(order.signed(order.header() + body), order) == A + B


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_06_an_empty_plaintext_is_one_empty_final_frame(suite: AlgorithmSuite):
    message = client_for(suite, frame_length=16).encrypt(b"").ciphertext
    header = parse_header(message).length

    assert message[header : header + 24] == b"\xff\xff\xff\xff\0\0\0\1" + bytes(11) + b"\1" + bytes(4)
    assert client_for(suite).decrypt(message).plaintext == b""


@pytest.mark.parametrize(
    ("suite_id", "algorithm", "length"),
    [
        (0x0114, SHA256(), 16),
        (0x0146, SHA256(), 24),
        (0x0178, SHA256(), 32),
        (0x0214, SHA256(), 16),
        (0x0346, SHA384(), 24),
        (0x0378, SHA384(), 32),
    ],
)
def test_07_version_1_keys_are_derived_from_suite_and_message_id(suite_id: int, algorithm: SHA256, length: int):
    suite = AlgorithmSuite.from_id(suite_id)
    assert suite is not None
    data_key, message_id = sample_bytes(length), bytes(range(16))
    info = suite_id.to_bytes(2, "big") + message_id
    key = HKDF(algorithm, length, bytes(algorithm.digest_size), info).derive(data_key)

    cipher, commitment = new_message_key(suite, data_key, message_id)

    assert (cipher.tag(bytes(12), b"x"), commitment) == (AESGCM(key).encrypt(bytes(12), b"", b"x"), b"")


@pytest.mark.parametrize(("suite_id", "length"), [(0x0014, 16), (0x0046, 24), (0x0078, 32)])
def test_07_suites_without_derivation_use_the_data_key_itself(suite_id: int, length: int):
    suite = AlgorithmSuite.from_id(suite_id)
    assert suite is not None
    data_key = sample_bytes(length)

    cipher, commitment = new_message_key(suite, data_key, bytes(16))

    assert (cipher.tag(bytes(12), b"x"), commitment) == (AESGCM(data_key).encrypt(bytes(12), b"", b"x"), b"")


@pytest.mark.parametrize("suite_id", [0x0478, 0x0578])
def test_08_version_2_keys_carry_the_suite_in_their_label_and_commitments_do_not(suite_id: int):
    suite = AlgorithmSuite.from_id(suite_id)
    assert suite is not None
    data_key, message_id = sample_bytes(32), bytes(range(32))
    key = HKDF(SHA512(), 32, message_id, suite_id.to_bytes(2, "big") + b"DERIVEKEY").derive(data_key)
    committed = HKDF(SHA512(), 32, message_id, b"COMMITKEY").derive(data_key)

    cipher, commitment = new_message_key(suite, data_key, message_id)

    assert commitment == committed
    assert cipher.tag(bytes(12), b"x") == AESGCM(key).encrypt(bytes(12), b"", b"x")


def test_08_a_commitment_that_does_not_fit_fails_the_message_and_not_just_its_data_key():
    ring = RawAesKeyring("test", "key", bytes(32))
    other, right = (
        client.encryptor().header.encrypted_data_keys[0]
        for client in (Client(RawAesKeyring("test", "key", bytes(32))) for _ in range(2))
    )
    order = replace(
        ORDER, pairs=(), edks=tuple((edk.provider_id, edk.provider_info, edk.ciphertext) for edk in (other, right))
    )

    with pytest.raises(CommitmentError):
        Client(ring).decrypt(order.whole(TRUTH))


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_09_the_public_key_is_a_compressed_point_of_the_suites_curve(suite: AlgorithmSuite):
    result = client_for(suite).encrypt(b"")
    point = base64.b64decode(result.header.encryption_context["aws-crypto-public-key"])

    assert len(point) == (33 if suite.suite_id == 0x0214 else 49)
    other = next(one.signature for one in SIGNED if one.signature is not suite.signature)
    assert other is not None
    wrong = Message(suite, public_key=Signer(other).public_key)
    with pytest.raises(SignatureError):
        read(wrong.whole(TRUTH), wrong)


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_10_the_signature_covers_all_before_the_footer_and_may_have_any_form(suite: AlgorithmSuite):
    order = Message(suite)
    covered = order.header() + order.body(TRUTH)
    length = order.signing.algorithm.signature_length

    for signature in (
        order.signing.low_s(covered),
        order.signing.high_s(covered),
        order.signing.of_length(covered, length - 1),
        order.signing.of_length(covered, length + 1),
    ):
        assert read(order.signed(covered, signature), order) == TRUTH
    written = client_for(suite, frame_length=16).encrypt(TRUTH, encryption_context={"purpose": "test"}).ciphertext
    assert len(written) == len(order.whole(TRUTH))


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_11_messages_without_frames_are_read(suite: AlgorithmSuite):
    order = Message(suite, frame_length=0)

    assert read(order.whole(TRUTH), order) == TRUTH


@pytest.mark.parametrize(("framed", "frame_length"), [(2, 0), (1, 16)])
def test_11_content_type_and_frame_length_have_to_agree(framed: int, frame_length: int):
    with pytest.raises(MessageError, match="does not go with"):
        read(replace(ORDER, changes={"content_type": framed, "frame_length": frame_length}).whole(TRUTH))


@pytest.mark.parametrize(
    ("suite", "changes"),
    [
        (SUITE, {"suite_id": 0x0178}),
        (DERIVED, {"suite_id": 0x0478}),
        (DERIVED, {"type": 0x81}),
        (DERIVED, {"reserved": b"\1\0\0\0"}),
        (DERIVED, {"iv_length": 13}),
        (SUITE, {"edks": b"\0\0"}),
        (SUITE, {"suite_id": 0x9999}),
    ],
)
def test_12_headers_are_read_strictly(suite: AlgorithmSuite, changes: dict[str, object]):
    order = Message(suite, changes=changes)

    with pytest.raises(MessageError):
        read(order.whole(TRUTH), order)


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_12_a_message_in_base64_is_told_so(suite: AlgorithmSuite):
    order = Message(suite)

    with pytest.raises(UnsupportedMessageError, match="base64"):
        read(base64.b64encode(order.whole(TRUTH)), order)


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_13_bytes_after_the_message_are_refused(suite: AlgorithmSuite):
    order = Message(suite)
    message = order.whole(TRUTH)

    for chunks in ([message + b"\0"], [message, b"\0"], chunks_of(message + message, 1)):
        assert isinstance(feed(client_of(order), chunks).error, TrailingDataError)


def test_14_a_signed_message_gives_nothing_in_one_call_and_not_its_end_in_pieces_unless_the_signature_holds():
    order = Message(SIGNED_SUITE)
    covered = order.header() + order.body(TRUTH)
    forged = order.signed(covered, order.signing.sign(order.header()))

    assert one_call(client_of(order), forged).released == b""
    assert feed(client_of(order), chunks_of(forged, 1)).released == A + B


def test_15_a_reproduced_pair_is_compared_before_any_unwrap_and_added_where_it_is_not_stored():
    order = replace(ORDER, unstored=(("tenant", "7"),))
    keyring = StaticDataKeyring(order.data_key)
    client = reader_of(keyring)

    assert isinstance(one_call(client, order.whole(TRUTH), {"purpose": "no"}).error, ContextMismatchError)
    assert keyring.unwraps == 0
    assert one_call(client, order.whole(TRUTH), {"tenant": "7", "purpose": "test"}).released == TRUTH


def test_16_data_keys_keep_their_order_and_a_bad_one_fails_alone():
    rings = [RawAesKeyring("test", name, bytes(32)) for name in "abc"]
    message = Client(MultiKeyring(rings[0], rings[1:])).encrypt(TRUTH)

    assert [edk.provider_info[:1] for edk in message.header.encrypted_data_keys] == [b"a", b"b", b"c"]
    for ring in rings:
        assert Client(ring).decrypt(message.ciphertext).plaintext == TRUTH
    wrong = Client(MultiKeyring(RawAesKeyring("test", "a", bytes(16)), [rings[2]]))
    assert wrong.decrypt(message.ciphertext).plaintext == TRUTH


def test_17_raw_aes_names_the_tag_length_in_bits_and_the_iv_length_in_bytes():
    edk = Client(RawAesKeyring("test", "key", bytes(32))).encrypt(b"").header.encrypted_data_keys[0]

    assert edk.provider_info[:11] == b"key\0\0\0\x80\0\0\0\x0c"
    assert len(edk.provider_info) == len("key") + 20


def test_17_names_that_begin_alike_are_told_apart():
    message = Client(RawAesKeyring("test", "key-long", bytes(32))).encrypt(b"").ciphertext

    with pytest.raises(NoMatchingKeyError):
        Client(RawAesKeyring("test", "key", bytes(32))).decrypt(message)


def test_19_messages_of_the_release_that_tagged_the_wrong_bytes_are_refused():
    for vector in load("esdk-net-4.0.0-invalid"):
        assert type(one_call(reader_of(vector.keyring()), vector.message, vector.context).error) is AuthenticationError


@pytest.mark.parametrize("kind", ["raw-ecdh", "hierarchy"])
def test_20_21_messages_under_agreed_and_branch_keys_are_read(kind: str):
    every = [vector for vector in load("esdk-cross-language") if vector.fields["key"]["type"] == kind]

    assert {vector.suite for vector in every} == set(SUITES)
    for vector in every[:22]:
        assert one_call(reader_of(vector.keyring()), vector.message, vector.context).error is None


def test_23_a_frame_that_claims_four_gigabytes_takes_no_memory():
    order = replace(ORDER, frame_length=0xFFFFFFFF)
    tracemalloc.start()
    try:
        error = one_call(client_of(), order.header() + order.final(1, b"x", claimed=0xFFFFFFFF)).error
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(error, TruncatedMessageError)
    assert peak < 2**20
    limited = one_call(client_of(limits=Limits(max_body_length=2**20)), order.header()).error
    assert isinstance(limited, LimitExceededError)


def test_24_a_header_of_gigabytes_is_refused_by_its_count_and_by_its_length():
    many = replace(ORDER, changes={"edks": b"\xff\xff"})
    long = replace(ORDER, edks=(("p", bytes(65_535), bytes(65_535)),) * 9)

    for order, limit in ((many, "max_encrypted_data_keys"), (long, "max_header_length")):
        error = feed(client_of(), chunks_of(order.header(), 4096)).error
        assert isinstance(error, LimitExceededError)
        assert error.limit == limit


def test_25_where_the_specification_contradicts_itself_the_field_is_followed():
    # The default without commitment derives a key and, where signed, signs; frame IVs are free; ids take 32 bytes.
    forbid = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    assert forbid.default_suite(signed=True).suite_id == 0x0378
    assert forbid.default_suite(signed=False).suite_id == 0x0178
    for policy in set(CommitmentPolicy) - {forbid}:
        assert policy.default_suite(signed=True).suite_id == 0x0578
        assert policy.default_suite(signed=False).suite_id == 0x0478


def test_the_data_keys_of_a_message_are_readable_without_a_key():
    header = parse_header(ORDER.whole(TRUTH))

    assert header.body.encrypted_data_keys == (EncryptedDataKey(*EDK),)
    assert header.body.encryption_context == EncryptionContext({"purpose": "test"})
