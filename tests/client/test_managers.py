"""Materials managers of one's own, and those that are not to be trusted."""

from __future__ import annotations

import pytest
from testkit.keyrings import StaticDataKeyring
from testkit.materials import changed

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    CommitmentError,
    CommitmentPolicyError,
    EnvelopeError,
    KeyringError,
    LimitExceededError,
    NoMatchingKeyError,
    SignatureError,
    UsageError,
)
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.materials import EncryptionRequest, Keyring, MaterialsManager
from envelope_sdk.primitives.signing import SigningKey

SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384


class Recording:
    """A manager that changes materials on their way, and keeps the requests."""

    def __init__(self, keyring, *, encrypt=lambda materials: materials, decrypt=lambda materials: materials):
        self._inner = DefaultMaterialsManager(keyring)
        self._encrypt = encrypt
        self._decrypt = decrypt
        self.requests = []

    def get_encryption_materials(self, request):
        self.requests.append(request)
        return self._encrypt(self._inner.get_encryption_materials(request))

    def decrypt_materials(self, request):
        self.requests.append(request)
        return self._decrypt(self._inner.decrypt_materials(request))


def test_a_client_gets_its_materials_from_its_manager(keyring):
    manager = Recording(keyring)
    client = Client(materials_manager=manager)

    message = client.encrypt(b"plaintext", encryption_context={"purpose": "test"})
    result = client.decrypt(message.ciphertext, encryption_context={"purpose": "test"})

    assert result.plaintext == b"plaintext"
    encryption, decryption = manager.requests
    assert encryption.plaintext_length == 9
    assert encryption.algorithm_suite is AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
    assert encryption.commitment_policy is CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    assert encryption.encryption_context == {"purpose": "test"}
    assert decryption.encrypted_data_keys == message.header.encrypted_data_keys
    assert decryption.encryption_context == {"purpose": "test"}
    assert decryption.reproduced_encryption_context == {"purpose": "test"}


def test_a_stream_of_unknown_length_tells_its_manager_so(keyring):
    manager = Recording(keyring)
    Client(materials_manager=manager).encryptor()

    assert manager.requests[0].plaintext_length is None


def test_a_manager_may_add_to_the_context(keyring):
    keyring_sees = []

    class Adds:
        def __init__(self):
            self._inner = DefaultMaterialsManager(keyring)

        def get_encryption_materials(self, request):
            context = request.encryption_context.merged({"added": "by the manager"})
            return self._inner.get_encryption_materials(request._replace(encryption_context=context))

        def decrypt_materials(self, request):
            keyring_sees.append(dict(request.encryption_context))
            return self._inner.decrypt_materials(request)

    client = Client(materials_manager=Adds())
    message = client.encrypt(b"", encryption_context={"purpose": "test"}).ciphertext

    assert client.decrypt(message).header.encryption_context == {"purpose": "test", "added": "by the manager"}
    assert keyring_sees == [{"purpose": "test", "added": "by the manager"}]


def test_pairs_that_a_manager_does_not_store_are_authenticated_all_the_same(keyring):
    manager = Recording(
        keyring, encrypt=lambda materials: changed(materials, required_encryption_context_keys=frozenset({"tenant"}))
    )
    client = Client(materials_manager=manager)
    context = {"purpose": "test", "tenant": "42"}

    encrypted = client.encrypt(b"plaintext", encryption_context=context)

    assert encrypted.header.encryption_context == context
    assert b"tenant" not in encrypted.ciphertext
    result = client.decrypt(encrypted.ciphertext, encryption_context={"tenant": "42"}, required_context_keys=context)
    assert result.plaintext == b"plaintext"
    assert result.header.encryption_context == context
    for wrong in ({}, {"tenant": "43"}):
        with pytest.raises(NoMatchingKeyError):
            client.decrypt(encrypted.ciphertext, encryption_context=wrong)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "pairs that it does not store: give them as encryption_context"),
        ({"tenant": "43"}, "not encrypted with just these values of the context keys 'tenant', which"),
        ({"tenant": "42", "b": "c"}, "not encrypted with just these values of the context keys 'b', 'tenant', which"),
    ],
    ids=["none", "another value", "one more"],
)
def test_wrong_pairs_that_only_the_header_binds_are_told(given, reason):
    manager = Recording(
        StaticDataKeyring(bytes(32)),
        encrypt=lambda materials: changed(materials, required_encryption_context_keys=frozenset({"tenant"})),
    )
    client = Client(materials_manager=manager)
    message = client.encrypt(b"plaintext", encryption_context={"tenant": "42"}).ciphertext

    with pytest.raises(AuthenticationError, match=reason) as error:
        client.decrypt(message, encryption_context=given)

    assert error.value.section == "header"
    assert client.decrypt(message, encryption_context={"tenant": "42"}).plaintext == b"plaintext"


# --- managers that go wrong ------------------------------------------------------------------------------------------


def made_for(suite, keyring):
    """Return a change that puts materials of ``suite`` in the place of those asked for."""
    policy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    if not suite.committing:
        policy = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    request = EncryptionRequest(EncryptionContext(), policy, suite)
    return lambda _: DefaultMaterialsManager(keyring).get_encryption_materials(request)


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: suite.name)
def test_encryption_materials_of_another_suite_are_refused(suite, keyring):
    client = Client(materials_manager=Recording(keyring, encrypt=made_for(suite, keyring)), sign=True)
    if suite is SIGNED:
        client.encrypt(b"")
        return
    with pytest.raises((KeyringError, CommitmentPolicyError), match=suite.name):
        client.encrypt(b"")


def test_a_client_that_signs_is_never_given_an_unsigned_message(keyring):
    unsigned = made_for(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, keyring)
    client = Client(materials_manager=Recording(keyring, encrypt=unsigned), sign=True)
    with pytest.raises(KeyringError, match="where AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384 was asked for"):
        client.encrypt(b"")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"plaintext_data_key": None}, KeyringError),
        ({"plaintext_data_key": bytes(16)}, KeyringError),
        ({"plaintext_data_key": b""}, KeyringError),
        ({"encrypted_data_keys": ()}, KeyringError),
        ({"encrypted_data_keys": (EncryptedDataKey("p", b"i", b"c"),) * 101}, LimitExceededError),
        ({"encrypted_data_keys": (EncryptedDataKey("p", bytes(65_536), b"c"),)}, UsageError),
    ],
    ids=["no-key", "short-key", "empty-key", "no-wrapped-keys", "too-many-wrapped-keys", "wrapped-key-too-long"],
)
def test_incomplete_encryption_materials_are_refused(changes, error, keyring):
    manager = Recording(keyring, encrypt=lambda materials: changed(materials, **changes))
    with pytest.raises(error):
        Client(materials_manager=manager).encrypt(b"")


def test_signed_encryption_materials_without_a_signing_key_are_refused(keyring):
    manager = Recording(keyring, encrypt=lambda materials: changed(materials, signing_key=None))
    with pytest.raises(EnvelopeError, match="signing key"):
        Client(materials_manager=manager, sign=True).encrypt(b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"required_encryption_context_keys": frozenset({PUBLIC_KEY_FIELD})},
        {"encryption_context": EncryptionContext()},
        {"encryption_context": EncryptionContext({PUBLIC_KEY_FIELD: "A" * 68})},
        {"signing_key": SigningKey.generate(SIGNED.signature)},
    ],
    ids=["not stored", "missing", "another", "another signing key"],
)
def test_a_signed_message_whose_readers_would_not_find_its_public_key_is_not_written(changes, keyring):
    manager = Recording(keyring, encrypt=lambda materials: changed(materials, **changes))

    with pytest.raises(KeyringError, match="does not store their signing key's public half"):
        Client(materials_manager=manager, sign=True).encrypt(b"")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"plaintext_data_key": None}, KeyringError),
        ({"plaintext_data_key": bytes(16)}, KeyringError),
        ({"plaintext_data_key": bytes(32)}, CommitmentError),
        ({"algorithm_suite": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY}, KeyringError),
        ({"verification_key": None}, SignatureError),
        ({"verification_key": "another"}, SignatureError),
    ],
    ids=["no-key", "short-key", "another-key", "another-suite", "no-verification-key", "another-verification-key"],
)
def test_wrong_decryption_materials_are_refused(changes, error, keyring):
    message = Client(keyring, sign=True).encrypt(b"plaintext").ciphertext
    if changes.get("verification_key"):
        changes = {"verification_key": verification_key_of_another_message()}
    manager = Recording(keyring, decrypt=lambda materials: changed(materials, **changes))
    with pytest.raises(error):
        Client(materials_manager=manager).decrypt(message)


def verification_key_of_another_message():
    from envelope_sdk.primitives.signing import VerificationKey

    return VerificationKey(SIGNED.signature, SigningKey.generate(SIGNED.signature).encoded_public_key)


def test_materials_of_another_message_open_nothing(keyring):
    client = Client(keyring)
    first, second = client.encrypt(b"first").ciphertext, client.encrypt(b"second").ciphertext
    kept = []
    Client(materials_manager=Recording(keyring, decrypt=lambda found: kept.append(found) or found)).decrypt(first)

    with pytest.raises(CommitmentError):
        Client(materials_manager=Recording(keyring, decrypt=lambda _: kept[0])).decrypt(second)


def test_what_a_manager_raises_is_raised_as_it_is(keyring):
    class Broken(Exception):
        pass

    def fail(_):
        raise Broken

    client = Client(materials_manager=Recording(keyring, encrypt=fail, decrypt=fail))
    with pytest.raises(Broken):
        client.encrypt(b"")
    with pytest.raises(Broken):
        client.decrypt(Client(keyring).encrypt(b"").ciphertext)


def test_a_keyring_that_wraps_nothing_is_refused():
    class Lazy:
        def on_encrypt(self, materials):
            return materials

        def on_decrypt(self, materials, encrypted_data_keys):
            return materials

    with pytest.raises(KeyringError, match="returned no data key"):
        Client(Lazy()).encrypt(b"")


def test_the_contracts_can_be_checked_at_run_time(keyring):
    assert isinstance(keyring, Keyring)
    assert isinstance(DefaultMaterialsManager(keyring), MaterialsManager)
    assert not isinstance(keyring, MaterialsManager)
