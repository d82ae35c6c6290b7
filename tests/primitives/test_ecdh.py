"""Keys for key agreement: which are taken, which are refused, and what is agreed on."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from envelope_sdk.errors import MessageError, UsageError
from envelope_sdk.primitives.ecdh import EcdhCurve, EcdhPrivateKey, EcdhPublicKey, check_curve

each_curve = pytest.mark.parametrize("curve", EcdhCurve, ids=lambda curve: curve.value)


def der_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def private_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_the_lengths_that_the_curves_have():
    assert [(curve.secret_length, curve.point_length) for curve in EcdhCurve] == [(32, 33), (48, 49), (66, 67)]


@each_curve
def test_both_sides_agree(curve: EcdhCurve):
    one, other = EcdhPrivateKey.generate(curve), EcdhPrivateKey.generate(curve)

    secret = one.agree(other.public)

    assert secret == other.agree(one.public)
    assert len(secret) == curve.secret_length
    assert secret != EcdhPrivateKey.generate(curve).agree(one.public)


def test_the_secret_of_a_published_pair_of_keys():
    """RFC 5903, 8.1."""
    mine = ec.derive_private_key(0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433, ec.SECP256R1())
    theirs = ec.derive_private_key(0xC6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53, ec.SECP256R1())

    secret = EcdhPrivateKey.load("key", mine, None).agree(EcdhPublicKey.load("key", theirs.public_key()))

    assert secret.hex() == "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"


@each_curve
def test_a_point_is_compressed_and_read_back(curve: EcdhCurve):
    public = EcdhPrivateKey.generate(curve).public

    assert len(public.point) == curve.point_length
    assert public.point[0] in (2, 3)
    assert EcdhPublicKey.from_point(curve, public.point).to_der() == public.to_der()


P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
GOOD = EcdhPrivateKey.generate(EcdhCurve.P256).public
UNCOMPRESSED = GOOD.key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
NOT_POINTS = {
    "nothing": b"",
    "infinity": b"\0",
    "infinity, as long as a point": bytes(33),
    "uncompressed": UNCOMPRESSED,
    "hybrid": b"\6" + UNCOMPRESSED[1:],
    "of another form": b"\5" + GOOD.point[1:],
    "too short": GOOD.point[:-1],
    "too long": GOOD.point + b"\0",
    "of another curve": EcdhPrivateKey.generate(EcdhCurve.P384).public.point,
    "not on the curve": b"\2" + (5).to_bytes(32, "big")[:31] + b"\1",
    "a coordinate past the prime": b"\2" + (P256_PRIME + 5).to_bytes(32, "big"),
    "the greatest coordinate": b"\2" + b"\xff" * 32,
}


@pytest.mark.parametrize("point", NOT_POINTS.values(), ids=NOT_POINTS)
def test_what_is_no_compressed_point_of_the_curve_is_refused(point: bytes):
    with pytest.raises(MessageError, match="not a compressed point of p256") as error:
        EcdhPublicKey.from_point(EcdhCurve.P256, point)

    assert error.value.section == "encrypted data key"


# --- keys from outside -----------------------------------------------------------------------------------------------


@each_curve
def test_a_public_key_is_read_from_pem_der_and_an_object(curve: EcdhCurve):
    key = EcdhPrivateKey.generate(curve).public.key
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    points = {EcdhPublicKey.load("key", form).point for form in (key, pem, b"\n " + pem, der_of(key))}

    assert len(points) == 1


def test_text_before_pem_does_not_matter():
    key = ec.generate_private_key(ec.SECP256R1())
    text = "Bag Attributes\n    friendlyName: größe\nKey Attributes: <No Attributes>\n".encode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    points = {
        EcdhPublicKey.load("key", text + public).point,
        EcdhPrivateKey.load("key", text + private, None).public.point,
    }

    assert points == {EcdhPublicKey.load("key", key.public_key()).point}


def test_a_compressed_point_in_der_is_read_too():
    prefix = der_of(GOOD.key)[2:-68]

    loaded = EcdhPublicKey.load("key", b"\x30" + bytes([len(prefix) + 36]) + prefix + b"\x03\x22\0" + GOOD.point)

    assert loaded.to_der() == GOOD.to_der()


@each_curve
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["PKCS#8", "SEC 1"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["PEM", "DER"])
def test_a_private_key_is_read_from(curve: EcdhCurve, form: PrivateFormat, encoding: Encoding):
    key = ec.generate_private_key(EcdhPrivateKey.generate(curve).public.key.curve)

    loaded = EcdhPrivateKey.load("key", key.private_bytes(encoding, form, NoEncryption()), None)

    assert loaded.public.to_der() == der_of(key.public_key())
    assert loaded.public.curve is curve


def off_the_curve() -> bytes:
    der = der_of(GOOD.key)
    return der[:-1] + bytes([der[-1] ^ 1])


def at_infinity() -> bytes:
    prefix = der_of(GOOD.key)[2:-68]
    return b"\x30" + bytes([len(prefix) + 4]) + prefix + b"\x03\x02\0\0"


NOT_PUBLIC_KEYS = {
    "nothing": b"",
    "junk": b"junk",
    "broken PEM": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "off the curve": off_the_curve(),
    "at infinity": at_infinity(),
    "a point without its DER": GOOD.point,
    "a private key": private_der(ec.generate_private_key(ec.SECP256R1())),
    "SM2": bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200") + b"\4" + bytes(64),
}


@pytest.mark.parametrize("data", NOT_PUBLIC_KEYS.values(), ids=NOT_PUBLIC_KEYS)
def test_what_is_no_public_key_is_refused(data: bytes):
    with pytest.raises(UsageError, match="the recipient's key is neither PEM nor DER of a public key"):
        EcdhPublicKey.load("recipient's key", data)


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()], ids=lambda curve: curve.name)
def test_other_curves_are_refused_with_those_there_are(curve: ec.EllipticCurve):
    key = ec.generate_private_key(curve)

    for load in (
        lambda: EcdhPublicKey.load("key", der_of(key.public_key())),
        lambda: EcdhPrivateKey.load("key", private_der(key), None),
    ):
        with pytest.raises(UsageError, match=f"the key is on {curve.name}, which is none of p256, p384, p521"):
            load()


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65_537, 2048), ed25519.Ed25519PrivateKey.generate(), x25519.X25519PrivateKey.generate()],
)
def test_keys_of_other_kinds_are_refused(key):
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    for load in (
        lambda: EcdhPublicKey.load("key", public),
        lambda: EcdhPublicKey.load("key", key),
        lambda: EcdhPublicKey.load("key", 7),  # type: ignore[arg-type]
        lambda: EcdhPublicKey.load("key", "-----BEGIN PUBLIC KEY-----"),  # type: ignore[arg-type]
        lambda: EcdhPrivateKey.load("key", private, None),
        lambda: EcdhPrivateKey.load("key", key.public_key(), None),
    ):
        with pytest.raises(UsageError, match=r"not an EllipticCurveP.*: give PEM or DER bytes"):
            load()


def test_a_private_key_on_a_curve_that_cannot_be_read_is_refused():
    sm2 = bytes.fromhex("30310201010420") + (7).to_bytes(32, "big") + bytes.fromhex("a00a06082a811ccf5501822d")

    with pytest.raises(UsageError, match="the key is not PEM or DER of a private key"):
        EcdhPrivateKey.load("key", sm2, None)


def test_a_private_key_that_does_not_go_with_its_public_half_is_refused():
    one, other = (private_der(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))

    with pytest.raises(UsageError, match="not PEM or DER of a private key"):
        EcdhPrivateKey.load("key", one[:-64] + other[-64:], None)


@pytest.mark.parametrize("number", [bytes(32), b"\xff" * 32], ids=["zero", "past the order"])
def test_a_private_key_that_is_no_number_of_its_curve_is_refused(number: bytes):
    der = private_der(ec.generate_private_key(ec.SECP256R1()))
    start = der.index(b"\x04\x20") + 2

    with pytest.raises(UsageError, match="not PEM or DER of a private key"):
        EcdhPrivateKey.load("key", der[:start] + number + der[start + 32 :], None)


def test_a_key_of_another_curve_than_wanted_is_refused():
    check_curve("key", GOOD, None)
    check_curve("key", GOOD, "p256")
    check_curve("key", GOOD, EcdhCurve.P256)
    with pytest.raises(UsageError, match="the key is on p256, not on p384"):
        check_curve("key", GOOD, "p384")
    with pytest.raises(UsageError, match="'P-256' is none of p256, p384, p521"):
        check_curve("key", GOOD, "P-256")


def test_a_private_key_shows_and_gives_away_nothing():
    key = EcdhPrivateKey.generate(EcdhCurve.P384)

    assert repr(key) == "EcdhPrivateKey(p384, <secret>)"
    assert repr(key.public) == f"EcdhPublicKey(p384 {key.public.point[:8].hex()}...)"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take(key)
