"""The raw ECDH keyring: every curve and scheme, who opens what, and what becomes of altered bytes."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import SUITES, suite_name
from testkit.materials import CONTEXT, DATA_KEY, to_open, to_wrap
from testkit.randomness import SeededRandom

from envelope_sdk import AlgorithmSuite, Client, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import AuthenticationError, KeyringError, MessageError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import EcdhCurve, MultiKeyring, RawAesKeyring, RawEcdhKeyring
from envelope_sdk.materials import Keyring

CURVES = {EcdhCurve.P256: ec.SECP256R1(), EcdhCurve.P384: ec.SECP384R1(), EcdhCurve.P521: ec.SECP521R1()}
each_curve = pytest.mark.parametrize("curve", EcdhCurve, ids=lambda curve: curve.value)


@cache
def _made(_name: str, curve: EcdhCurve) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(CURVES[curve])


def key_of(name: str, curve: EcdhCurve = EcdhCurve.P256) -> ec.EllipticCurvePrivateKey:
    """Return a person's key, made once a run; nothing here depends on its value."""
    return _made(name, curve)


def public_of(name: str, curve: EcdhCurve = EcdhCurve.P256) -> ec.EllipticCurvePublicKey:
    return key_of(name, curve).public_key()


def point_of(name: str, curve: EcdhCurve = EcdhCurve.P256) -> bytes:
    return public_of(name, curve).public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def static(mine: str, other: str, curve: EcdhCurve = EcdhCurve.P256) -> RawEcdhKeyring:
    return RawEcdhKeyring.static(key_of(mine, curve), public_of(other, curve))


def discovery(mine: str, curve: EcdhCurve = EcdhCurve.P256) -> RawEcdhKeyring:
    return RawEcdhKeyring.discovery(key_of(mine, curve))


def wrapping(scheme: str, curve: EcdhCurve = EcdhCurve.P256) -> RawEcdhKeyring:
    """Return a keyring that wraps for Bob."""
    match scheme:
        case "static":
            return static("alice", "bob", curve)
        case "ephemeral":
            return RawEcdhKeyring.ephemeral(public_of("bob", curve))
        case _:
            return RawEcdhKeyring.pair(key_of("bob", curve))


def wrapped(by: RawEcdhKeyring, data_key: bytes = DATA_KEY) -> EncryptedDataKey:
    (edk,) = by.on_encrypt(to_wrap(data_key)).encrypted_data_keys
    return edk


def opened(by: RawEcdhKeyring, *edks: EncryptedDataKey) -> bytes | None:
    return by.on_decrypt(to_open(), edks).plaintext_data_key


def failures_of(by: RawEcdhKeyring, *edks: EncryptedDataKey) -> list[Exception]:
    with pytest.raises(NoMatchingKeyError) as error:
        by.on_decrypt(to_open(), edks)
    return [failure.error for failure in error.value.failures]


each_scheme = pytest.mark.parametrize("scheme", ["static", "ephemeral", "pair"])


@each_scheme
def test_it_is_a_keyring(scheme: str):
    assert isinstance(wrapping(scheme), Keyring)


# --- wrapping and opening --------------------------------------------------------------------------------------------


@each_curve
@each_scheme
def test_who_has_the_recipient_s_private_key_opens_it(scheme: str, curve: EcdhCurve):
    edk = wrapped(wrapping(scheme, curve))

    assert opened(discovery("bob", curve), edk) == DATA_KEY
    assert opened(RawEcdhKeyring.pair(key_of("bob", curve)), edk) == DATA_KEY


@each_curve
def test_two_static_parties_open_what_either_wrote(curve: EcdhCurve):
    alice, bob = static("alice", "bob", curve), static("bob", "alice", curve)

    for writer in (alice, bob):
        for reader in (alice, bob):
            assert opened(reader, wrapped(writer)) == DATA_KEY


def test_a_party_may_correspond_with_itself():
    ring = static("alice", "alice")

    assert opened(ring, wrapped(ring)) == DATA_KEY


@each_curve
@pytest.mark.parametrize("reader", ["sender", "stranger", "other static party"])
def test_nobody_else_opens_it(reader: str, curve: EcdhCurve):
    ring = {
        "sender": discovery("alice", curve),
        "stranger": discovery("eve", curve),
        "other static party": static("bob", "eve", curve),
    }[reader]

    (error,) = failures_of(ring, wrapped(static("alice", "bob", curve)))

    assert "none of the message's data keys is wrapped for this key" in str(error)


def test_a_static_party_does_not_open_what_came_from_an_ephemeral_key():
    failures_of(static("bob", "alice"), wrapped(wrapping("ephemeral")))


def test_keys_of_one_name_on_another_curve_are_told_apart():
    failures_of(discovery("bob", EcdhCurve.P384), wrapped(static("alice", "bob", EcdhCurve.P256)))


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
@each_scheme
def test_it_makes_a_data_key_of_the_suites_length_where_there_is_none(scheme: str, suite: AlgorithmSuite):
    materials = wrapping(scheme).on_encrypt(to_wrap(None, suite=suite))

    read = discovery("bob").on_decrypt(to_open(suite=suite), materials.encrypted_data_keys)

    assert len(materials.plaintext_data_key or b"") == suite.key_length
    assert read.plaintext_data_key == materials.plaintext_data_key


@pytest.mark.parametrize("scheme", ["ephemeral", "pair"])
def test_every_ephemeral_message_has_a_sender_of_its_own(scheme: str):
    ring = wrapping(scheme)

    assert len({wrapped(ring).provider_info for _ in range(4)}) == 4


def test_every_wrapping_has_a_salt_of_its_own():
    ring = static("alice", "bob")

    assert len({wrapped(ring).ciphertext[:32] for _ in range(4)}) == 4


def test_the_same_randomness_gives_the_same_bytes():
    one, other = (
        RawEcdhKeyring.static(key_of("alice"), public_of("bob"), random=SeededRandom()).on_encrypt(to_wrap(None))
        for _ in range(2)
    )

    assert one == other


def test_a_whole_message_round_trips():
    message = Client(wrapping("ephemeral")).encrypt(b"for bob", encryption_context={"a": "b"}).ciphertext

    assert Client(discovery("bob")).decrypt(message).plaintext == b"for bob"


def test_a_multi_keyring_wraps_for_several_people():
    people = [RawEcdhKeyring.ephemeral(public_of(name)) for name in ("alice", "bob")]
    message = Client(MultiKeyring(RawAesKeyring("test", "key", bytes(32)), people)).encrypt(b"for both").ciphertext

    for name in ("alice", "bob"):
        assert Client(discovery(name)).decrypt(message).plaintext == b"for both"


# --- on the wire -----------------------------------------------------------------------------------------------------


@each_curve
def test_the_layout_of_what_it_writes(curve: EcdhCurve):
    edk = wrapped(static("alice", "bob", curve))
    length = {EcdhCurve.P256: 33, EcdhCurve.P384: 49, EcdhCurve.P521: 67}[curve]
    field = length.to_bytes(4, "big")

    assert edk.provider_id == "raw-ecdh"
    assert edk.provider_info == b"\1" + field + point_of("bob", curve) + field + point_of("alice", curve)
    assert len(edk.ciphertext) == 32 + 32 + len(DATA_KEY) + 16


@each_curve
def test_what_is_derived_from_the_secret_follows_the_specification(curve: EcdhCurve):
    """Done here with nothing but HMAC (SP 800-108, counter mode; two blocks of SHA-384 make the 64 bytes)."""
    edk = wrapped(static("alice", "bob", curve))
    salt, commitment, sealed = edk.ciphertext[:32], edk.ciphertext[32:64], edk.ciphertext[64:]
    secret = key_of("bob", curve).exchange(ec.ECDH(), public_of("alice", curve))
    context = b"\0\1" + b"\0\7purpose" + b"\0\4test"
    points = point_of("alice", curve) + point_of("bob", curve)
    fixed_info = b"\0".join([b"ecdh-key-derivation", curve.value.encode(), b"HMAC_SHA384", points, b"\1", context])
    blocks = [
        hmac.digest(
            secret, count.to_bytes(4, "big") + fixed_info + b"\0" + salt + (512).to_bytes(4, "big"), hashlib.sha384
        )
        for count in (1, 2)
    ]
    derived = b"".join(blocks)[:64]

    assert commitment == derived[:32]
    assert AESGCM(derived[32:]).decrypt(bytes(12), sealed, fixed_info) == DATA_KEY


def test_without_a_context_nothing_stands_in_its_place():
    context = EncryptionContext()
    ring = static("alice", "bob")
    materials = ring.on_encrypt(to_wrap(context=context))

    assert ring.on_decrypt(to_open(context=context), materials.encrypted_data_keys).plaintext_data_key == DATA_KEY


def test_another_context_does_not_open_it():
    with pytest.raises(NoMatchingKeyError, match="wrong key or wrong encryption context") as error:
        discovery("bob").on_decrypt(
            to_open(context=EncryptionContext({"purpose": "other"})), [wrapped(static("alice", "bob"))]
        )

    (failure,) = error.value.failures
    assert isinstance(failure.error, AuthenticationError)


@pytest.mark.parametrize("ring", [discovery("bob"), static("bob", "alice")], ids=["discovery", "static"])
def test_what_the_kms_keyring_wrapped_opens_as_well(ring: RawEcdhKeyring):
    edk = wrapped(static("alice", "bob"))

    assert opened(ring, EncryptedDataKey("aws-kms-ecdh", edk.provider_info, edk.ciphertext)) == DATA_KEY


@pytest.mark.parametrize("provider_id", ["raw-ecd", "raw-ecdh2", "aws-kms", ""])
def test_other_provider_ids_are_not_its_own(provider_id: str):
    edk = wrapped(static("alice", "bob"))

    (error,) = failures_of(discovery("bob"), EncryptedDataKey(provider_id, edk.provider_info, edk.ciphertext))

    assert "none of the message's data keys" in str(error)


# --- damage ----------------------------------------------------------------------------------------------------------


@given(
    curve=st.sampled_from(list(EcdhCurve)),
    scheme=st.sampled_from(["static", "ephemeral", "pair"]),
    in_info=st.booleans(),
    place=st.integers(0, 2**16),
    change=st.integers(1, 255),
)
def test_any_altered_byte_is_noticed(curve: EcdhCurve, scheme: str, in_info: bool, place: int, change: int):
    edk = wrapped(wrapping(scheme, curve))
    altered = bytearray(edk.provider_info if in_info else edk.ciphertext)
    altered[place % len(altered)] ^= change
    bad = EncryptedDataKey(
        edk.provider_id, bytes(altered) if in_info else edk.provider_info, edk.ciphertext if in_info else bytes(altered)
    )

    for ring in (discovery("bob", curve), static("bob", "alice", curve)):
        failures_of(ring, bad)
        assert opened(ring, bad, wrapped(static("alice", "bob", curve))) == DATA_KEY


@given(info=st.binary(max_size=160), ciphertext=st.binary(max_size=160))
def test_whatever_the_bytes_only_typed_errors_leave(info: bytes, ciphertext: bytes):
    for start in (b"", b"\1\0\0\0\x21", wrapped(static("alice", "bob")).provider_info):
        failures_of(discovery("bob"), EncryptedDataKey("raw-ecdh", start + info, ciphertext))


@given(cut=st.integers(0, 200), in_info=st.booleans())
def test_whatever_is_cut_off_is_noticed(cut: int, in_info: bool):
    edk = wrapped(static("alice", "bob"))
    info, ciphertext = edk.provider_info, edk.ciphertext
    if in_info:
        info = info[: cut % len(info)]
    else:
        ciphertext = ciphertext[: cut % len(ciphertext)]

    failures_of(discovery("bob"), EncryptedDataKey("raw-ecdh", info, ciphertext))


def info_of(recipient: bytes, sender: bytes) -> bytes:
    return b"\1" + len(recipient).to_bytes(4, "big") + recipient + len(sender).to_bytes(4, "big") + sender


MALFORMED = {
    "nothing": b"",
    "another version": b"\2" + info_of(point_of("bob"), point_of("alice"))[1:],
    "no points": info_of(b"", b""),
    "no sender": info_of(point_of("bob"), b""),
    "points of two curves": info_of(point_of("bob"), point_of("alice", EcdhCurve.P384)),
    "points of no curve's length": info_of(bytes(32), bytes(32)),
    "a length past the end": b"\1\xff\xff\xff\xff" + point_of("bob"),
    "a sender's length of another value": info_of(point_of("bob"), point_of("alice"))[:38]
    + b"\0\0\0\x20"
    + point_of("alice"),
    "something after it": info_of(point_of("bob"), point_of("alice")) + b"\0",
}


@pytest.mark.parametrize("info", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("ring", [discovery("bob"), static("bob", "alice")], ids=["discovery", "static"])
def test_parties_that_are_malformed_are_reported_and_fail_alone(ring: RawEcdhKeyring, info: bytes):
    good = wrapped(static("alice", "bob"))
    bad = EncryptedDataKey("raw-ecdh", info, good.ciphertext)

    (error,) = failures_of(ring, bad)

    assert isinstance(error, MessageError)
    assert error.section == "encrypted data key"
    assert opened(ring, bad, good) == DATA_KEY


@pytest.mark.parametrize("sender", [bytes(33), b"\2" + b"\xff" * 32, b"\4" + bytes(32)], ids=["zeros", "past", "form"])
def test_a_sender_that_is_no_point_is_reported(sender: bytes):
    bad = EncryptedDataKey("raw-ecdh", info_of(point_of("bob"), sender), bytes(112))

    (error,) = failures_of(discovery("bob"), bad)

    assert isinstance(error, MessageError)
    assert "not a compressed point of p256" in str(error)


@pytest.mark.parametrize("length", [0, 31, 64, 79])
def test_a_ciphertext_that_is_too_short_is_reported(length: int):
    (error,) = failures_of(
        discovery("bob"), EncryptedDataKey("raw-ecdh", info_of(point_of("bob"), point_of("alice")), bytes(length))
    )

    assert isinstance(error, MessageError)
    assert "too short" in str(error)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_data_key_of_a_wrong_length_fails_alone(length: int):
    ring = static("alice", "bob")
    short = wrapped(ring, bytes(length))

    assert opened(ring, short, wrapped(ring)) == DATA_KEY
    assert f"has {length} bytes" in str(failures_of(ring, short)[0])


def test_every_data_key_tried_has_an_entry_among_the_failures():
    good = wrapped(static("alice", "bob"))
    edks = [
        EncryptedDataKey("raw-ecdh", b"", b""),
        EncryptedDataKey("other", good.provider_info, b""),
        EncryptedDataKey("aws-kms-ecdh", good.provider_info, bytes(112)),
        wrapped(static("alice", "eve")),
    ]

    errors = failures_of(discovery("bob"), *edks)

    assert [type(error) for error in errors] == [MessageError, AuthenticationError]


def test_a_data_key_that_is_there_is_not_replaced():
    for ring in (discovery("bob"), static("bob", "alice"), wrapping("ephemeral")):
        with pytest.raises(UsageError, match="already hold"):
            ring.on_decrypt(to_open(DATA_KEY), [wrapped(static("alice", "bob"))])


def test_materials_that_were_given_stay_as_they_were():
    given_to_wrap, given_to_open = to_wrap(None), to_open()
    materials = wrapping("static").on_encrypt(given_to_wrap)
    discovery("bob").on_decrypt(given_to_open, materials.encrypted_data_keys)

    assert (given_to_wrap, given_to_open) == (to_wrap(None), to_open())


# --- schemes for one direction ---------------------------------------------------------------------------------------


def test_an_ephemeral_sender_does_not_decrypt():
    ring = wrapping("ephemeral")

    with pytest.raises(NoMatchingKeyError, match="no private key and so cannot decrypt"):
        ring.on_decrypt(to_open(), [wrapped(ring)])


def test_discovery_does_not_encrypt():
    with pytest.raises(KeyringError, match="knows no recipient's public key and so cannot encrypt"):
        discovery("bob").on_encrypt(to_wrap())


# --- keys ------------------------------------------------------------------------------------------------------------


def pem_of(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_keys_may_be_bytes():
    public = public_of("bob").public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ring = RawEcdhKeyring.static(pem_of(key_of("alice")), public)

    assert opened(RawEcdhKeyring.discovery(pem_of(key_of("bob"))), wrapped(ring)) == DATA_KEY


def test_a_password_opens_a_protected_private_key():
    protected = pem_of(key_of("bob"), b"correct horse")
    edk = wrapped(static("alice", "bob"))

    for ring in (
        RawEcdhKeyring.discovery(protected, password=b"correct horse"),
        RawEcdhKeyring.pair(protected, password=b"correct horse"),
        RawEcdhKeyring.static(protected, public_of("alice"), password=b"correct horse"),
    ):
        assert opened(ring, edk) == DATA_KEY


@pytest.mark.parametrize(
    ("key", "password", "reason"),
    [
        (pem_of(key_of("bob"), b"correct horse"), None, "give its password"),
        (pem_of(key_of("bob"), b"correct horse"), b"wrong", "password is wrong"),
        (pem_of(key_of("bob")), b"correct horse", "give no password"),
        (pem_of(key_of("bob"), b"correct horse"), b"", "is empty: give None"),
        (pem_of(key_of("bob")), b"", "is empty: give None"),
    ],
    ids=["none", "wrong", "needless", "empty", "empty and needless"],
)
def test_passwords_that_do_not_fit_are_told_apart(key: bytes, password: bytes | None, reason: str):
    with pytest.raises(UsageError, match=reason) as error:
        RawEcdhKeyring.discovery(key, password=password)

    assert "correct horse" not in str(error.value)


def test_a_password_that_is_not_bytes_is_a_type_error():
    protected = pem_of(key_of("bob"), b"correct horse")

    with pytest.raises(TypeError, match="a password is bytes, not str"):
        RawEcdhKeyring.discovery(protected, password="correct horse")  # type: ignore[arg-type]


def test_keys_of_two_curves_do_not_go_together():
    with pytest.raises(UsageError, match="recipient's public key is on p384, not on p256"):
        RawEcdhKeyring.static(key_of("alice"), public_of("bob", EcdhCurve.P384))


def test_a_curve_that_is_asked_for_is_insisted_on():
    for make in (
        lambda: RawEcdhKeyring.static(key_of("alice"), public_of("bob"), curve="p384"),
        lambda: RawEcdhKeyring.ephemeral(public_of("bob"), curve=EcdhCurve.P384),
        lambda: RawEcdhKeyring.discovery(key_of("bob"), curve="p384"),
        lambda: RawEcdhKeyring.pair(key_of("bob"), curve="p384"),
    ):
        with pytest.raises(UsageError, match="is on p256, not on p384"):
            make()
    assert RawEcdhKeyring.static(key_of("alice"), public_of("bob"), curve="p256")


def test_a_curve_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="'sm2' is none of p256, p384, p521"):
        RawEcdhKeyring.ephemeral(public_of("bob"), curve="sm2")


def test_halves_in_each_others_place_are_refused():
    with pytest.raises(UsageError, match="private key is ECPublicKey, not an EllipticCurvePrivateKey"):
        RawEcdhKeyring.static(public_of("alice"), public_of("bob"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="recipient's public key is ECPrivateKey, not an EllipticCurvePublicKey"):
        RawEcdhKeyring.static(key_of("alice"), key_of("bob"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="neither PEM nor DER of a public key"):
        RawEcdhKeyring.ephemeral(pem_of(key_of("bob")))


def test_a_key_alone_does_not_say_what_is_to_be_done_with_it():
    with pytest.raises(TypeError):
        RawEcdhKeyring(pem_of(key_of("bob")))  # type: ignore[call-arg, misc]


# --- what it tells, and who may hold it ------------------------------------------------------------------------------


def test_its_repr_says_the_scheme_and_whose_keys():
    alice, bob = point_of("alice")[:8].hex(), point_of("bob")[:8].hex()

    assert repr(static("alice", "bob")) == f"RawEcdhKeyring(static, p256 {alice}... to p256 {bob}...)"
    assert repr(wrapping("ephemeral")) == f"RawEcdhKeyring(ephemeral, to p256 {bob}...)"
    assert repr(discovery("bob")) == f"RawEcdhKeyring(discovery, p256 {bob}...)"
    assert repr(wrapping("pair")) == f"RawEcdhKeyring(pair, p256 {bob}...)"


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_can_be_neither_pickled_nor_copied(take):
    for ring in (static("alice", "bob"), discovery("bob"), wrapping("ephemeral"), wrapping("pair")):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take(ring)


def test_no_text_holds_a_secret():
    key = key_of("alice")
    number = key.private_numbers().private_value.to_bytes(32, "big")
    shared = key.exchange(ec.ECDH(), public_of("bob"))
    ring = static("alice", "bob")
    other = EncryptionContext({"other": ""})

    with pytest.raises(NoMatchingKeyError) as error:
        ring.on_decrypt(to_open(context=other), [wrapped(ring, b"\x42" * 32), wrapped(ring, b"\x43" * 9)])

    for text in (repr(ring), str(ring), str(error.value), repr(error.value.failures)):
        for secret in (number, shared, b"\x42" * 32, b"\x43" * 9):
            assert secret.hex() not in text
            assert secret.hex()[:16] not in text
            assert repr(secret)[2:-1] not in text


@each_scheme
def test_threads_may_share_it(scheme: str):
    ring, reader = wrapping(scheme), discovery("bob")

    def there_and_back(number: int) -> bool:
        data_key = number.to_bytes(32, "big")
        return opened(reader, wrapped(ring, data_key)) == data_key

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(there_and_back, range(60)))


def test_the_context_of_these_tests_is_the_one_spelled_out_above():
    assert dict(CONTEXT) == {"purpose": "test"}
