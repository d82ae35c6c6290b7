"""The raw AES keyring: what it writes, what it opens, what it refuses, what it tells."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from testkit.builder import SUITES, sample_bytes, suite_name
from testkit.materials import CONTEXT, DATA_KEY, to_open, to_wrap
from testkit.randomness import SeededRandom

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import AuthenticationError, KeyringError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.raw_aes import key_name_in
from envelope_sdk.materials import Keyring

KEY = sample_bytes(32, "wrapping key")
MARK = (128).to_bytes(4, "big") + (12).to_bytes(4, "big")


def keyring(name: str = "key", namespace: str = "test", key: bytes = KEY) -> RawAesKeyring:
    return RawAesKeyring(namespace, name, key, random=SeededRandom(name))


def wrapped(by: RawAesKeyring, data_key: bytes = DATA_KEY, context: EncryptionContext = CONTEXT) -> EncryptedDataKey:
    (edk,) = by.on_encrypt(to_wrap(data_key, context=context)).encrypted_data_keys
    return edk


def test_it_is_a_keyring():
    assert isinstance(keyring(), Keyring)


@pytest.mark.parametrize("length", [16, 24, 32])
def test_a_key_of_each_aes_length_wraps_and_opens(length: int):
    ring = keyring(key=sample_bytes(length))

    assert ring.on_decrypt(to_open(), [wrapped(ring)]).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize("length", [0, 1, 15, 17, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int):
    with pytest.raises(UsageError, match=f"not {length}"):
        keyring(key=bytes(length))


def test_the_layout_of_what_it_writes():
    edk = wrapped(RawAesKeyring("space", "näme", KEY, random=lambda count: bytes(range(count))))

    iv = bytes(range(12))
    assert edk.provider_id == "space"
    assert edk.provider_info == "näme".encode() + bytes.fromhex("00000080") + bytes.fromhex("0000000c") + iv
    assert edk.ciphertext == AESGCM(KEY).encrypt(iv, DATA_KEY, b"\0\1\0\7purpose\0\4test")


def test_an_empty_context_binds_no_bytes():
    edk = wrapped(RawAesKeyring("space", "name", KEY, random=bytes), context=EncryptionContext())

    assert edk.ciphertext == AESGCM(KEY).encrypt(bytes(12), DATA_KEY, b"")


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_it_makes_a_data_key_of_the_suites_length_where_there_is_none(suite: AlgorithmSuite):
    ring = keyring()

    materials = ring.on_encrypt(to_wrap(None, suite=suite))

    assert len(materials.plaintext_data_key or b"") == suite.key_length
    opened = ring.on_decrypt(to_open(suite=suite), materials.encrypted_data_keys)
    assert opened.plaintext_data_key == materials.plaintext_data_key


def test_it_keeps_a_data_key_that_is_there_and_what_others_wrapped():
    first = keyring("one").on_encrypt(to_wrap())

    second = keyring("two").on_encrypt(first)

    assert second.plaintext_data_key == DATA_KEY
    assert second.encrypted_data_keys[0] == first.encrypted_data_keys[0]
    assert len(second.encrypted_data_keys) == 2


def test_it_changes_nothing_that_it_is_given():
    given_to_wrap, given_to_open = to_wrap(None), to_open()
    ring = keyring()

    ring.on_encrypt(given_to_wrap)
    ring.on_decrypt(given_to_open, [wrapped(ring)])

    assert given_to_wrap == to_wrap(None)
    assert given_to_open == to_open()


def test_every_wrapping_has_an_iv_of_its_own():
    ring = RawAesKeyring("test", "key", KEY)

    assert len({wrapped(ring).provider_info[-12:] for _ in range(100)}) == 100


@pytest.mark.parametrize("context", [{}, {"purpose": "Test"}, {"purpose": "test", "more": ""}])
def test_another_context_does_not_open(context: dict[str, str]):
    ring = keyring()

    with pytest.raises(NoMatchingKeyError) as error:
        ring.on_decrypt(to_open(context=EncryptionContext(context)), [wrapped(ring)])

    (failure,) = error.value.failures
    assert isinstance(failure.error, AuthenticationError)


def test_another_key_of_the_same_name_does_not_open():
    with pytest.raises(NoMatchingKeyError):
        keyring(key=bytes(32)).on_decrypt(to_open(), [wrapped(keyring())])


@pytest.mark.parametrize("place", [0, 31, 32, 47])
def test_an_altered_data_key_does_not_open(place: int):
    edk = wrapped(keyring())
    altered = bytearray(edk.ciphertext)
    altered[place] ^= 1

    with pytest.raises(NoMatchingKeyError):
        keyring().on_decrypt(to_open(), [EncryptedDataKey("test", edk.provider_info, bytes(altered))])


@pytest.mark.parametrize("ciphertext", [b"", b"\0", bytes(15), bytes(16), bytes(1000)])
def test_a_ciphertext_of_any_length_fails_alone(ciphertext: bytes):
    good = wrapped(keyring())
    bad = EncryptedDataKey("test", good.provider_info, ciphertext)

    assert keyring().on_decrypt(to_open(), [bad, good]).plaintext_data_key == DATA_KEY


@pytest.mark.parametrize(("mine", "theirs"), [("key", "key-2"), ("key-2", "key"), ("k", "kk"), ("kk", "k")])
def test_names_that_begin_alike_are_told_apart(mine: str, theirs: str):
    with pytest.raises(NoMatchingKeyError) as error:
        keyring(mine).on_decrypt(to_open(), [wrapped(keyring(theirs))])

    assert [failure.provider_id for failure in error.value.failures] == [None]


def test_a_name_that_holds_anothers_provider_info_is_told_apart():
    tricky = keyring("key\0\0\0\x80\0\0\0\x0c" + "x" * 12)

    with pytest.raises(NoMatchingKeyError) as error:
        keyring("key").on_decrypt(to_open(), [wrapped(tricky)])

    assert [failure.provider_id for failure in error.value.failures] == [None]


def test_the_namespace_has_to_be_the_same():
    with pytest.raises(NoMatchingKeyError):
        keyring(namespace="tes").on_decrypt(to_open(), [wrapped(keyring())])


@pytest.mark.parametrize("change", [b"\0\0\0\x10\0\0\0\x0c", b"\0\0\0\x80\0\0\0\x10", b"\x80\0\0\0\x0c\0\0\0"])
def test_other_tag_or_iv_lengths_are_not_its_own(change: bytes):
    edk = wrapped(keyring())
    info = b"key" + change + edk.provider_info[-12:]

    with pytest.raises(NoMatchingKeyError) as error:
        keyring().on_decrypt(to_open(), [EncryptedDataKey("test", info, edk.ciphertext)])

    assert [failure.provider_id for failure in error.value.failures] == [None]


def test_the_first_that_opens_is_taken_in_message_order():
    ring = keyring()
    one, two = wrapped(ring, b"1" * 32), wrapped(ring, b"2" * 32)

    assert ring.on_decrypt(to_open(), [one, two]).plaintext_data_key == b"1" * 32
    assert ring.on_decrypt(to_open(), [two, one]).plaintext_data_key == b"2" * 32


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_data_key_of_a_wrong_length_fails_alone(length: int):
    ring = keyring()

    assert ring.on_decrypt(to_open(), [wrapped(ring, bytes(length)), wrapped(ring)]).plaintext_data_key == DATA_KEY


def test_a_message_opens_where_a_data_key_before_the_right_one_fails():
    rings = [keyring(key=bytes(32)), keyring()]
    message = Client(MultiKeyring(rings[0], [rings[1]])).encrypt(b"plaintext").ciphertext

    assert Client(keyring()).decrypt(message).plaintext == b"plaintext"
    assert Client(keyring()).decryptor().update(message) == b"plaintext"


def test_failures_keep_no_frames_and_so_no_keys_and_buffers_alive():
    with pytest.raises(NoMatchingKeyError) as error:
        keyring(key=bytes(32)).on_decrypt(to_open(), [wrapped(keyring())])

    (failure,) = error.value.failures
    assert (failure.error.__traceback__, failure.error.__context__) == (None, None)


def test_a_data_key_of_a_wrong_length_is_said_to_be_so():
    ring = keyring()

    with pytest.raises(NoMatchingKeyError, match="has 16 bytes, the algorithm suite needs 32"):
        ring.on_decrypt(to_open(), [wrapped(ring, bytes(16))])


def test_every_data_key_tried_has_an_entry_among_the_failures():
    ring = keyring()
    foreign = EncryptedDataKey("other", b"", b"")
    edks = [wrapped(keyring(key=bytes(32))), foreign, wrapped(ring, bytes(16)), wrapped(keyring(key=bytes(16)))]

    with pytest.raises(NoMatchingKeyError) as error:
        ring.on_decrypt(to_open(), edks)

    assert [type(failure.error) for failure in error.value.failures] == [
        AuthenticationError,
        KeyringError,
        AuthenticationError,
    ]
    assert {failure.keyring for failure in error.value.failures} == {repr(ring)}
    assert {failure.provider_id for failure in error.value.failures} == {"test"}


@pytest.mark.parametrize("edks", [[], [EncryptedDataKey("other", b"", b"")]])
def test_where_nothing_is_its_own_one_entry_says_so(edks: list[EncryptedDataKey]):
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for this key") as error:
        keyring().on_decrypt(to_open(), edks)

    assert len(error.value.failures) == 1


def test_a_data_key_that_is_there_is_not_replaced():
    with pytest.raises(UsageError, match="already hold"):
        keyring().on_decrypt(to_open(DATA_KEY), [wrapped(keyring())])


@pytest.mark.parametrize(
    ("namespace", "name", "reason"),
    [
        ("aws-kms", "key", "belong to AWS KMS"),
        ("aws-kms-hierarchy", "key", "belong to AWS KMS"),
        ("", "key", "namespace takes 0 bytes"),
        ("test", "", "name takes 0 bytes"),
        ("test", "k" * 65_536, "name takes 65536 bytes"),
        ("t" * 65_536, "key", "namespace takes 65536 bytes"),
        ("\ud800", "key", "not encodable"),
        ("test", "\ud800", "not encodable"),
    ],
)
def test_names_that_cannot_be_used_are_refused(namespace: str, name: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        RawAesKeyring(namespace, name, KEY)


def test_the_longest_names_fit_a_message():
    ring = RawAesKeyring("n" * 65_471, "k" * 65_471, KEY)

    assert ring.on_decrypt(to_open(), [wrapped(ring)]).plaintext_data_key == DATA_KEY
    assert len(wrapped(ring).encode()) > 130_000


def test_nothing_shows_the_key_or_the_data_key():
    ring = keyring(key=b"\x41" * 32)
    materials = ring.on_encrypt(to_wrap(b"\x42" * 32))
    opened = ring.on_decrypt(to_open(), materials.encrypted_data_keys)

    for shown in (repr(ring), str(ring), repr(materials), repr(opened)):
        for secret in (b"\x41" * 32, b"\x42" * 32):
            assert secret.decode() not in shown
            assert secret.hex() not in shown
            assert "x42x42" not in shown.replace("\\", "")
    assert repr(ring) == "RawAesKeyring('test', 'key', 256 bits)"


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_materials_and_wrapping_keys_can_be_neither_pickled_nor_copied(take):
    ring = keyring()
    materials = ring.on_encrypt(to_wrap())

    for secret in (materials, ring.on_decrypt(to_open(), materials.encrypted_data_keys)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take(secret)


def test_a_keyring_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(keyring())


def test_no_error_holds_key_bytes():
    ring = keyring(key=b"\x41" * 32)

    with pytest.raises(NoMatchingKeyError) as error:
        ring.on_decrypt(to_open(context=EncryptionContext()), [wrapped(ring, b"\x42" * 32), wrapped(ring, b"\x43" * 9)])

    assert "AAAA" not in str(error.value)
    assert "BBBB" not in str(error.value)
    assert "CCCC" not in str(error.value)


def test_threads_may_share_it():
    client = Client(RawAesKeyring("test", "key", KEY), commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)

    def there_and_back(number: int) -> bool:
        plaintext = sample_bytes(1000, str(number))
        context = {"number": str(number)}
        message = client.encrypt(plaintext, encryption_context=context).ciphertext
        return client.decrypt(message, encryption_context=context).plaintext == plaintext

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(200)))


@pytest.mark.parametrize(("namespace", "name"), [(1, "key"), (b"test", "key"), ("test", None)])
def test_names_that_are_not_text_are_refused(namespace, name):
    with pytest.raises(TypeError, match="is text"):
        RawAesKeyring(namespace, name, bytes(32))


def test_a_wrapping_key_is_measured_in_bytes():
    with pytest.raises(UsageError, match="not 128"):
        RawAesKeyring("test", "key", memoryview(bytes(128)).cast("I"))


@pytest.mark.parametrize(
    ("provider_info", "name"),
    [
        (b"a" + MARK + b"i" * 12, b"a"),
        (MARK + MARK + b"i" * 12, MARK),
        (b"a" + MARK + b"i" * 11, None),
        (b"a" + MARK + b"i" * 13, None),
        (MARK + b"ii", None),
        (b"an RSA key's name", None),
        (b"", None),
    ],
)
def test_the_key_s_name_is_read_where_a_data_key_is_of_a_raw_aes_key(provider_info, name):
    assert key_name_in(provider_info) == name
