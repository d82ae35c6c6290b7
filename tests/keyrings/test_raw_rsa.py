"""The raw RSA keyring: every padding, every form of key, and each half of a pair for its own purpose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from testkit.builder import SUITES, suite_name
from testkit.materials import DATA_KEY, to_open, to_wrap
from testkit.official import decoded, load

from envelope_sdk import AlgorithmSuite, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import AuthenticationError, KeyringError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import RawRsaKeyring, RsaPadding
from envelope_sdk.materials import Keyring
from envelope_sdk.primitives.rsa import rsa_wrap

OAEP = RsaPadding.OAEP_SHA256
PASSWORD = b"correct horse"


@cache
def _made(bits: int, _number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def private(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """Return one of a few keys made once a run; nothing here depends on their values."""
    return _made(bits, number)


def private_bytes(form: PrivateFormat, encoding: Encoding, encryption: KeySerializationEncryption) -> bytes:
    return private().private_bytes(encoding, form, encryption)


def pair(padding: RsaPadding = OAEP, name: str = "key", number: int = 0) -> RawRsaKeyring:
    key = private(number=number)
    return RawRsaKeyring("test", name, padding, public_key=key.public_key(), private_key=key)


def wrapped(by: RawRsaKeyring, data_key: bytes = DATA_KEY) -> EncryptedDataKey:
    (edk,) = by.on_encrypt(to_wrap(data_key)).encrypted_data_keys
    return edk


def test_it_is_a_keyring():
    assert isinstance(pair(), Keyring)


# --- wrapping and opening --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", RsaPadding)
def test_every_padding_wraps_and_opens(padding: RsaPadding):
    ring = pair(padding)

    assert ring.on_decrypt(to_open(), [wrapped(ring)]).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize("written", RsaPadding)
@pytest.mark.parametrize("read", RsaPadding)
def test_a_padding_opens_only_its_own(written: RsaPadding, read: RsaPadding):
    edk = wrapped(pair(written))

    if read is written:
        assert pair(read).on_decrypt(to_open(), [edk]).plaintext_data_key == DATA_KEY
    elif read is RsaPadding.PKCS1:
        # OpenSSL answers with random bytes, so that nothing can be learned: of 32 bytes by chance at most.
        try:
            opened = pair(read).on_decrypt(to_open(), [edk]).plaintext_data_key
        except NoMatchingKeyError:
            return
        assert opened != DATA_KEY
    else:
        with pytest.raises(NoMatchingKeyError):
            pair(read).on_decrypt(to_open(), [edk])


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_it_makes_a_data_key_of_the_suites_length_where_there_is_none(suite: AlgorithmSuite):
    materials = pair().on_encrypt(to_wrap(None, suite=suite))

    opened = pair().on_decrypt(to_open(suite=suite), materials.encrypted_data_keys)

    assert len(materials.plaintext_data_key or b"") == suite.key_length
    assert opened.plaintext_data_key == materials.plaintext_data_key


def test_the_layout_of_what_it_writes():
    edk = wrapped(pair(name="näme"))

    assert (edk.provider_id, edk.provider_info, len(edk.ciphertext)) == ("test", "näme".encode(), 256)


def test_the_context_does_not_matter_to_it():
    edk = wrapped(pair())

    assert pair().on_decrypt(to_open(context=EncryptionContext({"other": ""})), [edk]).plaintext_data_key == DATA_KEY


def test_another_key_of_the_same_name_does_not_open():
    with pytest.raises(NoMatchingKeyError) as error:
        pair(number=1).on_decrypt(to_open(), [wrapped(pair())])

    (failure,) = error.value.failures
    assert isinstance(failure.error, AuthenticationError)


@pytest.mark.parametrize(("mine", "theirs"), [("key", "key-2"), ("key-2", "key")])
def test_names_that_begin_alike_are_told_apart(mine: str, theirs: str):
    with pytest.raises(NoMatchingKeyError) as error:
        pair(name=mine).on_decrypt(to_open(), [wrapped(pair(name=theirs))])

    assert [failure.provider_id for failure in error.value.failures] == [None]


@pytest.mark.parametrize("ciphertext", [b"", bytes(255), bytes(256), b"\xff" * 256, bytes(257), bytes(4096)])
def test_a_ciphertext_of_any_length_fails_alone(ciphertext: bytes):
    edks = [EncryptedDataKey("test", b"key", ciphertext), wrapped(pair())]

    assert pair().on_decrypt(to_open(), edks).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_data_key_of_a_wrong_length_fails_alone(length: int):
    short = EncryptedDataKey("test", b"key", rsa_wrap(private().public_key(), OAEP, bytes(length)))

    assert pair().on_decrypt(to_open(), [short, wrapped(pair())]).plaintext_data_key == DATA_KEY
    with pytest.raises(NoMatchingKeyError, match=f"has {length} bytes"):
        pair().on_decrypt(to_open(), [short])


def test_every_data_key_tried_has_an_entry_among_the_failures():
    edks = [wrapped(pair(number=1)), EncryptedDataKey("other", b"key", b""), EncryptedDataKey("test", b"key", b"")]

    with pytest.raises(NoMatchingKeyError) as error:
        pair().on_decrypt(to_open(), edks)

    assert [failure.provider_id for failure in error.value.failures] == ["test", "test"]


def test_a_data_key_that_is_there_is_not_replaced():
    with pytest.raises(UsageError, match="already hold"):
        pair().on_decrypt(to_open(DATA_KEY), [wrapped(pair())])


# --- one half --------------------------------------------------------------------------------------------------------


def test_a_public_key_alone_encrypts_and_does_not_decrypt():
    ring = RawRsaKeyring("test", "key", OAEP, public_key=private().public_key())

    assert pair().on_decrypt(to_open(), [wrapped(ring)]).plaintext_data_key == DATA_KEY
    with pytest.raises(NoMatchingKeyError, match="no private key"):
        ring.on_decrypt(to_open(), [wrapped(ring)])


def test_a_private_key_alone_decrypts_and_does_not_encrypt():
    ring = RawRsaKeyring("test", "key", OAEP, private_key=private())

    assert ring.on_decrypt(to_open(), [wrapped(pair())]).plaintext_data_key == DATA_KEY
    with pytest.raises(KeyringError, match="no public key"):
        ring.on_encrypt(to_wrap())


def test_no_key_at_all_is_a_mistake():
    with pytest.raises(UsageError, match="needs a public key"):
        RawRsaKeyring("test", "key", OAEP)


# --- forms of keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_a_public_key_is_read_from(form: PublicFormat, encoding: Encoding):
    ring = RawRsaKeyring("test", "key", OAEP, public_key=private().public_key().public_bytes(encoding, form))

    assert pair().on_decrypt(to_open(), [wrapped(ring)]).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_private_key_is_read_from(form: PrivateFormat, encoding: Encoding):
    ring = RawRsaKeyring("test", "key", OAEP, private_key=private_bytes(form, encoding, NoEncryption()))

    assert ring.on_decrypt(to_open(), [wrapped(pair())]).plaintext_data_key == DATA_KEY


def test_space_before_pem_does_not_matter():
    pem = b"\n  " + private_bytes(PrivateFormat.PKCS8, Encoding.PEM, NoEncryption())

    ring = RawRsaKeyring("test", "key", OAEP, private_key=pem)

    assert ring.on_decrypt(to_open(), [wrapped(pair())]).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_password_opens_a_protected_private_key(encoding: Encoding):
    protected = private_bytes(PrivateFormat.PKCS8, encoding, BestAvailableEncryption(PASSWORD))

    ring = RawRsaKeyring("test", "key", OAEP, private_key=protected, password=PASSWORD)

    assert ring.on_decrypt(to_open(), [wrapped(pair())]).plaintext_data_key == DATA_KEY


def test_passwords_that_do_not_fit_are_told_apart():
    protected = private_bytes(PrivateFormat.PKCS8, Encoding.PEM, BestAvailableEncryption(PASSWORD))
    bare = private_bytes(PrivateFormat.PKCS8, Encoding.PEM, NoEncryption())

    for key, password, reason in (
        (protected, None, "give its password"),
        (protected, b"wrong", "password is wrong"),
        (bare, PASSWORD, "give no password"),
    ):
        with pytest.raises(UsageError, match=reason) as error:
            RawRsaKeyring("test", "key", OAEP, private_key=key, password=password)
        assert "correct horse" not in str(error.value)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("half", ["public_key", "private_key"])
@pytest.mark.parametrize("junk", [b"", b"junk", b"-----BEGIN JUNK-----", bytes(300), b"\x30\x03\x02\x01\x00"])
def test_what_is_no_key_is_refused(half: str, junk: bytes):
    with pytest.raises(UsageError):
        RawRsaKeyring("test", "key", OAEP, **{half: junk})


def test_keys_of_other_kinds_are_refused():
    curve = ec.derive_private_key(7, ec.SECP256R1())
    public = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    for wrong in ({"private_key": pem_of(curve)}, {"public_key": public}, {"private_key": curve}, {"public_key": 7}):
        with pytest.raises(UsageError, match=r"not an RSAP.*: give PEM or DER bytes"):
            RawRsaKeyring("test", "key", OAEP, **wrong)


def test_halves_in_each_others_place_are_refused():
    pem = private().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(UsageError):
        RawRsaKeyring("test", "key", OAEP, private_key=pem)
    with pytest.raises(UsageError):
        RawRsaKeyring("test", "key", OAEP, public_key=private_bytes(PrivateFormat.PKCS8, Encoding.PEM, NoEncryption()))
    with pytest.raises(UsageError, match="public key is RSAPrivateKey, not an RSAPublicKey"):
        RawRsaKeyring("test", "key", OAEP, public_key=private())  # type: ignore[arg-type]


def test_a_weak_public_key_is_refused():
    with pytest.raises(UsageError, match="1024 bits is too weak"):
        RawRsaKeyring("test", "key", OAEP, public_key=private(1024).public_key())


def test_a_weak_private_key_still_reads_old_messages():
    key = private(1024)
    ring = RawRsaKeyring("test", "key", OAEP, private_key=key)
    edk = EncryptedDataKey("test", b"key", rsa_wrap(key.public_key(), OAEP, DATA_KEY))

    assert ring.on_decrypt(to_open(), [edk]).plaintext_data_key == DATA_KEY


def test_a_key_too_small_for_padding_and_data_key_says_so():
    with pytest.raises(KeyringError, match="too small to wrap 32 bytes with OAEP_SHA512"):
        rsa_wrap(private(1024).public_key(), RsaPadding.OAEP_SHA512, DATA_KEY)


def test_a_larger_key_does():
    vector = next(vector for vector in load("esdk-cross-language") if vector.fields["key"]["type"] == "raw-rsa")
    key = load_pem_private_key(decoded(vector.fields["key"]["private_pem"]), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    ring = RawRsaKeyring("test", "key", RsaPadding.OAEP_SHA512, public_key=key.public_key(), private_key=key)

    edk = wrapped(ring)

    assert len(edk.ciphertext) == 512
    assert ring.on_decrypt(to_open(), [edk]).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize(("namespace", "name"), [("aws-kms", "key"), ("", "key"), ("test", ""), ("test", "\ud800")])
def test_names_that_cannot_be_used_are_refused(namespace: str, name: str):
    with pytest.raises(UsageError):
        RawRsaKeyring(namespace, name, OAEP, private_key=private())


# --- what it tells, and who may hold it ------------------------------------------------------------------------------


def test_its_repr_says_which_halves_it_has():
    public = RawRsaKeyring("test", "key", OAEP, public_key=private().public_key())

    assert repr(public) == "RawRsaKeyring('test', 'key', OAEP_SHA256, public key)"
    assert repr(pair()) == "RawRsaKeyring('test', 'key', OAEP_SHA256, public and private key)"


def test_threads_may_share_it():
    ring = pair()

    def there_and_back(number: int) -> bool:
        data_key = number.to_bytes(32, "big")
        return ring.on_decrypt(to_open(), [wrapped(ring, data_key)]).plaintext_data_key == data_key

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(there_and_back, range(40)))


def test_a_padding_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="'OAEP' is none of PKCS1, OAEP_SHA1"):
        RawRsaKeyring("test", "key", "OAEP", public_key=b"")  # type: ignore[arg-type]
