"""The keyring over RSA keys of PKCS#11 tokens. SoftHSM opens OAEP with SHA-1 alone; other hashes are shown apart."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from testkit.builder import UNSIGNED, sample_bytes
from testkit.materials import CONTEXT, DATA_KEY, to_open, to_wrap
from testkit.softhsm import PIN, Asked, Vault

from envelope_sdk import AlgorithmSuite, Client, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import AuthenticationError, KeyringError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import MultiKeyring, Pkcs11Keyring, Pkcs11RsaKeyring, RawAesKeyring, RsaPadding
from envelope_sdk.keyrings.pkcs11.rsa_key import oaep_unwrap
from envelope_sdk.materials import Keyring
from envelope_sdk.testing import KEYRING_RULES, check_keyring

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

SHA1 = RsaPadding.OAEP_SHA1
OAEP = [RsaPadding.OAEP_SHA1, RsaPadding.OAEP_SHA256, RsaPadding.OAEP_SHA384, RsaPadding.OAEP_SHA512]
DIGEST = hashlib.sha384(b"\0\1\0\7purpose\0\4test").digest()
INFO = b"\x01\x02" + b"\x04card" + b"\x04pair" + b"\x01\x03"

Make = Callable[..., Pkcs11RsaKeyring]


@pytest.fixture
def make(vault: Vault) -> Iterator[Make]:
    """Makes keyrings over a token that nobody is logged in to when the test begins."""
    made: list[Pkcs11RsaKeyring] = []

    def keyring(padding: RsaPadding = SHA1, **other: Any) -> Pkcs11RsaKeyring:
        names = {"token_label": "card", "key_label": "pair", "pin": lambda: PIN} | other
        made.append(Pkcs11RsaKeyring(vault.library, padding, **names))
        return made[-1]

    yield keyring
    for ring in made:
        ring.close()


@pytest.fixture(scope="module")
def imported(vault: Vault) -> rsa.RSAPrivateKey:
    """A key that is on the token, and in the test's hands as well."""
    key = rsa.generate_private_key(65537, 2048)
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    private = pkcs11.util.rsa.decode_rsa_private_key(der)
    public = {name: private[name] for name in (pkcs11.Attribute.MODULUS, pkcs11.Attribute.PUBLIC_EXPONENT)}
    attribute = pkcs11.Attribute
    names = {
        attribute.LABEL: "imported",
        attribute.ID: b"\x09",
        attribute.TOKEN: True,
        attribute.KEY_TYPE: pkcs11.KeyType.RSA,
    }
    session = vault.session("vault")
    session.create_object(private | names | {attribute.PRIVATE: True, attribute.DECRYPT: True})
    session.create_object(
        public
        | names
        | {attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY, attribute.PRIVATE: False, attribute.ENCRYPT: True}
    )
    return key


def wrapped(by: Keyring, data_key: bytes | None = DATA_KEY, context: EncryptionContext = CONTEXT) -> EncryptedDataKey:
    (edk,) = by.on_encrypt(to_wrap(data_key, context=context)).encrypted_data_keys
    return edk


def opened(by: Keyring, *edks: EncryptedDataKey, context: EncryptionContext = CONTEXT) -> bytes | None:
    return by.on_decrypt(to_open(context=context), edks).plaintext_data_key


def only_failure(by: Keyring, *edks: EncryptedDataKey, context: EncryptionContext = CONTEXT) -> Exception:
    with pytest.raises(NoMatchingKeyError) as error:
        opened(by, *edks, context=context)
    (failure,) = error.value.failures
    return failure.error


def test_it_is_a_keyring(make: Make):
    assert isinstance(make(), Keyring)


@pytest.mark.parametrize("rule", KEYRING_RULES)
def test_it_keeps_the_rule_of_the_contract(make: Make, rule: str):
    check_keyring(make, secrets=[PIN.encode()], suites=UNSIGNED, rules=[rule])


def test_it_opens_what_it_wraps(make: Make):
    assert opened(make(), wrapped(make())) == DATA_KEY


def test_a_message_under_a_token_and_another_key_opens_with_either(make: Make):
    raw = RawAesKeyring("test", "backup", sample_bytes(32))
    message = Client(MultiKeyring(make(), [raw])).encrypt(b"plaintext", encryption_context={"a": "b"}).ciphertext

    assert Client(make()).decrypt(message).plaintext == b"plaintext"
    assert Client(raw).decrypt(message).plaintext == b"plaintext"


def test_encrypting_needs_no_pin_and_asks_the_token_once(make: Make):
    pin = Asked(PIN)
    ring = make(pin=pin)

    edks = [wrapped(ring) for _ in range(3)]
    assert pin.times == 0

    assert [opened(ring, edk) for edk in edks] == [DATA_KEY] * 3
    assert pin.times == 1


@pytest.mark.parametrize(
    ("padding", "code"), list(zip(OAEP, range(1, 5), strict=True)), ids=[each.value for each in OAEP]
)
def test_the_layout_of_what_it_writes(make: Make, padding: RsaPadding, code: int):
    edk = wrapped(make(padding))

    assert edk.provider_id == "pkcs11-rsa"
    assert edk.provider_info == INFO + bytes([code])
    assert len(edk.ciphertext) == 256


@pytest.mark.parametrize("padding", OAEP, ids=[each.value for each in OAEP])
def test_another_implementation_opens_digest_and_data_key(make: Make, imported: rsa.RSAPrivateKey, padding: RsaPadding):
    edk = wrapped(make(padding, token_label="vault", key_label="imported"))

    assert imported.decrypt(edk.ciphertext, padding.scheme()) == DIGEST + DATA_KEY


def test_it_opens_what_another_implementation_wraps(make: Make, imported: rsa.RSAPrivateKey):
    ciphertext = imported.public_key().encrypt(DIGEST + DATA_KEY, SHA1.scheme())
    info = b"\x01\x02" + b"\x05vault" + b"\x08imported" + b"\x01\x09" + b"\x01"

    ring = make(token_label="vault", key_label="imported")
    assert opened(ring, EncryptedDataKey("pkcs11-rsa", info, ciphertext)) == DATA_KEY


def test_plain_pkcs11_calls_open_what_it_wraps(make: Make, vault: Vault):
    edk = wrapped(make())

    with vault.logged_in("card") as session:
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="pair")
        parameters = (pkcs11.Mechanism.SHA_1, pkcs11.MGF.SHA1, None)
        content = key.decrypt(edk.ciphertext, mechanism=pkcs11.Mechanism.RSA_PKCS_OAEP, mechanism_param=parameters)

    assert content == DIGEST + DATA_KEY


class DeviceKey:
    """A key as python-pkcs11 would show it of a device that has every hash, as SoftHSM has not."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def decrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
        assert mechanism is pkcs11.Mechanism.RSA_PKCS_OAEP
        digest, mask, label = mechanism_param
        assert digest.name.replace("_", "") == mask.name
        assert label is None
        return self._key.decrypt(data, RsaPadding(f"OAEP_{mask.name}").scheme())


@pytest.mark.parametrize("padding", OAEP, ids=[each.value for each in OAEP])
def test_a_token_is_asked_for_the_hash_of_the_padding(imported: rsa.RSAPrivateKey, padding: RsaPadding):
    wrapped = imported.public_key().encrypt(b"content", padding.scheme())

    assert oaep_unwrap(DeviceKey(imported), padding, wrapped) == b"content"


def test_a_token_without_the_hash_says_so_and_nothing_else_is_tried(make: Make):
    sha256 = RsaPadding.OAEP_SHA256

    error = only_failure(make(sha256), wrapped(make(sha256)))

    assert isinstance(error, KeyringError)
    assert "the token cannot do CKM_RSA_PKCS_OAEP with OAEP_SHA256 (ArgumentsBad)" in str(error)


def test_a_data_key_of_another_padding_is_not_tried(make: Make):
    with pytest.raises(NoMatchingKeyError, match="none of the message's"):
        opened(make(RsaPadding.OAEP_SHA256), wrapped(make()))


@pytest.mark.parametrize("padding", [RsaPadding.PKCS1, "OAEP_SHA256", None])
def test_another_padding_is_refused(make: Make, padding: Any):
    with pytest.raises(UsageError, match="is none of OAEP_SHA1, OAEP_SHA256, OAEP_SHA384, OAEP_SHA512"):
        make(padding)


@pytest.mark.parametrize("context", [{}, {"purpose": "Test"}, {"purpose": "test", "more": ""}])
def test_another_context_does_not_open(make: Make, context: dict[str, str]):
    error = only_failure(make(), wrapped(make()), context=EncryptionContext(context))

    assert isinstance(error, AuthenticationError)
    assert str(error) == "the data key was wrapped with another encryption context"


@pytest.mark.parametrize("ciphertext", [b"", bytes(256), b"\1" * 255, bytes(2049)], ids=len)
def test_a_ciphertext_that_does_not_open_fails_alone(make: Make, ciphertext: bytes):
    good = wrapped(make())

    assert opened(make(), EncryptedDataKey("pkcs11-rsa", good.provider_info, ciphertext), good) == DATA_KEY


@pytest.mark.parametrize(
    "content", [b"", DIGEST, DIGEST[:40], DIGEST + DATA_KEY[:31], DIGEST + DATA_KEY + b"\0"], ids=len
)
def test_a_content_of_another_length_fails_alone(make: Make, imported: rsa.RSAPrivateKey, content: bytes):
    ring = make(token_label="vault", key_label="imported")
    good = wrapped(ring)
    bad = imported.public_key().encrypt(content, SHA1.scheme())

    assert opened(ring, EncryptedDataKey("pkcs11-rsa", good.provider_info, bad), good) == DATA_KEY


def test_signed_suites_are_refused_both_ways(make: Make):
    signed = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
    edk = wrapped(make())

    with pytest.raises(KeyringError, match="whoever has the public key could sign as well"):
        make().on_encrypt(to_wrap(suite=signed))
    with pytest.raises(NoMatchingKeyError, match="whoever has the public key could sign as well"):
        make().on_decrypt(to_open(suite=signed), [edk])


def test_aes_and_rsa_keyrings_leave_each_others_data_keys_alone(make: Make, vault: Vault):
    aes = Pkcs11Keyring(vault.library, token_label="vault", key_label="wrapping", pin=lambda: PIN)

    for ring, edk in ((make(), wrapped(aes)), (aes, wrapped(make()))):
        with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for this key"):
            opened(ring, edk)


@pytest.mark.parametrize("info", [b"", INFO, INFO + b"\0", INFO + b"\5", INFO + b"\1\1", b"\1\1" + INFO[2:] + b"\1"])
def test_a_name_that_cannot_be_read_is_reported_and_opens_nothing(make: Make, info: bytes):
    assert isinstance(only_failure(make(), EncryptedDataKey("pkcs11-rsa", info, bytes(256))), UsageError)


def test_a_data_key_that_only_the_token_can_tell_apart_is_not_tried(make: Make):
    info = INFO.replace(b"\x03", b"\x04") + b"\1"

    error = only_failure(make(), EncryptedDataKey("pkcs11-rsa", info, wrapped(make()).ciphertext))

    assert "the data key is wrapped under 'pair' id 04" in str(error)


def test_without_a_pin_it_does_not_open(make: Make):
    error = only_failure(make(pin=None), wrapped(make(pin=None)))

    assert "has no RSA private key like" in str(error)
    assert "no PIN is given" in str(error)


def test_a_wrong_pin_is_tried_once(make: Make):
    pin = Asked("7777-wrong")
    edk = wrapped(make())

    with pytest.raises(NoMatchingKeyError, match="the token refuses the PIN"):
        opened(make(pin=pin), edk, edk)

    assert pin.times == 1


def test_a_key_that_is_not_there_is_missed(make: Make):
    with pytest.raises(KeyringError, match="the token 'card' has no RSA public key like"):
        wrapped(make(key_label="absent"))


def test_a_short_key_is_refused(make: Make, vault: Vault):
    vault.session("vault").generate_keypair(pkcs11.KeyType.RSA, 1024, label="short", store=True)

    with pytest.raises(UsageError, match="an RSA key of 1024 bits is too weak"):
        wrapped(make(token_label="vault", key_label="short"))


def test_a_uri_names_the_pair(vault: Vault, make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CARD_PIN", PIN)

    for kind in ("", ";type=private", ";type=public"):
        uri = f"pkcs11:token=card;object=pair{kind}?module-path={vault.library}&pin-source=env:CARD_PIN"
        ring = Pkcs11RsaKeyring.from_uri(uri, SHA1)
        assert opened(ring, wrapped(make())) == DATA_KEY
        ring.close()


def test_a_uri_of_another_type_is_refused_by_either_keyring(vault: Vault):
    for kind in ("secret-key", "cert", "data"):
        with pytest.raises(UsageError, match=f"of type '{kind}'; this keyring's keys are private or public"):
            Pkcs11RsaKeyring.from_uri(f"pkcs11:object=a;type={kind}", SHA1, module_path=vault.library)
    with pytest.raises(UsageError, match="of type 'private'; this keyring's keys are secret-key"):
        Pkcs11Keyring.from_uri("pkcs11:object=a;type=private", module_path=vault.library)


def test_it_shows_which_key_it_is(make: Make):
    assert repr(make()) == "Pkcs11RsaKeyring(token='card', key='pair', OAEP_SHA1)"


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_can_be_neither_pickled_nor_copied(make: Make, take: Callable[[Any], Any]):
    with pytest.raises(TypeError, match="cannot be pickled"):
        take(make())
