"""ECDH keyrings of both sides, raw and over one KMS with real key agreement (mocks of AWS have none)."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from testkit.asymmetric_kms import CURVES, AsymmetricKms

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.keyrings import KmsEcdhKeyring, MultiKeyring, RawAesKeyring, RawEcdhKeyring

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both"
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}
CONTEXTS = {"no-context": {}, "context": CONTEXT}
SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
    AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256,
]
each_spec = pytest.mark.parametrize("spec", CURVES)
each_context = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
each_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")


@cache
def key_of(_name, spec):
    return ec.generate_private_key(CURVES[spec])


def private_of(name, spec):
    return key_of(name, spec).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_of(name, spec):
    return key_of(name, spec).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class PeerEcdh:
    """The peer's ECDH keyrings."""

    def __init__(self, peer):
        self._mpl = peer.mpl
        self._models = peer.models

    def static(self, mine, other, spec):
        models = self._models
        return self._raw(
            models.RawEcdhStaticConfigurationsRawPrivateKeyToStaticPublicKey(
                models.RawPrivateKeyToStaticPublicKeyInput(
                    sender_static_private_key=private_of(mine, spec), recipient_public_key=public_of(other, spec)
                )
            ),
            spec,
        )

    def ephemeral(self, recipient, spec):
        models = self._models
        return self._raw(
            models.RawEcdhStaticConfigurationsEphemeralPrivateKeyToStaticPublicKey(
                models.EphemeralPrivateKeyToStaticPublicKeyInput(recipient_public_key=recipient)
            ),
            spec,
        )

    def discovery(self, mine, spec):
        models = self._models
        return self._raw(
            models.RawEcdhStaticConfigurationsPublicKeyDiscovery(
                models.PublicKeyDiscoveryInput(recipient_static_private_key=private_of(mine, spec))
            ),
            spec,
        )

    def kms_static(self, kms, key, recipient, spec, sender=None):
        models = self._models
        return self._kms(
            kms,
            models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
                models.KmsPrivateKeyToStaticPublicKeyInput(
                    sender_kms_identifier=key, recipient_public_key=recipient, sender_public_key=sender
                )
            ),
            spec,
        )

    def kms_discovery(self, kms, key, spec):
        models = self._models
        return self._kms(
            kms,
            models.KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
                models.KmsPublicKeyDiscoveryInput(recipient_kms_identifier=key)
            ),
            spec,
        )

    def _raw(self, scheme, spec):
        return self._mpl.create_raw_ecdh_keyring(
            self._models.CreateRawEcdhKeyringInput(key_agreement_scheme=scheme, curve_spec=spec)
        )

    def _kms(self, kms, scheme, spec):
        return self._mpl.create_aws_kms_ecdh_keyring(
            self._models.CreateAwsKmsEcdhKeyringInput(key_agreement_scheme=scheme, curve_spec=spec, kms_client=kms)
        )


@pytest.fixture
def theirs(peer):
    return PeerEcdh(peer)


@pytest.fixture
def kms():
    return AsymmetricKms()


@pytest.fixture
def key(kms, spec):
    return kms.create_key(KeySpec=spec, KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]


def our_static(mine, other, spec):
    return RawEcdhKeyring.static(private_of(mine, spec), public_of(other, spec))


def our_discovery(mine, spec):
    return RawEcdhKeyring.discovery(private_of(mine, spec))


# --- raw -------------------------------------------------------------------------------------------------------------


@each_spec
@each_context
@pytest.mark.parametrize("scheme", ["static", "ephemeral"])
def test_the_peer_s_discovery_opens_ours(scheme, context, spec, peer, theirs):
    ephemeral = RawEcdhKeyring.ephemeral(public_of("bob", spec))
    ours = {"static": our_static("alice", "bob", spec), "ephemeral": ephemeral}[scheme]
    message = Client(ours).encrypt(PLAINTEXT, encryption_context=context).ciphertext

    assert peer.decrypt(message, keyring=theirs.discovery("bob", spec)) == PLAINTEXT


@each_spec
@each_context
@pytest.mark.parametrize("scheme", ["static", "ephemeral"])
def test_our_discovery_opens_the_peer_s(scheme, context, spec, peer, theirs):
    ephemeral = theirs.ephemeral(public_of("bob", spec), spec)
    keyring = {"static": theirs.static("alice", "bob", spec), "ephemeral": ephemeral}[scheme]
    message = peer.encrypt(PLAINTEXT, context=context, keyring=keyring)

    assert Client(our_discovery("bob", spec)).decrypt(message).plaintext == PLAINTEXT


@each_spec
@pytest.mark.parametrize("writer", ["alice", "bob"])
@pytest.mark.parametrize("reader", ["alice", "bob"])
def test_static_parties_of_both_sides_open_what_either_wrote(writer, reader, spec, peer, theirs):
    other = {"alice": "bob", "bob": "alice"}
    ours = Client(our_static(writer, other[writer], spec)).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    peers = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=theirs.static(writer, other[writer], spec))

    assert peer.decrypt(ours, keyring=theirs.static(reader, other[reader], spec)) == PLAINTEXT
    assert Client(our_static(reader, other[reader], spec)).decrypt(peers).plaintext == PLAINTEXT


@each_suite
def test_every_kind_of_suite_goes_both_ways(suite, peer, policy_of, theirs):
    spec = "ECC_NIST_P384"
    writer = Client(our_static("alice", "bob", spec), commitment_policy=policy_of(suite), algorithm_suite=suite)
    reader = Client(our_discovery("bob", spec), commitment_policy=policy_of(suite))

    ours = writer.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    peers = peer.encrypt(PLAINTEXT, suite, context=CONTEXT, keyring=theirs.static("alice", "bob", spec))

    assert peer.decrypt(ours, suite, keyring=theirs.discovery("bob", spec)) == PLAINTEXT
    assert reader.decrypt(peers).plaintext == PLAINTEXT


@each_spec
def test_neither_opens_a_message_for_another_key(spec, peer, theirs):
    with pytest.raises(NoMatchingKeyError):
        Client(our_discovery("eve", spec)).decrypt(
            peer.encrypt(PLAINTEXT, keyring=theirs.ephemeral(public_of("bob", spec), spec))
        )
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(
            Client(RawEcdhKeyring.ephemeral(public_of("bob", spec))).encrypt(PLAINTEXT).ciphertext,
            keyring=theirs.discovery("eve", spec),
        )


def test_children_of_multi_keyrings_open_on_the_other_side(peer, theirs):
    spec = "ECC_NIST_P256"
    raw, ephemeral = RawAesKeyring("interop", "aes", bytes(32)), RawEcdhKeyring.ephemeral(public_of("bob", spec))
    ours = Client(MultiKeyring(raw, [ephemeral])).encrypt(PLAINTEXT).ciphertext
    multi = peer.multi_keyring(peer.aes_keyring(bytes(32)), [theirs.ephemeral(public_of("bob", spec), spec)])

    assert peer.decrypt(ours, keyring=theirs.discovery("bob", spec)) == PLAINTEXT
    assert Client(our_discovery("bob", spec)).decrypt(peer.encrypt(PLAINTEXT, keyring=multi)).plaintext == PLAINTEXT


# --- over a KMS ------------------------------------------------------------------------------------------------------


@each_spec
@each_context
@pytest.mark.parametrize("given", [True, False], ids=["public-key-given", "public-key-fetched"])
def test_kms_keys_of_both_sides_write_for_each_other_s_partner(given, context, spec, peer, theirs, kms, key):
    sender, partner = kms.public_key(key) if given else None, public_of("bob", spec)
    client = Client(KmsEcdhKeyring.static(kms, key, partner, sender_public_key=sender))
    ours = client.encrypt(PLAINTEXT, encryption_context=context).ciphertext
    peers = peer.encrypt(PLAINTEXT, context=context, keyring=theirs.kms_static(kms, key, partner, spec, sender))

    assert peer.decrypt(ours, keyring=theirs.discovery("bob", spec)) == PLAINTEXT
    assert peer.decrypt(ours, keyring=theirs.kms_static(kms, key, partner, spec, sender)) == PLAINTEXT
    assert Client(our_discovery("bob", spec)).decrypt(peers).plaintext == PLAINTEXT
    assert client.decrypt(peers).plaintext == PLAINTEXT


@each_spec
def test_kms_discovery_of_both_sides_opens_what_the_other_wrapped_for_the_kms_key(spec, peer, theirs, kms, key):
    public = kms.public_key(key)
    ours = [
        Client(keyring).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
        for keyring in (
            RawEcdhKeyring.ephemeral(public),
            RawEcdhKeyring.static(private_of("alice", spec), public),
        )
    ]
    peers = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=theirs.ephemeral(public, spec))

    for message in ours:
        assert peer.decrypt(message, keyring=theirs.kms_discovery(kms, key, spec)) == PLAINTEXT
    assert Client(KmsEcdhKeyring.discovery(kms, key)).decrypt(peers).plaintext == PLAINTEXT


@each_spec
def test_two_kms_keys_correspond_across_the_sides_in_either_role(spec, peer, theirs, kms, key):
    other = kms.create_key(KeySpec=spec, KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    pairs = [(key, other), (other, key)]

    for (mine, partner), (reader, reader_s_partner) in itertools.product(pairs, pairs):
        writing = KmsEcdhKeyring.static(kms, mine, kms.public_key(partner))
        reading = theirs.kms_static(kms, reader, kms.public_key(reader_s_partner), spec)
        ours = Client(writing).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
        peers = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=reading)

        assert peer.decrypt(ours, keyring=reading) == PLAINTEXT
        assert Client(writing).decrypt(peers).plaintext == PLAINTEXT
