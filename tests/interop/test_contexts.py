"""Encryption contexts: text beyond ASCII, its order on the wire, and pairs that are left out of the message."""

from __future__ import annotations

import io

import pytest

import envelope_sdk
from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    EncryptionContextError,
    EnvelopeError,
    NoMatchingKeyError,
)
from envelope_sdk.keyrings import RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.managers import RequiredContextMaterialsManager

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

KEY = bytes(range(32))
PLAINTEXT = b"the same to both"
SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
UNSIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
NO_KDF = AlgorithmSuite.AES_256_GCM_IV12_TAG16
V1_UNSIGNED = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
V1_SIGNED = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384
V1_SIGNED_P256 = AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256_ECDSA_P256

CONTEXTS = {
    "empty-texts": {"": "", "empty value": ""},
    "latin-and-greek": {"größe": "ñandú", "ωμέγα": "Ω"},
    "beyond-the-basic-plane": {"😀": "🔑", "𐐀𐐁": "𐐨"},
    # UTF-16 sorts the second before the first, UTF-8 bytes and code points after it.
    "order-of-utf8-not-utf16": {"\uffee": "halfwidth", "\U0001f600": "emoji"},
    "order-of-bytes-not-locale": {"a": "1", "B": "2", "Z": "3", "ä": "4", "_": "5"},
    "prefixes": {"a": "1", "aa": "2", "a\x00": "3", "aaa": "4"},
    "composed-and-decomposed": {"é": "composed", "e\u0301": "decomposed"},
    "controls-and-separators": {"line\nbreak": "tab\there", "nul\x00": "=,;"},
    "long": {"key": "v" * 60_000},
    # The peer recurses for each pair, and gives up before 1,000.
    "many": {f"key {number}": str(number) for number in range(200)},
}
REQUIRED = {"tenant": "42", "größe": "ñandú 😀"}
STORED = {"purpose": "interop"}

each_context = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
each_suite = pytest.mark.parametrize(
    "suite",
    [UNSIGNED, SIGNED, NO_KDF, V1_UNSIGNED, V1_SIGNED, V1_SIGNED_P256],
    ids=lambda suite: f"{suite.suite_id:04x}",
)


@pytest.fixture(scope="module")
def peer_keyring(peer):
    return peer.aes_keyring(KEY)


@pytest.fixture
def client_for(policy_of):
    def make(suite=UNSIGNED, *, required=()):
        keyring = RawAesKeyring("interop", "aes", KEY)
        policy = policy_of(suite)
        if not required:
            return Client(keyring, commitment_policy=policy, algorithm_suite=suite)
        manager = RequiredContextMaterialsManager(keyring, required)
        return Client(materials_manager=manager, commitment_policy=policy, algorithm_suite=suite, frame_length=128)

    return make


@each_context
@pytest.mark.parametrize("suite", [UNSIGNED, SIGNED], ids=lambda suite: f"{suite.suite_id:04x}")
def test_the_peer_reads_our_contexts(context, suite, peer, peer_keyring, client_for):
    message = client_for(suite).encrypt(PLAINTEXT, encryption_context=context).ciphertext

    plaintext, header = peer.client(suite).decrypt(source=message, keyring=peer_keyring)

    assert plaintext == PLAINTEXT
    assert context == {key: header.encryption_context[key] for key in context}


@each_context
@pytest.mark.parametrize("suite", [UNSIGNED, SIGNED], ids=lambda suite: f"{suite.suite_id:04x}")
def test_we_read_the_peer_s_contexts(context, suite, peer, peer_keyring, client_for):
    message = peer.encrypt(PLAINTEXT, suite, context=context, keyring=peer_keyring)

    result = client_for(suite).decrypt(message)

    assert result.plaintext == PLAINTEXT
    assert context == {key: result.header.encryption_context[key] for key in context}


@each_context
def test_both_write_a_context_in_the_same_bytes(context, peer, peer_keyring, client_for):
    ours = client_for().encrypt(b"", encryption_context=context)
    theirs = peer.encrypt(b"", context=context, keyring=peer_keyring)

    field = ours.header.encryption_context.encode()
    start = 1 + 2 + 32

    assert ours.ciphertext[start : start + len(field)] == field
    assert theirs[start : start + len(field)] == field


# --- pairs that are authenticated but not stored ---------------------------------------------------------------------


@each_suite
def test_we_read_a_message_whose_pairs_the_peer_left_out(suite, peer, peer_keyring, client_for):
    manager = peer.required_context_manager(peer_keyring, REQUIRED)
    message = peer.encrypt(PLAINTEXT, suite, context=STORED | REQUIRED, materials_manager=manager)

    for client in (client_for(suite), client_for(suite, required=REQUIRED), client_for(suite, required=["tenant"])):
        result = client.decrypt(message, encryption_context=REQUIRED, required_context_keys=REQUIRED)

        assert result.plaintext == PLAINTEXT
        assert dict(result.header.encryption_context).items() >= (STORED | REQUIRED).items()
    assert "ñandú".encode() not in message


@each_suite
def test_we_read_in_a_stream_a_message_whose_pairs_the_peer_left_out(suite, peer, peer_keyring, client_for):
    manager = peer.required_context_manager(peer_keyring, REQUIRED)
    plaintext = PLAINTEXT * 100
    message = peer.encrypt(plaintext, suite, context=STORED | REQUIRED, materials_manager=manager, frame_length=128)

    with envelope_sdk.open(
        io.BytesIO(message),
        client=client_for(suite, required=REQUIRED),
        encryption_context=REQUIRED,
        release_unverified_plaintext=suite.signed,
    ) as reader:
        assert reader.read() == plaintext


@each_suite
def test_the_peer_reads_a_streamed_message_whose_pairs_we_left_out(suite, peer, peer_keyring, client_for):
    file, plaintext = io.BytesIO(), PLAINTEXT * 100
    client = client_for(suite, required=REQUIRED)
    with envelope_sdk.open(file, "wb", client=client, encryption_context=STORED | REQUIRED) as writer:
        for start in range(0, len(plaintext), 100):
            writer.write(plaintext[start : start + 100])
    manager = peer.required_context_manager(peer_keyring, REQUIRED)

    with peer.client(suite).stream(
        mode="d", source=file.getvalue(), materials_manager=manager, encryption_context=REQUIRED
    ) as reader:
        assert reader.read() == plaintext


def test_neither_manager_reads_without_a_pair_it_requires(peer, peer_keyring, client_for):
    client = client_for(required=REQUIRED)
    manager = peer.required_context_manager(peer_keyring, REQUIRED)
    ours = client.encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext
    theirs = peer.encrypt(PLAINTEXT, context=STORED | REQUIRED, materials_manager=manager)

    for message in (ours, theirs):
        with pytest.raises(ContextMismatchError):
            client.decrypt(message, encryption_context={"tenant": "42"})
        with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
            peer.decrypt(message, materials_manager=manager, encryption_context={"tenant": "42"})


def test_neither_manager_writes_without_a_pair_it_requires(peer, peer_keyring, client_for):
    manager = peer.required_context_manager(peer_keyring, REQUIRED)

    with pytest.raises(EncryptionContextError):
        client_for(required=REQUIRED).encrypt(PLAINTEXT, encryption_context={"tenant": "42"})
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.encrypt(PLAINTEXT, context={"tenant": "42"}, materials_manager=manager)


@each_suite
def test_nested_managers_are_one_to_the_peer(suite, peer, policy_of, peer_keyring):
    inner = RequiredContextMaterialsManager(RawAesKeyring("interop", "aes", KEY), ["tenant"])
    nested = RequiredContextMaterialsManager(inner, ["größe"])
    client = Client(materials_manager=nested, commitment_policy=policy_of(suite), algorithm_suite=suite)
    message = client.encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext
    manager = peer.required_context_manager(peer_keyring, REQUIRED)

    assert peer.decrypt(message, suite, materials_manager=manager, encryption_context=REQUIRED) == PLAINTEXT


@each_suite
def test_the_peer_reads_a_message_whose_pairs_we_left_out(suite, peer, peer_keyring, client_for):
    client = client_for(suite, required=REQUIRED)
    message = client.encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext
    manager = peer.required_context_manager(peer_keyring, REQUIRED)

    assert peer.decrypt(message, suite, materials_manager=manager, encryption_context=REQUIRED) == PLAINTEXT
    assert peer.decrypt(message, suite, keyring=peer_keyring, encryption_context=REQUIRED) == PLAINTEXT
    assert "ñandú".encode() not in message


@each_suite
def test_both_read_a_message_that_stores_no_pair_at_all(suite, peer, peer_keyring, client_for):
    ours = client_for(suite, required=REQUIRED).encrypt(PLAINTEXT, encryption_context=REQUIRED).ciphertext
    manager = peer.required_context_manager(peer_keyring, REQUIRED)
    theirs = peer.encrypt(PLAINTEXT, suite, context=REQUIRED, materials_manager=manager)

    assert peer.decrypt(ours, suite, keyring=peer_keyring, encryption_context=REQUIRED) == PLAINTEXT
    assert client_for(suite).decrypt(theirs, encryption_context=REQUIRED).plaintext == PLAINTEXT


@pytest.mark.parametrize(
    "reproduced",
    [{}, {"tenant": "42"}, REQUIRED | {"tenant": "43"}, REQUIRED | {"more": "than was there"}],
    ids=["none", "not-all", "another-value", "one-too-many"],
)
def test_neither_reads_it_with_other_pairs(reproduced, peer, peer_keyring, client_for):
    manager = peer.required_context_manager(peer_keyring, REQUIRED)
    message = peer.encrypt(PLAINTEXT, context=STORED | REQUIRED, materials_manager=manager)

    with pytest.raises(NoMatchingKeyError):
        client_for().decrypt(message, encryption_context=reproduced)
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(message, keyring=peer_keyring, encryption_context=reproduced)


def test_the_header_s_tag_binds_pairs_that_the_keyring_does_not(peer, rsa_pair):
    theirs = peer.rsa_keyring("OAEP_SHA256", public_key=rsa_pair.public, private_key=rsa_pair.private)
    manager = peer.required_context_manager(theirs, REQUIRED)
    message = peer.encrypt(PLAINTEXT, context=STORED | REQUIRED, materials_manager=manager)
    client = Client(RawRsaKeyring("interop", "rsa", RsaPadding.OAEP_SHA256, private_key=rsa_pair.private))

    assert client.decrypt(message, encryption_context=REQUIRED).plaintext == PLAINTEXT
    with pytest.raises(AuthenticationError):
        client.decrypt(message)
    with pytest.raises(AuthenticationError):
        client.decrypt(message, encryption_context=REQUIRED | {"tenant": "43"})


def test_both_refuse_another_value_of_a_stored_pair(peer, peer_keyring, client_for):
    message = client_for().encrypt(PLAINTEXT, encryption_context=STORED).ciphertext

    with pytest.raises(ContextMismatchError):
        client_for().decrypt(message, encryption_context={"purpose": "another"})
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(message, keyring=peer_keyring, encryption_context={"purpose": "another"})


def test_a_context_of_the_greatest_length_passes_both_ways(peer, peer_keyring, client_for):
    context = {"k": "v" * (65_535 - 2 - 4 - 1)}
    ours = client_for().encrypt(PLAINTEXT, encryption_context=context).ciphertext

    assert peer.decrypt(ours, keyring=peer_keyring) == PLAINTEXT
    assert client_for().decrypt(peer.encrypt(PLAINTEXT, context=context, keyring=peer_keyring)).plaintext == PLAINTEXT


def test_both_refuse_to_write_a_context_one_byte_longer(peer, peer_keyring, client_for):
    context = {"k": "v" * (65_535 - 2 - 4)}

    with pytest.raises(EnvelopeError):
        client_for().encrypt(PLAINTEXT, encryption_context=context)
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.encrypt(PLAINTEXT, context=context, keyring=peer_keyring)
