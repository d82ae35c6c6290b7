"""Which keyrings could open a data key, as URIs that open them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from testkit.materials import to_wrap
from testkit.softhsm import PIN, Vault

from envelope_sdk import Client, EncryptedDataKey
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings import KeyringUri, Pkcs11Keyring, Pkcs11RsaKeyring, RawAesKeyring, keyring_from_uri
from envelope_sdk.keyrings.openers import Opener, openers_of

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MRK = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
LOCAL = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"

WHOLE = {
    "a key of AWS KMS": ("aws-kms", ARN, [f"aws-kms://{ARN}"]),
    "a multi-Region key": ("aws-kms", MRK, [f"aws-kms://{MRK}", f"aws-kms-mrk://{MRK}"]),
    "a key of a local KMS": ("aws-kms", LOCAL, [f"local-kms://{LOCAL}"]),
    "an RSA key of AWS KMS": ("aws-kms-rsa", ARN, [f"aws-kms-rsa://{ARN}"]),
}


@pytest.mark.parametrize(("provider", "info", "uris"), WHOLE.values(), ids=WHOLE)
def test_a_key_that_the_message_names_wholly(provider, info, uris):
    assert openers_of(EncryptedDataKey(provider, info.encode(), b"x")) == tuple(Opener(uri) for uri in uris)


def test_a_branch_key_needs_its_store():
    (opener,) = openers_of(EncryptedDataKey("aws-kms-hierarchy", b"tenant a/b?", b"x"))

    assert opener.uri == "hierarchical://tenant%20a/b%3F"
    assert "kms-key=" in opener.needs
    assert KeyringUri.parse(opener.uri).rest == "tenant a/b?"


def test_a_key_file_needs_to_be_that_of_the_namespace_and_name():
    (aes,) = RawAesKeyring("acme", "k\n", bytes(32)).on_encrypt(to_wrap()).encrypted_data_keys

    assert openers_of(aes) == (
        Opener("raw-aes://FILE", r"FILE holds an AES key of the namespace 'acme' and name 'k\n'"),
    )
    assert openers_of(EncryptedDataKey("acme", b"k", bytes(256))) == (
        Opener("raw-rsa://FILE", "FILE holds an RSA key of the namespace 'acme' and name 'k'"),
    )


UNKNOWN = {
    "an alias": ("aws-kms", ARN.replace(":key/", ":alias/").encode()),
    "no ARN": ("aws-kms", b"x"),
    "no text": ("aws-kms", b"\xff"),
    "no ARN of an RSA key": ("aws-kms-rsa", b"x"),
    "a branch key that is no text": ("aws-kms-hierarchy", b"\xff"),
    "a key file's name that is no text": ("acme", b"\xff"),
    "a plug-in's key": ("vault", b"x"),
    "no public keys": ("raw-ecdh", b"\x01"),
    "public keys that are cut": ("aws-kms-ecdh", b"\x01" + (33).to_bytes(4, "big") + bytes(33)),
    "no key in a token": ("pkcs11", b"\x01\x01"),
    "no RSA key in a token": ("pkcs11-rsa", b""),
    "a provider of AWS that is yet to come": ("aws-kms-quantum", b"x"),
}


@pytest.mark.parametrize(("provider", "info"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_malformed_or_unknown_has_none(provider, info):
    ciphertext = bytes(256) if info == b"\xff" else b"x"

    assert openers_of(EncryptedDataKey(provider, info, ciphertext)) == ()


def token_keyring(uri: str) -> Pkcs11Keyring | Pkcs11RsaKeyring:
    ring = keyring_from_uri(uri)
    assert isinstance(ring, Pkcs11Keyring | Pkcs11RsaKeyring)
    return ring


@pytest.mark.parametrize(
    "key", ["object=wrapping", "id=%01;object=wrapping;type=secret-key", "object=pair;type=private"]
)
def test_a_key_in_a_token_is_opened_by_what_is_told_of_its_messages(key: str, vault: Vault, tmp_path: Path):
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o600)
    token, padding = ("card", "&padding=OAEP_SHA1") if "pair" in key else ("vault", "")
    asked = f"?module-path={vault.library}&pin-source=file:{tmp_path / 'pin'}{padding}"

    # A login is everybody's in the process: closed, so that other tests meet a token that nobody is logged in to.
    with closing(token_keyring(f"pkcs11:token={token};{key}{asked}")) as writer:
        message = Client(writer).encrypt(b"plaintext")
    (opener,) = openers_of(message.header.encrypted_data_keys[0])

    assert "pin-source=" in opener.needs
    assert opener.needs.endswith("and padding=OAEP_SHA1" if padding else "of the token")
    with closing(token_keyring(opener.uri + asked)) as reader:
        assert Client(reader).decrypt(message.ciphertext).plaintext == b"plaintext"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("type=private?module-path=/x.so&padding=ROT13", "is one of OAEP_SHA1"),
        ("type=private?module-path=/x.so", "one that the token can open"),
        ("type=public?module-path=/x.so&padding=OAEP_SHA1&padding=OAEP_SHA256", "stands once"),
        ("type=secret-key?module-path=/x.so&padding=OAEP_SHA1", "goes with type=private or type=public"),
    ],
)
def test_a_padding_that_cannot_be_is_told(query: str, why: str):
    with pytest.raises(UsageError, match=why):
        keyring_from_uri(f"pkcs11:token=a;object=b;{query}")
