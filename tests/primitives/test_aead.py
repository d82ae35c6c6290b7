"""Sealing and opening: content of any length, and nothing left behind where a tag fails."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from testkit.builder import sample_bytes

from envelope_sdk.primitives.aead import ONE_SHOT_LIMIT, TAG_LENGTH, InvalidTag, MessageCipher, wipe

KEY = sample_bytes(32, "key")
IV = sample_bytes(12, "iv")
AAD = b"what else is covered"


class PieceCipher(MessageCipher):
    """Treats a hundred bytes as other ciphers treat two gigabytes."""

    __slots__ = ()

    one_shot_limit = 100
    piece_length = 64


def sealed(cipher: MessageCipher, content: bytes) -> bytes:
    out = bytearray(len(content) + TAG_LENGTH)
    cipher.seal_into(IV, memoryview(content), AAD, memoryview(out))
    return bytes(out)


LENGTHS = [0, 1, 63, 64, 65, 99, 100, 101, 127, 128, 129, 192, 1000]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", [MessageCipher, PieceCipher])
def test_sealing_is_aes_gcm_in_one_call_and_in_pieces(kind: type[MessageCipher], length: int):
    content = sample_bytes(length)

    assert sealed(kind(KEY), content) == AESGCM(KEY).encrypt(IV, content, AAD)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", [MessageCipher, PieceCipher])
def test_opening_gives_the_content_in_one_call_and_in_pieces(kind: type[MessageCipher], length: int):
    content = sample_bytes(length)
    out = bytearray(length)

    kind(KEY).open_into(IV, memoryview(AESGCM(KEY).encrypt(IV, content, AAD)), AAD, memoryview(out))

    assert out == content


@pytest.mark.parametrize("length", LENGTHS[1:])
@pytest.mark.parametrize("kind", [MessageCipher, PieceCipher])
@pytest.mark.parametrize("place", [0, -1])
def test_a_tag_that_does_not_fit_leaves_zeros(kind: type[MessageCipher], length: int, place: int):
    altered = bytearray(AESGCM(KEY).encrypt(IV, sample_bytes(length), AAD))
    altered[place] ^= 1
    out = bytearray(b"\xaa" * length)

    with pytest.raises(InvalidTag):
        kind(KEY).open_into(IV, memoryview(altered), AAD, memoryview(out))

    assert out == bytes(length)


@pytest.mark.parametrize("kind", [MessageCipher, PieceCipher])
def test_other_covered_bytes_do_not_open(kind: type[MessageCipher]):
    content = memoryview(AESGCM(KEY).encrypt(IV, sample_bytes(300), AAD))

    for iv, aad in ((IV, b"other"), (bytes(12), AAD)):
        with pytest.raises(InvalidTag):
            kind(KEY).open_into(iv, content, aad, memoryview(bytearray(300)))


def test_the_limit_of_one_call_is_that_of_the_library_below():
    assert MessageCipher.one_shot_limit == ONE_SHOT_LIMIT == 2**31 - 1 - TAG_LENGTH


def test_a_tag_over_no_content():
    cipher = MessageCipher(KEY)
    tag = cipher.tag(IV, AAD)

    assert tag == AESGCM(KEY).encrypt(IV, b"", AAD)
    cipher.check_tag(IV, AAD, tag)
    with pytest.raises(InvalidTag):
        cipher.check_tag(IV, AAD, bytes(16))
    with pytest.raises(InvalidTag):
        cipher.check_tag(IV, AAD, tag[:15])


@pytest.mark.parametrize("length", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 3 * 2**16])
def test_wiping_leaves_only_zeros(length: int):
    buffer = bytearray(b"\xaa" * length)

    wipe(memoryview(buffer))

    assert buffer == bytes(length)


def test_a_cipher_shows_and_gives_away_no_key():
    cipher = MessageCipher(KEY)

    assert repr(cipher) == "MessageCipher(<secret>)"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take(cipher)
