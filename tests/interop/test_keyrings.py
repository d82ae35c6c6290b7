"""Every raw keyring, alone and with others, against the peer's keyrings and its older master key providers."""

from __future__ import annotations

import itertools

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring, RawRsaKeyring, RsaPadding

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both"
AES_KEYS = {bits: bytes(range(bits // 8)) for bits in (128, 192, 256)}
CONTEXTS = {"no-context": {}, "context": {"purpose": "interop", "tenant": "42"}}
NAMES = {
    "ascii": ("interop", "aes"),
    "latin": ("dépôt", "clé"),
    "cyrillic": ("склад", "ключ № 1"),
    "emoji": ("vault 🗄️", "key 🔑"),
    "prefix-of-another": ("interop", "ae"),
}

each_aes_size = pytest.mark.parametrize("bits", AES_KEYS)
each_padding = pytest.mark.parametrize("padding", RsaPadding, ids=lambda padding: padding.value)
each_context = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())


@each_aes_size
@each_context
def test_the_peer_s_aes_keyring_opens_ours(bits, context, peer):
    message = Client(RawAesKeyring("interop", "aes", AES_KEYS[bits])).encrypt(PLAINTEXT, encryption_context=context)

    assert peer.decrypt(message.ciphertext, keyring=peer.aes_keyring(AES_KEYS[bits])) == PLAINTEXT


@each_aes_size
@each_context
def test_our_aes_keyring_opens_the_peer_s(bits, context, peer):
    message = peer.encrypt(PLAINTEXT, context=context, keyring=peer.aes_keyring(AES_KEYS[bits]))

    assert Client(RawAesKeyring("interop", "aes", AES_KEYS[bits])).decrypt(message).plaintext == PLAINTEXT


@each_padding
@each_context
def test_the_peer_s_rsa_keyring_opens_ours(padding, context, peer, rsa_pair):
    keyring = RawRsaKeyring("interop", "rsa", padding, public_key=rsa_pair.public)
    message = Client(keyring).encrypt(PLAINTEXT, encryption_context=context).ciphertext

    theirs = peer.rsa_keyring(padding.value, private_key=rsa_pair.private)

    assert peer.decrypt(message, keyring=theirs) == PLAINTEXT


@each_padding
@each_context
def test_our_rsa_keyring_opens_the_peer_s(padding, context, peer, rsa_pair):
    theirs = peer.rsa_keyring(padding.value, public_key=rsa_pair.public)
    message = peer.encrypt(PLAINTEXT, context=context, keyring=theirs)

    keyring = RawRsaKeyring("interop", "rsa", padding, private_key=rsa_pair.private)

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


@pytest.mark.parametrize(("namespace", "name"), NAMES.values(), ids=NAMES.keys())
def test_key_names_beyond_ascii_mean_the_same_to_both(namespace, name, peer):
    ours = Client(RawAesKeyring(namespace, name, AES_KEYS[256]))
    theirs = peer.aes_keyring(AES_KEYS[256], name, namespace)

    assert peer.decrypt(ours.encrypt(PLAINTEXT).ciphertext, keyring=theirs) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, keyring=theirs)).plaintext == PLAINTEXT


# --- several keyrings ------------------------------------------------------------------------------------------------


def our_keyrings(rsa_pair):
    return {
        "aes": RawAesKeyring("interop", "aes", AES_KEYS[256]),
        "small-aes": RawAesKeyring("interop", "small aes", AES_KEYS[128]),
        "rsa": RawRsaKeyring(
            "interop", "rsa", RsaPadding.OAEP_SHA256, public_key=rsa_pair.public, private_key=rsa_pair.private
        ),
    }


def peer_keyrings(peer, rsa_pair):
    return {
        "aes": peer.aes_keyring(AES_KEYS[256]),
        "small-aes": peer.aes_keyring(AES_KEYS[128], "small aes"),
        "rsa": peer.rsa_keyring("OAEP_SHA256", public_key=rsa_pair.public, private_key=rsa_pair.private),
    }


ORDERS = list(itertools.permutations(("aes", "small-aes", "rsa")))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_each_of_the_peer_s_keyrings_alone_opens_our_multi_keyring_s_message(order, peer, rsa_pair):
    ours = our_keyrings(rsa_pair)
    generator, *children = (ours[name] for name in order)
    message = Client(MultiKeyring(generator, children)).encrypt(PLAINTEXT).ciphertext

    for keyring in peer_keyrings(peer, rsa_pair).values():
        assert peer.decrypt(message, keyring=keyring) == PLAINTEXT


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_each_of_our_keyrings_alone_opens_the_peer_s_multi_keyring_s_message(order, peer, rsa_pair):
    theirs = peer_keyrings(peer, rsa_pair)
    generator, *children = (theirs[name] for name in order)
    message = peer.encrypt(PLAINTEXT, keyring=peer.multi_keyring(generator, children))

    for keyring in our_keyrings(rsa_pair).values():
        assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


def test_neither_opens_a_message_for_another_key(peer):
    ours = Client(RawAesKeyring("interop", "aes", bytes(32)))
    theirs = peer.aes_keyring(AES_KEYS[256])

    with pytest.raises(NoMatchingKeyError):
        ours.decrypt(peer.encrypt(PLAINTEXT, keyring=theirs))
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(ours.encrypt(PLAINTEXT).ciphertext, keyring=theirs)


# --- master key providers --------------------------------------------------------------------------------------------

LEGACY_RSA = {
    RsaPadding.PKCS1: "RSA_PKCS1",
    RsaPadding.OAEP_SHA1: "RSA_OAEP_SHA1_MGF1",
    RsaPadding.OAEP_SHA256: "RSA_OAEP_SHA256_MGF1",
    RsaPadding.OAEP_SHA384: "RSA_OAEP_SHA384_MGF1",
    RsaPadding.OAEP_SHA512: "RSA_OAEP_SHA512_MGF1",
}


@each_aes_size
@each_context
def test_the_peer_s_aes_key_provider_and_we_read_each_other(bits, context, peer):
    ours = Client(RawAesKeyring("interop", "aes", AES_KEYS[bits]))
    provider = peer.legacy_provider(AES_KEYS[bits], algorithm=f"AES_{bits}_GCM_IV12_TAG16_NO_PADDING")

    message = ours.encrypt(PLAINTEXT, encryption_context=context).ciphertext

    assert peer.decrypt(message, key_provider=provider) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, context=context, key_provider=provider)).plaintext == PLAINTEXT


@each_padding
def test_the_peer_s_rsa_key_provider_and_we_read_each_other(padding, peer, rsa_pair):
    ours = Client(RawRsaKeyring("interop", "rsa", padding, public_key=rsa_pair.public, private_key=rsa_pair.private))
    reading = peer.legacy_provider(rsa_pair.private, "rsa", algorithm=LEGACY_RSA[padding], key_type="PRIVATE")
    writing = peer.legacy_provider(rsa_pair.public, "rsa", algorithm=LEGACY_RSA[padding], key_type="PUBLIC")

    assert peer.decrypt(ours.encrypt(PLAINTEXT).ciphertext, key_provider=reading) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, key_provider=writing)).plaintext == PLAINTEXT
