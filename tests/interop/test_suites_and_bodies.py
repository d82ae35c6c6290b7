"""Every algorithm suite and every shape of body, written here and read by the peer, and the reverse."""

from __future__ import annotations

import io

import pytest

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.formats.body import BlockHead, block_aad, frame_iv
from envelope_sdk.formats.footer import encode_footer
from envelope_sdk.formats.header import HEADER_IV, ContentType, HeaderBody, encode_authentication
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.materials import EncryptionRequest
from envelope_sdk.message.keys import new_message_key
from envelope_sdk.primitives.digest import MessageDigest

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

KEY = bytes(range(32))
FRAME = 256
CONTEXTS = {"no-context": {}, "context": {"purpose": "interop", "tenant": "42"}}
LENGTHS = {
    "empty": 0,
    "one-byte": 1,
    "frame-less-one": FRAME - 1,
    "one-frame": FRAME,
    "frame-and-one": FRAME + 1,
    "three-frames": 3 * FRAME,
    "three-frames-and-one": 3 * FRAME + 1,
}

each_suite = pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: f"{suite.suite_id:04x}")
each_length = pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS.keys())
unsigned_suites = pytest.mark.parametrize(
    "suite", [suite for suite in AlgorithmSuite if not suite.signed], ids=lambda suite: f"{suite.suite_id:04x}"
)
signed_suites = pytest.mark.parametrize(
    "suite", [suite for suite in AlgorithmSuite if suite.signed], ids=lambda suite: f"{suite.suite_id:04x}"
)


@pytest.fixture(scope="module")
def peer_keyring(peer):
    return peer.aes_keyring(KEY)


@pytest.fixture
def client_for(policy_of):
    def make(suite, *, frame_length=FRAME):
        return Client(
            RawAesKeyring("interop", "aes", KEY),
            commitment_policy=policy_of(suite),
            algorithm_suite=suite,
            frame_length=frame_length,
        )

    return make


def plaintext_of(length):
    return bytes(index * 7 % 251 for index in range(length))


@each_suite
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
@each_length
def test_the_peer_reads_what_we_write(suite, context, length, peer, peer_keyring, client_for):
    message = client_for(suite).encrypt(plaintext_of(length), encryption_context=context).ciphertext

    assert plaintext_of(length) == peer.decrypt(message, suite, keyring=peer_keyring)


@each_suite
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
@each_length
def test_we_read_what_the_peer_writes(suite, context, length, peer, peer_keyring, client_for):
    message = peer.encrypt(plaintext_of(length), suite, context=context, keyring=peer_keyring, frame_length=FRAME)

    result = client_for(suite).decrypt(message, encryption_context=context)

    assert plaintext_of(length) == result.plaintext
    assert suite is result.header.algorithm_suite
    assert context == {key: result.header.encryption_context[key] for key in context}


@each_suite
def test_messages_of_both_have_the_same_length(suite, peer, peer_keyring, client_for):
    ours = client_for(suite).encrypt(plaintext_of(3 * FRAME + 1)).ciphertext
    theirs = peer.encrypt(plaintext_of(3 * FRAME + 1), suite, keyring=peer_keyring, frame_length=FRAME)

    assert len(theirs) == len(ours)


@pytest.mark.parametrize("frame_length", [1, 100, 1000])
def test_the_peer_reads_frame_lengths_that_it_refuses_to_write(frame_length, peer, peer_keyring, client_for):
    suite = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
    message = client_for(suite, frame_length=frame_length).encrypt(plaintext_of(2 * frame_length + 1)).ciphertext

    assert plaintext_of(2 * frame_length + 1) == peer.decrypt(message, suite, keyring=peer_keyring)
    with pytest.raises(peer.sdk.exceptions.SerializationError):
        peer.encrypt(b"data", suite, keyring=peer_keyring, frame_length=frame_length)


@each_suite
@pytest.mark.parametrize("frame_length", [128, FRAME, 4096])
@each_length
def test_we_read_what_the_peer_writes_at_any_position(suite, frame_length, length, peer, peer_keyring, client_for):
    plaintext = plaintext_of(length)
    message = peer.encrypt(plaintext, suite, keyring=peer_keyring, frame_length=frame_length)

    for option in ("verify_first", "release_unverified_plaintext"):
        with client_for(suite).random_access(message, **{option: True}) as reader:
            assert reader.size == length
            for offset in range(length, -1, -100):
                assert plaintext[offset : offset + 150] == reader.read_at(offset, 150)


# --- without frames --------------------------------------------------------------------------------------------------


@each_suite
@pytest.mark.parametrize("length", [0, 1, 10_000])
def test_we_read_messages_without_frames(suite, length, peer, client_for):
    provider = peer.legacy_provider(KEY, algorithm="AES_256_GCM_IV12_TAG16_NO_PADDING")
    message = peer.encrypt(plaintext_of(length), suite, key_provider=provider, frame_length=0)

    result = client_for(suite).decrypt(message)

    assert plaintext_of(length) == result.plaintext
    assert ContentType.NON_FRAMED is result.header.content_type


def message_without_frames(suite, policy, plaintext):
    """Return a message of one block, from the parts of the package; no client writes such a message."""
    from envelope_sdk import EncryptionContext

    manager = DefaultMaterialsManager(RawAesKeyring("interop", "aes", KEY))
    materials = manager.get_encryption_materials(EncryptionRequest(EncryptionContext({"a": "b"}), policy, suite))
    message_id = bytes(range(suite.message_id_length))
    cipher, commitment = new_message_key(suite, materials.plaintext_data_key, message_id)
    header = HeaderBody(
        suite,
        message_id,
        materials.encryption_context,
        materials.encrypted_data_keys,
        ContentType.NON_FRAMED,
        0,
        commitment,
    ).encode()
    header += encode_authentication(suite, HEADER_IV, cipher.tag(HEADER_IV, header))
    block = bytearray(len(plaintext) + 16)
    head = BlockHead(frame_iv(1), len(plaintext))
    cipher.seal_into(head.iv, memoryview(plaintext), block_aad(message_id, len(plaintext)), memoryview(block))
    message = header + head.encode() + block
    if materials.signing_key is None:
        return message
    digest = MessageDigest(suite.signature)
    digest.update(message)
    return message + encode_footer(materials.signing_key.sign(digest.finalize()))


@each_suite
@pytest.mark.parametrize("length", [0, 1, 10_000])
def test_the_peer_reads_our_codec_s_messages_without_frames(suite, length, peer, peer_keyring, policy_of):
    message = message_without_frames(suite, policy_of(suite), plaintext_of(length))

    assert plaintext_of(length) == peer.decrypt(message, suite, keyring=peer_keyring)


# --- streams ---------------------------------------------------------------------------------------------------------


@each_suite
def test_the_peer_s_stream_reads_ours(suite, peer, peer_keyring, client_for):
    file = io.BytesIO()
    with client_for(suite).open(file, "w") as writer:
        for _ in range(10):
            writer.write(plaintext_of(100))
    file.seek(0)

    with peer.client(suite).stream(mode="d", source=file, keyring=peer_keyring) as stream:
        plaintext = b"".join(iter(lambda: stream.read(77), b""))

    assert plaintext_of(100) * 10 == plaintext


@unsigned_suites
def test_the_peer_s_decrypt_unsigned_mode_reads_our_unsigned_messages(suite, peer, peer_keyring, client_for):
    message = client_for(suite).encrypt(plaintext_of(1000)).ciphertext

    with peer.client(suite).stream(mode="decrypt-unsigned", source=message, keyring=peer_keyring) as stream:
        assert plaintext_of(1000) == stream.read()


@signed_suites
def test_the_peer_s_decrypt_unsigned_mode_refuses_our_signed_messages(suite, peer, peer_keyring, client_for):
    message = client_for(suite).encrypt(plaintext_of(1000)).ciphertext

    with pytest.raises(peer.sdk.exceptions.ActionNotAllowedError):
        peer.client(suite).stream(mode="decrypt-unsigned", source=message, keyring=peer_keyring).read()


@each_suite
def test_our_reader_reads_the_peer_s_stream(suite, peer, peer_keyring, client_for):
    source = io.BytesIO(plaintext_of(3 * FRAME))
    algorithm = peer.sdk.Algorithm[suite.name]
    stream = peer.client(suite).stream(
        mode="e", source=source, keyring=peer_keyring, algorithm=algorithm, frame_length=FRAME
    )
    message = b"".join(iter(lambda: stream.read(99), b""))

    with client_for(suite).open(io.BytesIO(message), release_unverified_plaintext=True) as reader:
        assert plaintext_of(3 * FRAME) == reader.read()
