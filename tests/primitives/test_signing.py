"""Signatures: of one length when written, of any when read, and keys only of the right curve."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import PublicFormat
from testkit.builder import Signer

from envelope_sdk.errors import SignatureError
from envelope_sdk.formats import SignatureAlgorithm
from envelope_sdk.primitives.digest import MessageDigest
from envelope_sdk.primitives.signing import SigningKey, VerificationKey

ALGORITHMS = list(SignatureAlgorithm)
P256, P384 = ALGORITHMS


def digest_of(algorithm: SignatureAlgorithm, data: bytes) -> bytes:
    digest = MessageDigest(algorithm)
    digest.update(data)
    return digest.finalize()


@pytest.mark.parametrize(("algorithm", "length"), [(P256, 71), (P384, 103)])
def test_signatures_are_written_with_one_length_and_hold(algorithm: SignatureAlgorithm, length: int):
    key = SigningKey.generate(algorithm)
    verification = VerificationKey(algorithm, key.encoded_public_key)
    for number in range(150):
        digest = digest_of(algorithm, number.to_bytes(4, "big"))
        signature = key.sign(digest)
        assert len(signature) == length
        verification.verify(signature, digest)


@pytest.mark.parametrize(("algorithm", "hash_length"), [(P256, 32), (P384, 48)])
def test_the_digest_is_the_curves(algorithm: SignatureAlgorithm, hash_length: int):
    assert len(digest_of(algorithm, b"")) == hash_length


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_how_the_digest_is_fed_does_not_matter(algorithm: SignatureAlgorithm):
    digest = MessageDigest(algorithm)
    for piece in (b"a", bytearray(b"bc"), memoryview(b"d")):
        digest.update(piece)

    assert digest.finalize() == digest_of(algorithm, b"abcd")


@pytest.mark.parametrize("length", [69, 70, 71, 72])
def test_any_length_of_der_is_read(length: int):
    signer = Signer(P256)
    signature = signer.of_length(b"data", length)

    VerificationKey(P256, signer.public_key).verify(signature, digest_of(P256, b"data"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_low_and_high_s_are_read(algorithm: SignatureAlgorithm):
    signer = Signer(algorithm)
    key = VerificationKey(algorithm, signer.public_key)
    low, high = signer.low_s(b"data"), signer.high_s(b"data")

    assert decode_dss_signature(low)[1] + decode_dss_signature(high)[1] == algorithm.curve_order
    key.verify(low, digest_of(algorithm, b"data"))
    key.verify(high, digest_of(algorithm, b"data"))


@pytest.mark.parametrize("signature", [b"", b"\0", b"\x30\0", b"\x30\x06\2\1\1\2\1\1", bytes(71), b"\xff" * 103])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_no_signature_of_the_data_is_refused(algorithm: SignatureAlgorithm, signature: bytes):
    with pytest.raises(SignatureError) as error:
        VerificationKey(algorithm, Signer(algorithm).public_key).verify(signature, digest_of(algorithm, b"data"))

    assert error.value.section == "footer"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_data_or_another_key_does_not_verify(algorithm: SignatureAlgorithm):
    signer = Signer(algorithm)
    signature = signer.sign(b"data")

    with pytest.raises(SignatureError):
        VerificationKey(algorithm, signer.public_key).verify(signature, digest_of(algorithm, b"Data"))
    with pytest.raises(SignatureError):
        VerificationKey(algorithm, Signer(algorithm, 12345).public_key).verify(signature, digest_of(algorithm, b"data"))


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "A",
        "not base64",
        "é",
        Signer(P384).public_key,
        base64.b64encode(Signer(P256).point(PublicFormat.UncompressedPoint)).decode(),
        base64.b64encode(b"\4" + Signer(P256).point()[1:]).decode(),
        base64.b64encode(b"\2" + b"\xff" * 32).decode(),
        base64.b64encode(Signer(P256).point() + b"\0").decode(),
        base64.urlsafe_b64encode(b"\2" + b"\xff" * 32).decode(),
        Signer(P256).public_key + "\n",
    ],
)
def test_only_a_compressed_point_of_the_curve_in_base64_is_a_public_key(encoded: str):
    with pytest.raises(SignatureError, match="compressed point of P-256"):
        VerificationKey(P256, encoded)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_public_key_is_written_as_a_compressed_point_in_base64(algorithm: SignatureAlgorithm):
    private = ec.derive_private_key(Signer(algorithm).secret, {P256: ec.SECP256R1(), P384: ec.SECP384R1()}[algorithm])

    encoded = SigningKey(algorithm, private).encoded_public_key

    assert encoded == Signer(algorithm).public_key
    assert len(base64.b64decode(encoded)) == algorithm.public_key_length


def test_a_signing_key_shows_and_gives_away_nothing():
    key = SigningKey.generate(P256)

    assert repr(key) == "SigningKey(ECDSA_P256_SHA256, <secret>)"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take(key)
