"""The keyring over PKCS#11 tokens: what it writes, what it opens, what it refuses, what it tells. Tokens of SoftHSM."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from testkit.builder import SUITES, sample_bytes, suite_name
from testkit.materials import CONTEXT, DATA_KEY, to_open, to_wrap
from testkit.randomness import SeededRandom
from testkit.softhsm import PIN, Asked, Vault, library_path, make_tokens

from envelope_sdk import AlgorithmSuite, Client, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    KeyringError,
    KmsUnavailableError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.keyrings import MultiKeyring, Pkcs11Keyring, RawAesKeyring
from envelope_sdk.keyrings.pkcs11.application import current_application
from envelope_sdk.keyrings.pkcs11.place import KeyName
from envelope_sdk.keyrings.pkcs11.provider_info import encode_provider_info
from envelope_sdk.materials import Keyring
from envelope_sdk.testing import KEYRING_RULES, check_keyring

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")


@pytest.fixture
def make(vault: Vault) -> Callable[..., Pkcs11Keyring]:
    def keyring(key_label: str | None = "wrapping", **other: Any) -> Pkcs11Keyring:
        names = {"token_label": "vault", "key_label": key_label, "pin": lambda: PIN, "random": SeededRandom()} | other
        return Pkcs11Keyring(vault.library, **names)

    return keyring


Make = Callable[..., Pkcs11Keyring]


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


def never_asked() -> str:
    raise AssertionError("the PIN is asked for")


# --- wrapping and opening --------------------------------------------------------------------------------------------


def test_it_is_a_keyring(make: Make):
    assert isinstance(make(), Keyring)


@pytest.mark.parametrize("rule", KEYRING_RULES)
def test_it_keeps_the_rule_of_the_contract(make: Make, rule: str):
    own_random: dict[str, Any] = {"random": os.urandom}

    check_keyring(
        lambda: make(**own_random), other=lambda: make("other", **own_random), secrets=[PIN.encode()], rules=[rule]
    )


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_a_key_of_each_aes_length_wraps_and_opens(make: Make, vault: Vault, bits: int):
    vault.make_key("vault", f"aes-{bits}", bits=bits)

    assert opened(make(f"aes-{bits}"), wrapped(make(f"aes-{bits}"))) == DATA_KEY


def test_a_message_under_a_token_and_another_key_opens_with_either(make: Make):
    raw = RawAesKeyring("test", "backup", sample_bytes(32))
    message = Client(MultiKeyring(make(), [raw])).encrypt(b"plaintext", encryption_context={"a": "b"}).ciphertext

    assert Client(make()).decrypt(message).plaintext == b"plaintext"
    assert Client(raw).decrypt(message).plaintext == b"plaintext"


def test_the_layout_of_what_it_writes(make: Make):
    edk = wrapped(make(random=lambda count: bytes(range(count))))

    assert edk.provider_id == "pkcs11"
    assert edk.provider_info == (
        b"\x01\x01" + b"\x05vault" + b"\x08wrapping" + b"\x01\x01" + b"\x80\x0c" + bytes(range(12))
    )
    assert len(edk.ciphertext) == 32 + 16


def test_plain_pkcs11_calls_open_what_it_wraps(make: Make, vault: Vault):
    edk = wrapped(make())

    parameters = pkcs11.GCMParams(edk.provider_info[-12:], b"\0\1\0\7purpose\0\4test", 128)
    key = vault.find_key("vault", "wrapping")
    assert key.decrypt(edk.ciphertext, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters) == DATA_KEY


def test_it_opens_what_plain_pkcs11_calls_wrap(make: Make, vault: Vault):
    iv = sample_bytes(12)
    parameters = pkcs11.GCMParams(iv, CONTEXT.canonical, 128)
    key = vault.find_key("vault", "wrapping")
    ciphertext = key.encrypt(DATA_KEY, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)

    info = bytes.fromhex("0101 05 7661756c74 08 7772617070696e67 01 01 80 0c") + iv
    assert opened(make(), EncryptedDataKey("pkcs11", info, ciphertext)) == DATA_KEY


@pytest.mark.parametrize("context", [{}, {"purpose": "test", "more": "ü"}], ids=["empty", "two pairs"])
def test_another_implementation_of_aes_gcm_agrees(make: Make, vault: Vault, context: dict[str, str]):
    key = sample_bytes(32, "imported")
    attribute = pkcs11.Attribute
    label = f"imported-{len(context)}"
    vault.session("vault").create_object(
        {
            attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            attribute.KEY_TYPE: pkcs11.KeyType.AES,
            attribute.VALUE: key,
            attribute.LABEL: label,
            attribute.TOKEN: True,
            attribute.ENCRYPT: True,
            attribute.DECRYPT: True,
        }
    )
    pairs = EncryptionContext(context)

    edk = wrapped(make(label), context=pairs)

    assert AESGCM(key).decrypt(edk.provider_info[-12:], edk.ciphertext, pairs.canonical) == DATA_KEY
    assert opened(make(label), edk, context=pairs) == DATA_KEY


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_it_makes_a_data_key_of_the_suites_length_where_there_is_none(make: Make, suite: AlgorithmSuite):
    ring = make()

    materials = ring.on_encrypt(to_wrap(None, suite=suite))

    assert len(materials.plaintext_data_key or b"") == suite.key_length
    again = ring.on_decrypt(to_open(suite=suite), materials.encrypted_data_keys)
    assert again.plaintext_data_key == materials.plaintext_data_key


def test_it_keeps_a_data_key_that_is_there_and_what_others_wrapped(make: Make):
    first = make().on_encrypt(to_wrap())

    second = make("other").on_encrypt(first)

    assert second.plaintext_data_key == DATA_KEY
    assert second.encrypted_data_keys[0] == first.encrypted_data_keys[0]
    assert len(second.encrypted_data_keys) == 2


def test_it_changes_nothing_that_it_is_given(make: Make):
    given_to_wrap, given_to_open = to_wrap(None), to_open()
    ring = make()

    ring.on_encrypt(given_to_wrap)
    ring.on_decrypt(given_to_open, [wrapped(ring)])

    assert given_to_wrap == to_wrap(None)
    assert given_to_open == to_open()


def test_every_wrapping_has_an_iv_of_its_own(vault: Vault):
    ring = Pkcs11Keyring(vault.library, token_label="vault", key_label="wrapping", pin=lambda: PIN)

    assert len({wrapped(ring).provider_info[-12:] for _ in range(100)}) == 100


@pytest.mark.parametrize("context", [{}, {"purpose": "Test"}, {"purpose": "test", "more": ""}])
def test_another_context_does_not_open(make: Make, context: dict[str, str]):
    error = only_failure(make(), wrapped(make()), context=EncryptionContext(context))

    assert isinstance(error, AuthenticationError)


@pytest.mark.parametrize("place", [0, 31, 32, 47])
def test_an_altered_data_key_does_not_open(make: Make, place: int):
    edk = wrapped(make())
    altered = bytearray(edk.ciphertext)
    altered[place] ^= 1

    error = only_failure(make(), EncryptedDataKey("pkcs11", edk.provider_info, bytes(altered)))

    assert isinstance(error, AuthenticationError)


@pytest.mark.parametrize("ciphertext", [b"", bytes(15), bytes(16), bytes(47), bytes(49), bytes(60_000)], ids=len)
def test_a_ciphertext_of_another_length_fails_alone_and_never_reaches_the_token(make: Make, ciphertext: bytes):
    good = wrapped(make())
    bad = EncryptedDataKey("pkcs11", good.provider_info, ciphertext)

    assert opened(make(), bad, good) == DATA_KEY
    assert "48" in str(only_failure(make(pin=never_asked), bad))


def test_the_first_that_opens_is_taken_in_message_order(make: Make):
    one, two = wrapped(make(), b"1" * 32), wrapped(make(), b"2" * 32)

    assert opened(make(), one, two) == b"1" * 32
    assert opened(make(), two, one) == b"2" * 32


def test_a_data_key_that_is_there_is_not_replaced(make: Make):
    with pytest.raises(UsageError, match="already hold"):
        make().on_decrypt(to_open(DATA_KEY), [wrapped(make())])


def test_threads_may_share_it(make: Make):
    ring = make(random=os.urandom)
    client = Client(ring)

    def there_and_back(number: int) -> bool:
        context = {"number": str(number)}
        message = client.encrypt(str(number).encode(), encryption_context=context).ciphertext
        return client.decrypt(message, encryption_context=context).plaintext == str(number).encode()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(200)))


def others_have_to_wait() -> bool:
    """Return whether no other thread could now begin a call of a token."""
    with ThreadPoolExecutor(1) as another:
        return not another.submit(current_application().lock.acquire, blocking=False).result()


def test_calls_of_tokens_are_made_one_at_a_time(guarded: Make):
    waited: list[bool] = []

    class Device(DeviceKey):
        def encrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
            waited.append(others_have_to_wait())
            return super().encrypt(data, mechanism=mechanism, mechanism_param=mechanism_param)

    def pin() -> str:
        waited.append(others_have_to_wait())
        return PIN

    wrapped(Pkcs11Keyring.from_key(Device()))
    wrapped(guarded(pin=pin))

    assert waited == [True, True]


# --- which key -------------------------------------------------------------------------------------------------------


NAMINGS = {
    "label": {"key_label": "wrapping"},
    "id": {"key_label": None, "key_id": b"\x01"},
    "label and id": {"key_label": "wrapping", "key_id": b"\x01"},
    "maker": {"token_manufacturer": "SoftHSM project", "token_model": "SoftHSM v2"},
}


@pytest.mark.parametrize("reader", NAMINGS.values(), ids=NAMINGS)
@pytest.mark.parametrize("writer", NAMINGS.values(), ids=NAMINGS)
def test_a_key_is_the_same_however_it_was_named(make: Make, writer: dict[str, Any], reader: dict[str, Any]):
    assert opened(make(**reader), wrapped(make(**writer))) == DATA_KEY


def test_a_data_key_of_another_key_is_not_tried(make: Make):
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for this key"):
        opened(make(pin=never_asked), wrapped(make("other")))


def test_a_data_key_that_only_the_token_can_tell_apart_is_not_tried_either(make: Make):
    edk = wrapped(make())
    info = encode_provider_info(KeyName("vault", "wrapping", b"\x02"), edk.provider_info[-12:])

    error = only_failure(make(), EncryptedDataKey("pkcs11", info, edk.ciphertext))

    assert str(error) == (
        "the data key is wrapped under 'wrapping' id 02 of token 'vault'; this is 'wrapping' id 01 of token 'vault'"
    )


@pytest.mark.parametrize("provider_id", ["pkcs1", "PKCS11", "aws-kms"])
def test_another_provider_id_is_not_its_own(make: Make, provider_id: str):
    edk = wrapped(make())

    with pytest.raises(NoMatchingKeyError, match="none of the message's"):
        opened(make(pin=never_asked), EncryptedDataKey(provider_id, edk.provider_info, edk.ciphertext))


@pytest.mark.parametrize("info", [b"", b"\x02\x01", b"\x01\x02", b"\x01\x01\x05vault"])
def test_a_name_that_cannot_be_read_is_reported_and_opens_nothing(make: Make, info: bytes):
    error = only_failure(make(pin=never_asked), EncryptedDataKey("pkcs11", info, bytes(48)))

    assert isinstance(error, UsageError)


def test_a_key_without_a_label_is_known_by_its_id(make: Make, vault: Vault):
    vault.make_key("vault", "", b"\x77\x78")

    edk = wrapped(make(None, key_id=b"\x77\x78"))

    assert edk.provider_info[:-12] == b"\x01\x01" + b"\x05vault" + b"\x00" + b"\x02\x77\x78" + b"\x80\x0c"
    assert opened(make(None, key_id=b"\x77\x78"), edk) == DATA_KEY


def test_two_tokens_of_one_label_are_told_apart_by_serial_number(make: Make, vault: Vault):
    serials = [token.serial.decode() for token in vault.tokens("twin")]

    with pytest.raises(UsageError, match="2 tokens could be meant") as error:
        wrapped(make(token_label="twin"))
    with pytest.raises(KeyringError, match="has no AES key"):
        wrapped(make(token_label="twin", token_serial=serials[0]))

    assert all(serial in str(error.value) for serial in serials)


def test_no_token_named_is_any_token_where_there_is_one_only(make: Make):
    with pytest.raises(UsageError, match="6 tokens could be meant"):
        wrapped(make(token_label=None))


@pytest.mark.parametrize(
    "names",
    [{"token_label": "attic"}, {"token_serial": "0"}, {"token_model": "x"}, {"token_manufacturer": "y"}],
    ids=str,
)
def test_a_token_that_is_not_there_is_missed(make: Make, names: dict[str, str]):
    with pytest.raises(KeyringError, match=r"no token at '.*' is the one wanted .*: is it inserted\?"):
        wrapped(make(**names))


def test_a_key_that_is_not_there_is_missed(make: Make):
    with pytest.raises(KeyringError, match=r"the token 'vault' has no AES key like token='vault', key='absent'$"):
        wrapped(make("absent"))


def test_two_keys_of_one_label_are_told_apart_by_id(make: Make, vault: Vault):
    for key_id in (b"\x11", b"\x12"):
        vault.make_key("vault", "double", key_id)

    with pytest.raises(UsageError, match="more than one AES key could be meant"):
        wrapped(make("double"))

    assert opened(make("double", key_id=b"\x11"), wrapped(make("double", key_id=b"\x11"))) == DATA_KEY


def test_a_key_that_may_not_encrypt_says_so(make: Make, vault: Vault):
    vault.make_key("vault", "reader", ENCRYPT=False)

    with pytest.raises(KeyringError, match="the key may not encrypt: its CKA_ENCRYPT is false"):
        wrapped(make("reader"))


def test_a_key_that_may_not_decrypt_says_so(make: Make, vault: Vault):
    vault.make_key("vault", "writer", DECRYPT=False)

    error = only_failure(make("writer"), wrapped(make("writer")))

    assert str(error) == "the key may not decrypt: its CKA_DECRYPT is false"


NO_PLACES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no key": ({"key_label": None}, UsageError, "no key is named"),
    "empty label": ({"key_label": ""}, UsageError, "key_label is empty"),
    "long label": ({"key_label": "ü" * 128}, UsageError, "key_label takes more than 255 bytes"),
    "not UTF-8": ({"token_label": "\ud800"}, UsageError, "not encodable"),
    "a null": ({"token_label": "vault\0"}, UsageError, "null character"),
    "empty id": ({"key_id": b""}, UsageError, "1 to 255 bytes, not 0"),
    "long id": ({"key_id": bytes(256)}, UsageError, "1 to 255 bytes, not 256"),
    "id as text": ({"key_id": "01"}, TypeError, "a key id is bytes"),
    "label as bytes": ({"key_label": b"wrapping"}, TypeError, "key_label is text"),
}


@pytest.mark.parametrize(("names", "kind", "reason"), NO_PLACES.values(), ids=NO_PLACES)
def test_names_that_no_key_can_have_are_refused(make: Make, names: dict[str, Any], kind: type[Exception], reason: str):
    with pytest.raises(kind, match=reason):
        make(**names)


# --- the library -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["libsofthsm2.so", "./libsofthsm2.so", ""])
def test_a_library_is_never_searched_for(path: str):
    with pytest.raises(UsageError, match=r"absolute|empty"):
        Pkcs11Keyring(path, key_label="wrapping")


def test_a_library_by_another_of_its_names_is_the_same(vault: Vault, make: Make, tmp_path: Path):
    other = tmp_path / "other.so"
    other.symlink_to(vault.library)
    edk = wrapped(make())

    by_other = Pkcs11Keyring(other, token_label="vault", key_label="wrapping", pin=lambda: PIN)

    assert opened(by_other, edk) == DATA_KEY


def test_a_library_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "text.so").write_text("not a library")

    for path in (tmp_path / "absent.so", tmp_path / "text.so"):
        with pytest.raises(KeyringError, match=rf"the PKCS#11 library '{path}' cannot be used: .*{path.name}"):
            wrapped(Pkcs11Keyring(path, key_label="wrapping"))


def test_without_python_pkcs11_it_says_what_to_install():
    code = """
import sys
sys.modules["pkcs11"] = None  # as if it were not installed
from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings import Pkcs11Keyring
try:
    Pkcs11Keyring("/usr/lib/any.so", key_label="wrapping")
except KeyringError as error:
    print(error)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.startswith("PKCS#11 tokens need python-pkcs11: pip install 'envelope-sdk[pkcs11]'")


# --- the PIN ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(make: Make) -> Iterator[Make]:
    """Makes keyrings over a token that nobody is logged in to when the test begins."""
    made: list[Pkcs11Keyring] = []

    def keyring(**other: Any) -> Pkcs11Keyring:
        made.append(make("behind", token_label="guarded", **other))
        return made[-1]

    yield keyring
    for ring in made:
        ring.close()


def test_a_pin_is_asked_for_once_and_not_before_it_is_needed(guarded: Make):
    pin = Asked(PIN)
    ring = guarded(pin=pin)
    assert pin.times == 0

    edk = wrapped(ring)

    assert opened(ring, edk) == DATA_KEY
    assert opened(guarded(pin=pin), edk) == DATA_KEY
    assert pin.times == 1


def test_without_a_pin_private_keys_are_missed_and_the_reason_named(guarded: Make):
    with pytest.raises(KeyringError, match="no PIN is given, and most keys can be seen only after a login"):
        wrapped(guarded(pin=None))


def test_a_wrong_pin_is_tried_once(guarded: Make):
    pin = Asked("1111-wrong")
    ring = guarded(pin=pin)

    with pytest.raises(KeyringError, match=r"C_Login with token 'guarded' failed: the token refuses the PIN"):
        wrapped(ring)
    for _ in range(3):
        with pytest.raises(KeyringError, match=r"refuses the PIN \(PinIncorrect\); this keyring does not try again"):
            wrapped(ring)

    assert pin.times == 1


def test_a_wrong_pin_is_not_tried_again_by_another_keyring(guarded: Make):
    for expected in ("the token refuses the PIN", "has refused this PIN before: it is not tried again"):
        with pytest.raises(KeyringError, match=expected):
            wrapped(guarded(pin=lambda: "2222-wrong"))


def test_a_wrong_pin_is_not_tried_again_by_another_name_of_the_library(guarded: Make, vault: Vault, tmp_path: Path):
    other = tmp_path / "other.so"
    other.symlink_to(vault.library)
    with pytest.raises(KeyringError, match="the token refuses the PIN"):
        wrapped(guarded(pin=lambda: "6666-wrong"))

    by_other = Pkcs11Keyring(other, token_label="guarded", key_label="wrapping", pin=lambda: "6666-wrong")

    with pytest.raises(KeyringError, match="has refused this PIN before"):
        wrapped(by_other)


def test_another_keyring_may_have_the_right_pin(guarded: Make):
    with pytest.raises(KeyringError):
        wrapped(guarded(pin=lambda: "3333-wrong"))

    assert opened(guarded(), wrapped(guarded())) == DATA_KEY


@pytest.mark.parametrize("wrong", ["", "1", "x" * 300])
def test_a_pin_that_cannot_be_one_is_refused(guarded: Make, wrong: str):
    with pytest.raises(KeyringError, match="the PIN"):
        wrapped(guarded(pin=lambda: wrong))


def test_a_wrong_pin_fails_every_data_key_of_a_message_and_is_tried_once(guarded: Make):
    writer = guarded()
    edk = wrapped(writer)
    writer.close()
    pin = Asked("4444-wrong")

    with pytest.raises(NoMatchingKeyError) as error:
        opened(guarded(pin=pin), edk, edk, edk)

    assert [type(failure.error) for failure in error.value.failures] == [KeyringError] * 3
    assert pin.times == 1
    assert "4444" not in str(error.value)


def test_a_pin_that_is_not_text_is_refused(guarded: Make):
    with pytest.raises(TypeError, match="a PIN is text, not bytes"):
        wrapped(guarded(pin=lambda: PIN.encode()))


def test_what_supplies_a_pin_may_use_a_token(make: Make, guarded: Make):
    edk = EncryptedDataKey("pkcs11", b"", b"")

    def unlocked() -> str:
        edk = wrapped(make())
        assert opened(make(), edk) == DATA_KEY
        return PIN

    edk = wrapped(guarded(pin=unlocked))

    assert edk.provider_id == "pkcs11"


def test_closing_logs_out_and_the_next_use_logs_in_again(guarded: Make):
    pin = Asked(PIN)
    ring, other = guarded(pin=pin), guarded(pin=pin)
    edk = wrapped(ring)
    assert opened(other, edk) == DATA_KEY

    ring.close()
    ring.close()

    with pytest.raises(KeyringError, match="no PIN is given"):
        wrapped(guarded(pin=None))
    assert opened(other, edk) == DATA_KEY
    assert opened(ring, edk) == DATA_KEY
    assert pin.times == 2


def test_nothing_shows_the_pin(guarded: Make):
    ring = guarded(pin=lambda: "5555-wrong")

    with pytest.raises(KeyringError) as error:
        wrapped(ring)

    link: BaseException | None = error.value
    while link is not None:
        assert "5555" not in f"{link!r} {link}"
        link = link.__cause__ or link.__context__
    assert repr(ring) == "Pkcs11Keyring(token='guarded', key='behind')"


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_can_be_neither_pickled_nor_copied(make: Make, take: Callable[[Any], Any]):
    with pytest.raises(TypeError, match="cannot be pickled"):
        take(make())


# --- from a URI ------------------------------------------------------------------------------------------------------


def test_a_uri_names_key_library_and_pin(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pin").write_text(f"{PIN}\n")
    monkeypatch.setenv("TOKEN_PIN", PIN)
    key = "pkcs11:token=vault;manufacturer=SoftHSM%20project;object=wrapping;id=%01;type=secret-key"

    for source in (f"file:{tmp_path}/pin", f"file://{tmp_path}/pin", f"{tmp_path}/pin", "env:TOKEN_PIN"):
        ring = Pkcs11Keyring.from_uri(f"{key}?module-path={vault.library}&pin-source={source}")
        assert opened(ring, wrapped(ring)) == DATA_KEY


def test_library_and_pin_may_come_from_elsewhere(vault: Vault, guarded: Make):
    pin = Asked(PIN)
    wrapped(guarded())  # which is closed at the end, and logs out

    ring = Pkcs11Keyring.from_uri("pkcs11:token=vault;object=wrapping", module_path=vault.library, pin=pin)

    assert opened(ring, wrapped(ring)) == DATA_KEY


def test_a_uri_without_a_library_is_refused():
    with pytest.raises(UsageError, match="names no library"):
        Pkcs11Keyring.from_uri("pkcs11:token=vault;object=wrapping")


# --- over a key that the program has found ---------------------------------------------------------------------------


def test_a_key_that_the_program_has_found_wraps_and_opens(make: Make, vault: Vault):
    ring = Pkcs11Keyring.from_key(vault.find_key("vault", "wrapping"))

    assert opened(ring, wrapped(make())) == DATA_KEY
    assert opened(make(), wrapped(ring)) == DATA_KEY
    assert repr(ring) == "Pkcs11Keyring('wrapping' id 01 of token 'vault')"
    ring.close()
    assert opened(ring, wrapped(make())) == DATA_KEY


def test_a_key_that_was_found_opens_no_data_key_of_another(make: Make, vault: Vault):
    with pytest.raises(NoMatchingKeyError, match="none of the message's"):
        opened(Pkcs11Keyring.from_key(vault.find_key("vault", "wrapping")), wrapped(make("other")))


def test_a_key_without_label_and_id_has_no_name_for_messages(vault: Vault):
    ring = Pkcs11Keyring.from_key(vault.make_key("vault", ""))

    with pytest.raises(UsageError, match="needs a token with a label, and a label or an id"):
        wrapped(ring)


@pytest.mark.parametrize("key", [None, "wrapping", object()])
def test_what_is_no_key_is_refused(key: object):
    with pytest.raises(KeyringError, match=r"C_GetAttributeValue with the key given failed"):
        Pkcs11Keyring.from_key(key)


class DeviceKey:
    """A key as python-pkcs11 would show it of a device that behaves as SoftHSM does not."""

    label = "wrapping"
    id = b"\x01"

    class session:  # noqa: N801 - an attribute of python-pkcs11's keys
        class token:  # noqa: N801
            label = "device"

    def __init__(self, fails: Exception | None = None) -> None:
        self._aead = AESGCM(sample_bytes(32, "device"))
        self._fails = fails

    def encrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
        if self._fails is not None:
            raise self._fails
        return self._aead.encrypt(mechanism_param.nonce, data, mechanism_param.aad)

    def decrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
        if self._fails is not None:
            raise self._fails
        try:
            return self._aead.decrypt(mechanism_param.nonce, data, mechanism_param.aad)
        except InvalidTag:
            raise pkcs11.exceptions.EncryptedDataInvalid from None


class DeviceWithIvs(DeviceKey):
    """It makes the IV itself and leaves it where the caller's lay."""

    def encrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
        mechanism_param.nonce = b"\xd0" * 12
        return super().encrypt(data, mechanism=mechanism, mechanism_param=mechanism_param)


def test_the_iv_of_a_device_that_makes_its_own_is_the_one_in_the_message():
    edk = wrapped(Pkcs11Keyring.from_key(DeviceWithIvs()))

    assert edk.provider_info[-12:] == b"\xd0" * 12
    assert opened(Pkcs11Keyring.from_key(DeviceKey()), edk) == DATA_KEY


def test_the_iv_that_a_device_is_given_is_nobody_elses():
    iv = bytes(12)
    given: list[bytes] = []

    class Device(DeviceKey):
        def encrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
            given.append(mechanism_param.nonce)
            return super().encrypt(data, mechanism=mechanism, mechanism_param=mechanism_param)

    wrapped(Pkcs11Keyring.from_key(Device(), random=lambda count: iv), DATA_KEY)

    assert given == [iv]
    assert given[0] is not iv


def test_an_answer_of_the_wrong_length_is_not_written():
    class Device(DeviceKey):
        def encrypt(self, data: bytes, *, mechanism: Any, mechanism_param: Any) -> bytes:
            return data

    with pytest.raises(KeyringError, match="made 32 bytes of 32 where 16 more are right"):
        wrapped(Pkcs11Keyring.from_key(Device()))


def test_a_device_that_follows_the_standard_says_what_does_not_authenticate():
    ring = Pkcs11Keyring.from_key(DeviceKey())

    assert isinstance(only_failure(ring, wrapped(ring), context=EncryptionContext()), AuthenticationError)


def test_a_device_that_fails_for_now_may_be_tried_again():
    ring = Pkcs11Keyring.from_key(DeviceKey(pkcs11.exceptions.DeviceError()))
    edk = wrapped(Pkcs11Keyring.from_key(DeviceKey()))

    with pytest.raises(KmsUnavailableError, match=r"PKCS#11 C_Encrypt with .* failed: the device has failed") as error:
        wrapped(ring)

    assert (error.value.retryable, error.value.operation, error.value.code) == (True, "C_Encrypt", "DeviceError")
    assert isinstance(only_failure(ring, edk), KmsUnavailableError)


def test_a_device_without_the_mechanism_says_so():
    with pytest.raises(KeyringError, match="cannot do CKM_AES_GCM"):
        wrapped(Pkcs11Keyring.from_key(DeviceKey(pkcs11.exceptions.MechanismInvalid())))


# --- sessions that are lost ------------------------------------------------------------------------------------------


@pytest.fixture
def restless(make: Make, vault: Vault) -> Make:
    """Makes keyrings over a token that others meddle with."""
    return lambda **other: make("behind", token_label="restless", **other)


def test_a_login_that_others_end_is_made_again(restless: Make, vault: Vault):
    with vault.logged_in("restless"):
        ring = restless()
        edk = wrapped(ring)

    assert opened(ring, edk) == DATA_KEY
    ring.close()


def test_a_login_that_others_end_is_made_again_by_a_keyring_that_had_not_found_its_key(restless: Make, vault: Vault):
    with vault.logged_in("restless"):
        ring = restless()
        edk = wrapped(ring)

    pin = Asked(PIN)
    another = restless(pin=pin)
    assert opened(another, edk) == DATA_KEY
    assert opened(ring, edk) == DATA_KEY
    assert pin.times == 1
    ring.close()
    another.close()


def test_a_key_that_is_not_there_is_looked_for_under_another_login_once(make: Make):
    wrapped(make())
    pin = Asked(PIN)
    ring = make("absent", pin=pin)

    for _ in range(3):
        with pytest.raises(KeyringError, match="has no AES key"):
            wrapped(ring)

    assert pin.times == 1


def test_a_key_that_was_destroyed_is_missed_from_then_on(make: Make, vault: Vault):
    key = vault.make_key("vault", "short-lived")
    ring = make("short-lived")
    edk = wrapped(ring)

    key.destroy()

    for _ in range(2):
        with pytest.raises(KeyringError, match="has no AES key like"):
            wrapped(ring)
        assert isinstance(only_failure(ring, edk), KeyringError)


PREPARING = """
import os, sys
from envelope_sdk import Client
from envelope_sdk.keyrings import Pkcs11Keyring
from envelope_sdk.errors import EnvelopeError
import pkcs11
library, pin = sys.argv[1:]
(token,) = [slot.get_token() for slot in pkcs11.lib(library).get_slots() if slot.get_token().label == "vault"]
with token.open(rw=True, user_pin=pin) as session:
    session.generate_key(pkcs11.KeyType.AES, 256, label="wrapping", store=True)
pins = []
def asked():
    pins.append(os.getpid())
    return pin
ring = Pkcs11Keyring(library, token_label="vault", key_label="wrapping", pin=asked)
"""

FINALIZING = """
message = Client(ring).encrypt(b"plaintext").ciphertext
pkcs11.lib(library).finalize()
print(Client(ring).decrypt(message).plaintext, len(pins))
pkcs11.lib(library).reinitialize()
print(Client(ring).decrypt(Client(ring).encrypt(b"again").ciphertext).plaintext, len(pins))
"""

FORKING = """
message = Client(ring).encrypt(b"plaintext").ciphertext
held = Pkcs11Keyring.from_key(token.open().get_key(label="wrapping"))
def tell(keyring):
    try:
        print(Client(keyring).decrypt(message).plaintext, len(pins))
    except EnvelopeError as error:
        print(error)
    sys.stdout.flush()
child = os.fork()
if child == 0:
    tell(ring)
    tell(held)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tell(ring)
tell(held)
"""


def run(tmp_path: Path, code: str, settings: str = "") -> list[str]:
    """Run a program of its own, since what it does to the library is done to the process, and return what it prints."""
    environment = {**os.environ, **make_tokens(tmp_path, "vault", settings=settings)}
    command = [sys.executable, "-c", PREPARING + code, library_path(), PIN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_library_that_others_finalize_is_begun_again(tmp_path: Path):
    assert run(tmp_path, FINALIZING) == ["b'plaintext' 2", "b'again' 3"]


def test_the_child_of_a_fork_begins_anew(tmp_path: Path):
    child, held_in_child, parent, held = run(tmp_path, FORKING, "library.reset_on_fork = true")

    assert (child, parent, held) == ("b'plaintext' 2", "b'plaintext' 1", "b'plaintext' 1")
    assert held_in_child.endswith("was opened before this process was forked: open it in this process")


def test_the_child_of_a_fork_is_told_where_the_library_does_not_let_it_begin_anew(tmp_path: Path):
    child, _, parent, held = run(tmp_path, FORKING, "library.reset_on_fork = false")

    assert "it was in use when this process was forked" in child
    assert "'spawn' or 'forkserver'" in child
    assert (parent, held) == ("b'plaintext' 1", "b'plaintext' 1")


def test_a_child_begins_anew_where_the_parent_had_used_the_library_by_other_means(tmp_path: Path):
    code = """
if os.fork() == 0:
    print(Client(ring).decrypt(Client(ring).encrypt(b"plaintext").ciphertext).plaintext, len(pins))
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""

    assert run(tmp_path, code, "library.reset_on_fork = true") == ["b'plaintext' 1"]


@pytest.mark.parametrize(
    "error",
    [pkcs11.exceptions.PKCS11Error("Unmapped error code 0x80000001"), UnicodeDecodeError("utf-8", b"", 0, 1, "odd")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_python_pkcs11_raises_a_documented_error_leaves(error: Exception):
    ring = Pkcs11Keyring.from_key(DeviceKey(error))

    with pytest.raises(KeyringError):
        wrapped(ring)
    assert isinstance(only_failure(ring, wrapped(Pkcs11Keyring.from_key(DeviceKey()))), KeyringError)
