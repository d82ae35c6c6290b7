"""Material that was not made here, as the store keeps it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from testkit.kms_kinds import available

from envelope_sdk.local_kms.key_pairs import (
    hmac_secret,
    load_key_pair,
    new_key_pair,
    new_secret,
    private_der,
    secret_from,
)
from envelope_sdk.local_kms.kinds import KEY_SPECS
from envelope_sdk.primitives.entropy import system_random

_PAIRS = [spec for spec in KEY_SPECS if spec not in ("SYMMETRIC_DEFAULT", "SM2") and not spec.startswith("HMAC")]


def test_of_a_symmetric_key_it_is_the_secret() -> None:
    assert secret_from("SYMMETRIC_DEFAULT", b"s" * 32) == b"s" * 32


@pytest.mark.parametrize(("spec", "length"), [("HMAC_224", 28), ("HMAC_256", 32), ("HMAC_384", 48), ("HMAC_512", 64)])
def test_of_an_hmac_key_it_is_read_as_one_that_is_made_here(spec: str, length: int) -> None:
    assert hmac_secret(spec, secret_from(spec, b"s" * length)) == b"s" * length
    assert len(secret_from(spec, b"s" * length)) == len(new_secret(spec, system_random))


@pytest.mark.parametrize("spec", _PAIRS)
def test_of_a_key_pair_it_is_read_as_one_that_is_made_here(spec: str) -> None:
    if not available(spec):
        pytest.skip(f"no {spec} here")
    made = private_der(new_key_pair(spec, system_random))

    assert private_der(load_key_pair(spec, secret_from(spec, made))) == made


@pytest.mark.parametrize(
    ("spec", "content", "expected"),
    [
        ("SYMMETRIC_DEFAULT", b"s" * 31, "is 32 bytes, not 31"),
        ("HMAC_512", b"s" * 32, "is 64 bytes, not 32"),
        ("RSA_2048", b"secret-words", "PKCS#8 in DER"),
        ("RSA_2048", b"", "PKCS#8 in DER"),
    ],
)
def test_what_cannot_be_is_refused_and_not_repeated(spec: str, content: bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        secret_from(spec, content)
    assert "secret-words" not in str(caught.value)


def test_a_private_key_of_another_kind_is_refused() -> None:
    curve = private_der(ec.generate_private_key(ec.SECP256R1()))
    short = private_der(rsa.generate_private_key(65537, 1024))
    for spec, content in (("ECC_NIST_P384", curve), ("RSA_2048", curve), ("RSA_2048", short)):
        with pytest.raises(ValueError, match=f"of a key {spec}"):
            secret_from(spec, content)


def test_an_encrypted_private_key_is_refused() -> None:
    pair = ec.generate_private_key(ec.SECP256R1())
    sealed = pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    with pytest.raises(ValueError, match="unencrypted"):
        secret_from("ECC_NIST_P256", sealed)


def test_an_older_form_of_a_private_key_is_kept_as_a_new_one() -> None:
    pair = ec.generate_private_key(ec.SECP256R1())
    older = pair.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert secret_from("ECC_NIST_P256", older) == private_der(pair)
