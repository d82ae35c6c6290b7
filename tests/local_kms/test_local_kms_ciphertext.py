"""The ciphertext blob: its shape byte by byte, and that nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.ciphertext import (
    MAX_BLOB,
    RANDOM_LENGTH,
    Blob,
    Purpose,
    encode,
    encode_context,
    message_cipher,
    open_blob,
    parse,
    seal,
)
from envelope_sdk.primitives.aead import AESGCM

_SECRET = bytes(range(32))
_MATERIAL_ID = bytes([0x41]) * 32
_RANDOM = bytes([0x52]) * 16 + bytes([0x4E]) * 12


def _seal(plaintext: bytes, context: dict[str, str]) -> bytes:
    cipher = message_cipher(_SECRET, _RANDOM[:16])
    return seal(cipher, Purpose.DATA_KEY, _MATERIAL_ID, _RANDOM, plaintext, context)


def _open(data: bytes, context: dict[str, str]) -> bytes:
    blob = parse(data)
    if blob.material_id != _MATERIAL_ID:
        raise KmsServiceError("InvalidCiphertextException", "")
    return open_blob(message_cipher(_SECRET, blob.message_id), blob, context)


def test_the_shape_is_that_of_an_aws_blob() -> None:
    data = _seal(bytes(32), {})
    before = (
        "0102030078" + "41" * 32 + "01" + "52" * 16 + "0000007e"
        "307c06092a864886f70d010706a06f306d020100306806092a864886f70d010701"
        "301e060960864801650304012e3011040c" + "4e" * 12 + "020110803b"
    )
    assert data[: -32 - 27].hex() == before
    assert len(data) == 184


@pytest.mark.parametrize("length", [1, 100, 101, 102, 228, 229, 1000, 4096])
def test_the_der_inside_is_der(length: int) -> None:
    data = _seal(bytes(length), {})[58:]
    while data[0] in (0x30, 0xA0):
        header, size = _der_header(data)
        inside = data[header : header + size]
        assert len(data) == header + size
        if inside[0] == 0x06 or inside[0] == 0x02:
            skipped = 2 + inside[1]
            inside = inside[skipped:]
        data = inside
        if data[:2] == b"\x30\x1e":
            data = data[32:]
            break
    header, size = _der_header(data)
    assert data[0] == 0x80
    assert size == length + 27
    assert len(data) == header + size


def _der_header(data: bytes) -> tuple[int, int]:
    if data[1] < 0x80:
        return 2, data[1]
    count = data[1] & 0x7F
    size = int.from_bytes(data[2 : 2 + count], "big")
    assert data[2] != 0
    assert size >= 0x80
    return 2 + count, size


@pytest.mark.parametrize("length", [16, 32, 250])
def test_a_bit_flipped_anywhere_is_noticed(length: int) -> None:
    data = _seal(bytes(length), {"a": "b"})
    for position in range(len(data)):
        for bit in (0x01, 0x80):
            altered = bytearray(data)
            altered[position] ^= bit
            with pytest.raises(KmsServiceError) as caught:
                _open(bytes(altered), {"a": "b"})
            assert caught.value.code == "InvalidCiphertextException"


def test_a_byte_flipped_anywhere_is_an_invalid_ciphertext_to_the_kms(kms: LocalKms, key_id: str) -> None:
    data = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 0xFF
        with pytest.raises(KmsServiceError) as caught:
            kms.decrypt(CiphertextBlob=bytes(altered), KeyId=key_id)
        assert caught.value.code == "InvalidCiphertextException"


def test_an_altered_material_id_is_that_of_a_key_one_may_not_know_of(kms: LocalKms, key_id: str, refused: Any) -> None:
    data = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
    for position in range(5, 37):
        altered = bytearray(data)
        altered[position] ^= 1
        with refused("AccessDeniedException"):
            kms.decrypt(CiphertextBlob=bytes(altered))


def test_a_blob_cut_anywhere_is_an_invalid_ciphertext(kms: LocalKms, key_id: str, refused: Any) -> None:
    data = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
    for length in range(1, len(data)):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=data[:length])


@pytest.mark.parametrize("tail", [b"\x00", b"x" * 100])
def test_bytes_after_the_end_are_refused(kms: LocalKms, key_id: str, refused: Any, tail: bytes) -> None:
    data = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=data + tail)


def test_the_purpose_is_authenticated() -> None:
    data = bytearray(_seal(b"x", {}))
    data[2] = Purpose.ENCRYPT
    with pytest.raises(KmsServiceError):
        _open(bytes(data), {})


@pytest.mark.parametrize("framing", [b"", b"LocalKMS\x01", b"LocalKMS\x01\x00\x02x", b"LocalKMS\x02\x00\x01x"])
def test_content_without_its_framing_is_refused_though_its_tag_fits(framing: bytes) -> None:
    shape = parse(_seal(bytes(max(1, len(framing) - 11)), {}))
    key = message_cipher(_SECRET, shape.message_id)
    framed = framing.ljust(len(shape.content) - 16, b"\x00")
    head = encode(shape)[:58]
    forged = Blob(
        shape.purpose, shape.material_id, shape.message_id, shape.nonce, key.encrypt(shape.nonce, framed, head)
    )
    with pytest.raises(KmsServiceError):
        open_blob(key, forged, {})


def test_every_message_has_a_key_of_its_own() -> None:
    nonce = bytes(12)
    first, second = (message_cipher(_SECRET, bytes([n]) * 16).encrypt(nonce, b"x" * 16, None) for n in (1, 2))
    assert first != second
    assert isinstance(message_cipher(_SECRET, bytes(16)), AESGCM)


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=300)
    | st.binary(min_size=126, max_size=126).map(lambda tail: _seal(b"x" * 32, {})[:58] + tail)
)
def test_any_bytes_are_parsed_or_refused_and_what_is_parsed_encodes_to_itself(data: bytes) -> None:
    try:
        outcome = encode(parse(data))
    except KmsServiceError as error:
        outcome = error.code.encode()
    assert outcome in (data, b"InvalidCiphertextException")


@settings(max_examples=300, deadline=None)
@given(
    purpose=st.sampled_from(Purpose),
    material_id=st.binary(min_size=32, max_size=32),
    random=st.binary(min_size=RANDOM_LENGTH, max_size=RANDOM_LENGTH),
    content=st.integers(28, MAX_BLOB - 200).map(bytes),
)
def test_parsing_undoes_encoding(purpose: Purpose, material_id: bytes, random: bytes, content: bytes) -> None:
    blob = Blob(purpose, material_id, random[:16], random[16:], content)
    assert parse(encode(blob)) == blob


_contexts = st.dictionaries(st.text("ab\x00é", max_size=4), st.text("ab\x00é", max_size=4), max_size=3)


@settings(max_examples=500, deadline=None)
@given(first=_contexts, second=_contexts)
def test_no_two_contexts_are_encoded_alike(first: dict[str, str], second: dict[str, str]) -> None:
    assert (encode_context(first) == encode_context(second)) is (first == second)


def test_the_encoding_of_a_context_is_this() -> None:
    assert encode_context({"b": "2", "a": "é"}) == (
        b"\x00\x00\x00\x01a\x00\x00\x00\x02\xc3\xa9\x00\x00\x00\x01b\x00\x00\x00\x012"
    )
    assert encode_context({}) == b""
