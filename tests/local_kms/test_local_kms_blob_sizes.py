"""Ciphertext blobs as callers see them: lengths, what they begin with, and that those AWS made have this shape too."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from testkit.official import load

from envelope_sdk.formats import parse_header
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.ciphertext import encode, parse


def _blobs_of_aws() -> list[bytes]:
    """Return the blobs in messages that AWS's SDKs made with keys in AWS KMS."""
    vectors = [vector for vector in load("esdk-cross-language") if vector.fields["key"]["type"] == "kms"]
    keys = [key for vector in vectors for key in parse_header(vector.message).body.encrypted_data_keys]
    return [bytes(key.ciphertext) for key in keys if key.provider_id == "aws-kms"]


def test_blobs_that_aws_made_are_taken_apart_and_put_together_again() -> None:
    blobs = {blob for blob in _blobs_of_aws() if blob.startswith(b"\x01\x02")}
    assert len(blobs) == 99
    assert all(encode(parse(blob)) == blob for blob in blobs)


@pytest.mark.parametrize(("number", "length"), [(16, 168), (24, 176), (32, 184)])
def test_a_data_key_of_aws_and_one_of_ours_are_equally_long(
    kms: LocalKms, key_id: str, number: int, length: int
) -> None:
    assert length in {len(blob) for blob in _blobs_of_aws() if blob.startswith(b"\x01\x02")}
    assert len(kms.generate_data_key(KeyId=key_id, NumberOfBytes=number)["CiphertextBlob"]) == length


def test_all_blobs_under_one_material_of_aws_name_it_alike() -> None:
    """As those here do: the 32 bytes are the material's id."""
    named = {parse(blob).material_id for blob in _blobs_of_aws() if blob.startswith(b"\x01\x02")}
    assert len(named) == 1


@pytest.mark.parametrize(
    ("method", "parameters", "prefix"),
    [
        ("encrypt", {"Plaintext": b"x"}, "AQICAHh"),
        ("generate_data_key", {"KeySpec": "AES_256"}, "AQIDAHh"),
        ("generate_data_key_without_plaintext", {"KeySpec": "AES_256"}, "AQIBAHh"),
    ],
)
def test_base64_tells_what_made_a_blob(
    kms: LocalKms, key_id: str, method: str, parameters: dict[str, Any], prefix: str
) -> None:
    blob = getattr(kms, method)(KeyId=key_id, **parameters)["CiphertextBlob"]
    assert base64.b64encode(blob).decode().startswith(prefix)


def test_re_encrypted_is_as_encrypted(kms: LocalKms, key_id: str) -> None:
    blob = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key_id)["CiphertextBlob"]
    assert base64.b64encode(moved).startswith(b"AQICAHh")
    assert len(moved) == 184


@pytest.mark.parametrize(
    ("length", "expected"), [(22, 174), (32, 184), (42, 195), (56, 212), (82, 238), (102, 259), (2074, 2236)]
)
def test_a_blob_is_as_long_as_those_of_aws_with_as_long_a_plaintext(
    kms: LocalKms, key_id: str, length: int, expected: int
) -> None:
    """The lengths are those of blobs from AWS KMS that people have published."""
    blob = kms.encrypt(KeyId=key_id, Plaintext=bytes(length))["CiphertextBlob"]
    assert len(parse(blob).content) == length + 27
    assert len(blob) == expected


def test_the_longest_blob_is_well_below_the_longest_that_is_taken(kms: LocalKms, key_id: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=bytes(4096))["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == bytes(4096)
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob.ljust(6144, b"\0"))
    with refused("ValidationException"):
        kms.decrypt(CiphertextBlob=blob.ljust(6145, b"\0"))
