"""Messages written by other implementations: every one is read as its writer meant, or refused as it deserves."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from testkit.entry_points import chunks_of, feed, one_call, opened_at_random, random_access, reader_of
from testkit.official import FILES, Vector, load, vectors

from envelope_sdk import Client, CommitmentPolicy
from envelope_sdk.errors import (
    AuthenticationError,
    CommitmentError,
    CommitmentPolicyError,
    ContextMismatchError,
    EnvelopeError,
)
from envelope_sdk.formats import AlgorithmSuite, ContentType, UnverifiedHeader, parse_header
from envelope_sdk.formats.body import (
    BLOCK_OVERHEAD,
    FINAL_FRAME_MARKER,
    FINAL_FRAME_OVERHEAD,
    FRAME_OVERHEAD,
    BlockHead,
    FinalFrameHead,
)
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD
from envelope_sdk.formats.cursor import Cursor
from envelope_sdk.formats.footer import parse_footer
from envelope_sdk.managers import RequiredContextMaterialsManager
from envelope_sdk.primitives.digest import MessageDigest
from envelope_sdk.primitives.signing import VerificationKey

READABLE = vectors(expect="ok", offline=True)
REFUSED = vectors(expect="fail", offline=True)
KEYLESS = vectors(expect="ok", offline=False)
EVERY = [vector for file in FILES for vector in load(file)]
SIGNED = [vector for vector in EVERY if vector.suite.signed and vector.fields["expect"] == "ok"]


def ids(every: list[Vector]) -> list[str]:
    return [vector.id for vector in every]


def digest_and_length(plaintext: bytes) -> tuple[str, int]:
    return hashlib.sha256(plaintext).hexdigest(), len(plaintext)


def test_every_vector_that_came_with_the_files_is_run():
    assert Counter(vector.file for vector in [*READABLE, *REFUSED, *KEYLESS]) == {
        "commitment": 46,
        "esdk-cross-language": 487,
        "esdk-net-4.0.0-invalid": 28,
        "esdk-net-4.0.0-valid": 5,
        "message-only": 27,
    }


def test_every_algorithm_suite_is_among_the_vectors():
    assert set(AlgorithmSuite) == {vector.suite for vector in READABLE}


@pytest.mark.parametrize("vector", READABLE, ids=ids(READABLE))
def test_decrypts_in_one_call(vector: Vector):
    outcome = one_call(reader_of(vector.keyring()), vector.message, vector.context)

    assert (outcome.error, digest_and_length(outcome.released)) == (None, vector.digest_and_length)


@pytest.mark.parametrize("vector", READABLE, ids=ids(READABLE))
def test_decrypts_piece_by_piece(vector: Vector):
    message = vector.message
    size = 1 if len(message) < 1500 else 97

    outcome = feed(reader_of(vector.keyring()), chunks_of(message, size), vector.context)

    assert (outcome.error, digest_and_length(outcome.released)) == (None, vector.digest_and_length)


@pytest.mark.parametrize("vector", READABLE, ids=ids(READABLE))
def test_decrypts_at_positions_in_any_order(vector: Vector):
    with opened_at_random(reader_of(vector.keyring()), vector.message, vector.context) as reader:
        size = max(1, reader.size // 5)
        pieces = {offset: reader.read_at(offset, size) for offset in reversed(range(0, reader.size, size))}

    assert digest_and_length(b"".join(pieces[offset] for offset in sorted(pieces))) == vector.digest_and_length


@pytest.mark.parametrize("vector", EVERY, ids=ids(EVERY))
def test_parsing_and_encoding_the_header_gives_its_bytes(vector: Vector):
    message = vector.message

    header = parse_header(message)

    assert header.encode() == message[: header.length]
    assert header.body.encode() == header.raw


@pytest.mark.parametrize("vector", EVERY, ids=ids(EVERY))
def test_the_header_is_of_the_suite_and_holds_its_commitment_and_data_keys(vector: Vector):
    body = parse_header(vector.message).body

    assert body.algorithm_suite is vector.suite
    assert len(body.suite_data) == (32 if vector.suite.committing else 0)
    assert len(body.message_id) == (32 if vector.suite.committing else 16)
    assert len(body.encrypted_data_keys) >= 1
    assert (PUBLIC_KEY_FIELD in body.encryption_context) is vector.suite.signed


@pytest.mark.parametrize("vector", SIGNED, ids=ids(SIGNED))
def test_the_signature_holds_without_any_wrapping_key(vector: Vector):
    message = vector.message
    header = parse_header(message)
    signature_algorithm = vector.suite.signature
    assert signature_algorithm is not None
    end = end_of_body(message, header)
    cursor = Cursor(message[end:], "footer")
    digest = MessageDigest(signature_algorithm)
    digest.update(message[:end])

    key = VerificationKey(signature_algorithm, header.body.encryption_context[PUBLIC_KEY_FIELD])
    key.verify(parse_footer(cursor), digest.finalize())

    assert end + cursor.position == len(message)


@pytest.mark.parametrize("vector", REFUSED, ids=ids(REFUSED))
def test_a_message_that_must_not_decrypt_is_refused_in_one_call(vector: Vector):
    outcome = one_call(reader_of(vector.keyring()), vector.message, vector.context)

    assert_refused_for_its_reason(vector, outcome.error)


@pytest.mark.parametrize("vector", REFUSED, ids=ids(REFUSED))
def test_a_message_that_must_not_decrypt_is_refused_piece_by_piece_and_releases_nothing(vector: Vector):
    outcome = feed(reader_of(vector.keyring()), chunks_of(vector.message, 31), vector.context)

    assert_refused_for_its_reason(vector, outcome.error)
    assert outcome.released == b""


@pytest.mark.parametrize("vector", REFUSED, ids=ids(REFUSED))
def test_a_message_that_must_not_decrypt_is_refused_at_any_position(vector: Vector):
    outcome = random_access(reader_of(vector.keyring()), vector.message, vector.context)

    assert_refused_for_its_reason(vector, outcome.error)
    assert outcome.released == b""


WITH_REQUIRED_CONTEXT = [vector for vector in READABLE if vector.fields.get("required_encryption_context_keys")]


def requiring_client(vector: Vector) -> Client:
    manager = RequiredContextMaterialsManager(vector.keyring(), vector.fields["required_encryption_context_keys"])
    policy = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
    return Client(materials_manager=manager, commitment_policy=policy)


def test_every_suite_has_vectors_with_a_required_context():
    assert len(WITH_REQUIRED_CONTEXT) == 60
    assert set(AlgorithmSuite) == {vector.suite for vector in WITH_REQUIRED_CONTEXT}


@pytest.mark.parametrize("vector", WITH_REQUIRED_CONTEXT, ids=ids(WITH_REQUIRED_CONTEXT))
def test_a_message_with_a_required_context_opens_through_the_manager_that_requires_it(vector: Vector):
    whole = one_call(requiring_client(vector), vector.message, vector.context)
    pieces = feed(requiring_client(vector), chunks_of(vector.message, 97), vector.context)

    assert (whole.error, digest_and_length(whole.released)) == (None, vector.digest_and_length)
    assert (pieces.error, digest_and_length(pieces.released)) == (None, vector.digest_and_length)


@pytest.mark.parametrize("vector", WITH_REQUIRED_CONTEXT, ids=ids(WITH_REQUIRED_CONTEXT))
def test_a_message_with_a_required_context_does_not_open_without_it_or_with_another(vector: Vector):
    assert vector.context is not None
    required = vector.fields["required_encryption_context_keys"]
    client = requiring_client(vector)

    for key in required:
        lacking = {name: value for name, value in vector.context.items() if name != key}
        assert isinstance(one_call(client, vector.message, lacking).error, ContextMismatchError)
        assert one_call(client, vector.message, vector.context | {key: "another"}).error is not None


UNCOMMITTED = {vector.suite: vector for vector in READABLE if not vector.suite.committing}


@pytest.mark.parametrize("vector", UNCOMMITTED.values(), ids=lambda vector: vector.fields["suite"])
def test_the_strictest_policy_refuses_what_does_not_commit(vector: Vector):
    client = type(reader_of(vector.keyring()))(
        vector.keyring(), commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )

    with pytest.raises(CommitmentPolicyError):
        client.decrypt(vector.message, encryption_context=vector.context)


def assert_refused_for_its_reason(vector: Vector, error: EnvelopeError | None) -> None:
    # "fail" in the commitment file means a commitment that does not fit; the .NET messages carry header tags over the
    # wrong bytes, in two ways that look the same from here.
    wanted = CommitmentError if vector.file == "commitment" else AuthenticationError
    assert type(error) is wanted
    assert error.section == "header"


def end_of_body(message: bytes, header: UnverifiedHeader) -> int:
    """Walk over the body without a key."""
    position = header.length
    if header.body.content_type is ContentType.NON_FRAMED:
        block = BlockHead.parse(Cursor(message[position:], "body"), offset=position)
        return position + BLOCK_OVERHEAD + block.content_length
    number = 1
    while message[position : position + 4] != FINAL_FRAME_MARKER:
        assert int.from_bytes(message[position : position + 4], "big") == number
        position += header.body.frame_length + FRAME_OVERHEAD
        number += 1
    final = FinalFrameHead.parse(
        Cursor(message[position:], "final frame"),
        expected=number,
        frame_length=header.body.frame_length,
        offset=position,
    )
    return position + FINAL_FRAME_OVERHEAD + final.content_length
