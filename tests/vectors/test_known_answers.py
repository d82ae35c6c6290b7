"""Single steps whose results others have published: key derivation, wrapped data keys, commitments."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from testkit.official import decoded, known_answers

from envelope_sdk import EncryptedDataKey, EncryptionContext
from envelope_sdk.formats import AlgorithmSuite
from envelope_sdk.keyrings import RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.materials import DecryptionMaterials
from envelope_sdk.message.keys import new_message_key
from envelope_sdk.primitives.aead import MessageCipher
from envelope_sdk.primitives.counter_kdf import counter_kdf
from envelope_sdk.primitives.kdf import InvalidKey, hkdf, hkdf_and_verify, hkdf_twice

SUITE_OF_KEY_LENGTH = {
    16: AlgorithmSuite.AES_128_GCM_IV12_TAG16,
    24: AlgorithmSuite.AES_192_GCM_IV12_TAG16,
    32: AlgorithmSuite.AES_256_GCM_IV12_TAG16,
}


def test_the_file_holds_as_many_answers_as_are_checked_here():
    checked = ("hkdf", "kdf_ctr", "raw_aes_edk", "raw_rsa_edk", "message_kdf")

    assert {name: len(known_answers()[name]) for name in checked} == {
        "hkdf": 7,
        "kdf_ctr": 63,
        "raw_aes_edk": 3,
        "raw_rsa_edk": 9,
        "message_kdf": 46,
    }


@pytest.mark.parametrize(
    "case",
    known_answers()["hkdf"],
    ids=lambda case: f"{case['hash']}-{case['L']}-{len(case['salt'])}-{len(case['info'])}",
)
def test_hkdf(case: dict[str, Any]):
    ikm, salt, info, wanted = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm"))

    assert wanted == hkdf(case["hash"], salt or None, ikm, info, case["L"])
    assert (wanted, wanted[:1]) == hkdf_twice(case["hash"], salt or None, ikm, (info, case["L"]), (info, 1))
    assert wanted == hkdf_and_verify(case["hash"], salt or None, ikm, (info, case["L"]), (info, wanted[:5]))
    with pytest.raises(InvalidKey):
        hkdf_and_verify(case["hash"], salt or None, ikm, (info, case["L"]), (info, bytes(5)))


# The others give what is hashed as one piece, which no keyring does.
KDF_CTR = [case for case in known_answers()["kdf_ctr"] if not case["raw"]]


def test_most_of_the_counter_mode_answers_have_a_label_and_a_context():
    assert len(KDF_CTR) == 53


@pytest.mark.parametrize("case", KDF_CTR, ids=lambda case: f"{case['hash']}-{case['L']}-{case['name']}")
def test_counter_mode(case: dict[str, Any]):
    key, label, context, wanted = (bytes.fromhex(case[name]) for name in ("ikm", "purpose", "info", "okm"))

    assert wanted == counter_kdf(case["hash"], key, label, context, case["L"])


@pytest.mark.parametrize("case", known_answers()["raw_aes_edk"], ids=lambda case: f"{len(case['wrapping_key']) * 4}bit")
def test_a_raw_aes_data_key_opens(case: dict[str, Any]):
    wrapping_key, iv, ciphertext, data_key = (
        bytes.fromhex(case[name]) for name in ("wrapping_key", "iv", "ciphertext", "data_key")
    )
    keyring = RawAesKeyring(case["namespace"], case["name"], wrapping_key)
    info = case["name"].encode() + bytes.fromhex("00000080 0000000c") + iv
    materials = DecryptionMaterials(SUITE_OF_KEY_LENGTH[len(data_key)], EncryptionContext(case["ec"]))

    opened = keyring.on_decrypt(materials, [EncryptedDataKey(case["namespace"], info, ciphertext)])

    assert data_key == opened.plaintext_data_key


@pytest.mark.parametrize(
    "case", known_answers()["raw_rsa_edk"], ids=lambda case: f"{case['padding']}-{len(case['data_key']) * 4}"
)
def test_a_raw_rsa_data_key_opens(case: dict[str, Any]):
    data_key = bytes.fromhex(case["data_key"])
    keyring = RawRsaKeyring(
        "raw", "rsa", RsaPadding(case["padding"].replace("-", "_")), private_key=decoded(case["private_pem"])
    )
    materials = DecryptionMaterials(SUITE_OF_KEY_LENGTH[len(data_key)], EncryptionContext())

    opened = keyring.on_decrypt(materials, [EncryptedDataKey("raw", b"rsa", bytes.fromhex(case["ciphertext"]))])

    assert data_key == opened.plaintext_data_key


def key_bytes(case: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(case[name])


def derived(case: dict[str, Any]) -> tuple[MessageCipher, bytes]:
    suite = AlgorithmSuite.from_id(int(case["suite"], 16))
    assert suite is not None
    return new_message_key(suite, key_bytes(case, "dek"), key_bytes(case, "message_id"))


MESSAGE_KDF = known_answers()["message_kdf"]


@pytest.mark.parametrize("case", MESSAGE_KDF)
def test_the_commitment_of_a_data_key(case: dict[str, Any]):
    assert key_bytes(case, "commitment") == derived(case)[1]


# Where "ok" is false the content key given is that of the message's other data key.
@pytest.mark.parametrize("case", [case for case in MESSAGE_KDF if case["ok"] and case["content_encryption_key"]])
def test_the_message_key_of_a_data_key(case: dict[str, Any]):
    wanted = AESGCM(key_bytes(case, "content_encryption_key")).encrypt(bytes(12), b"", b"header")

    assert wanted == derived(case)[0].tag(bytes(12), b"header")
