"""Key files of ECDH keys: each scheme comes back as what it was written as. AES and RSA have theirs among the CLI's."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from testkit.materials import DATA_KEY, to_open, to_wrap

from envelope_sdk.errors import KeyringError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import RawEcdhKeyring
from envelope_sdk.keyrings.key_files import encode_ecdh_key_file, parse_key_file

ALICE, BOB = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


FILES = {
    "pair": encode_ecdh_key_file("pair", private_key=private_pem(BOB)),
    "discovery": encode_ecdh_key_file("discovery", private_key=private_pem(BOB)),
    "ephemeral": encode_ecdh_key_file("ephemeral", recipient_public_key=public_pem(BOB)),
    "static": encode_ecdh_key_file("static", private_key=private_pem(ALICE), recipient_public_key=public_pem(BOB)),
}


@pytest.mark.parametrize("scheme", FILES)
def test_a_file_says_its_scheme_and_makes_that_keyring(scheme: str):
    made = parse_key_file(FILES[scheme])

    assert (made.kind, made.secret) == ("raw-ecdh", scheme != "ephemeral")
    assert repr(made.keyring).startswith(f"RawEcdhKeyring({scheme}, ")
    assert {"type": "raw-ecdh", "scheme": scheme}.items() <= json.loads(FILES[scheme]).items()


@pytest.mark.parametrize("scheme", ["pair", "ephemeral", "static"])
def test_what_they_wrap_bob_opens(scheme: str):
    materials = parse_key_file(FILES[scheme]).keyring.on_encrypt(to_wrap())

    for reader in ("pair", "discovery"):
        opened = parse_key_file(FILES[reader]).keyring.on_decrypt(to_open(), materials.encrypted_data_keys)
        assert opened.plaintext_data_key == DATA_KEY


def test_schemes_for_one_direction_stay_that():
    wrapped = RawEcdhKeyring.ephemeral(BOB.public_key()).on_encrypt(to_wrap()).encrypted_data_keys

    with pytest.raises(KeyringError, match="cannot encrypt"):
        parse_key_file(FILES["discovery"]).keyring.on_encrypt(to_wrap())
    with pytest.raises(NoMatchingKeyError, match="cannot decrypt"):
        parse_key_file(FILES["ephemeral"]).keyring.on_decrypt(to_open(), wrapped)


@pytest.mark.parametrize("scheme", ["", "Pair", "anything"])
def test_a_scheme_that_there_is_not_is_refused_with_those_there_are(scheme: str):
    file = encode_ecdh_key_file(scheme, private_key=private_pem(BOB))

    with pytest.raises(UsageError, match="none of pair, static, ephemeral, discovery"):
        parse_key_file(file)


@pytest.mark.parametrize(
    ("scheme", "needless"),
    [("pair", "recipient_public_key"), ("discovery", "recipient_public_key"), ("ephemeral", "private_key")],
)
def test_a_key_that_its_scheme_does_not_use_is_refused(scheme: str, needless: str):
    file = encode_ecdh_key_file(scheme, private_key=private_pem(ALICE), recipient_public_key=public_pem(BOB))

    with pytest.raises(UsageError, match=f"scheme is {scheme}, which does not use the {needless}"):
        parse_key_file(file)


def test_parties_on_two_curves_are_refused():
    other = ec.generate_private_key(ec.SECP256R1())
    file = encode_ecdh_key_file("static", private_key=private_pem(ALICE), recipient_public_key=public_pem(other))

    with pytest.raises(UsageError, match="is on p256, not on p384"):
        parse_key_file(file)
