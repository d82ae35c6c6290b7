"""What a message says of a data key that a token wrapped: one layout, to the byte. No token is needed."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.pkcs11.place import KeyName
from envelope_sdk.keyrings.pkcs11.provider_info import (
    OAEP_HASHES,
    encode_provider_info,
    encode_rsa_provider_info,
    parse_provider_info,
    parse_rsa_provider_info,
)
from envelope_sdk.primitives.rsa import RsaPadding

IV = bytes(range(12))
NAME = KeyName("tökn", "key", b"\x01\x02")
INFO = bytes.fromhex("01 01 05 74c3b66b6e 03 6b6579 02 0102 80 0c") + IV

labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.builds(KeyName, labels.filter(bool), labels, st.binary(max_size=255)).filter(lambda name: any(name[1:]))
ivs = st.binary(min_size=12, max_size=12)


def test_the_layout():
    assert encode_provider_info(NAME, IV) == INFO
    assert parse_provider_info(INFO) == (NAME, IV)


@given(names, ivs)
def test_what_is_encoded_is_parsed(name: KeyName, iv: bytes):
    assert parse_provider_info(encode_provider_info(name, iv)) == (name, iv)


@given(names, names, ivs, ivs)
def test_two_names_never_have_the_same_bytes(one: KeyName, other: KeyName, first: bytes, second: bytes):
    assume((one, first) != (other, second))

    assert encode_provider_info(one, first) != encode_provider_info(other, second)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: b"\x01\x01" + data))
def test_any_bytes_are_this_layout_or_refused(data: bytes):
    try:
        name, iv = parse_provider_info(data)
    except UsageError:
        return
    assert encode_provider_info(name, iv) == data


@given(st.data())
def test_whatever_is_changed_is_another_name_or_refused(data: st.DataObject):
    place = data.draw(st.integers(0, len(INFO) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != INFO[place]))
    changed = bytearray(INFO)
    changed[place] = value

    try:
        parsed = parse_provider_info(bytes(changed))
    except UsageError:
        return
    assert parsed != (NAME, IV)
    assert encode_provider_info(*parsed) == bytes(changed)


@pytest.mark.parametrize("length", range(len(INFO)))
def test_a_beginning_is_refused(length: int):
    with pytest.raises(UsageError):
        parse_provider_info(INFO[:length])


def test_more_is_refused():
    with pytest.raises(UsageError):
        parse_provider_info(INFO + b"\0")


OTHERS = {
    "another version": "02" + INFO.hex()[2:],
    "another mechanism": "0102" + INFO.hex()[4:],
    "no token label": "0101 00 03 6b6579 01 01 80 0c" + IV.hex(),
    "neither label nor id": "0101 01 74 00 00 80 0c" + IV.hex(),
    "a shorter tag": "0101 01 74 01 6b 00 60 0c" + IV.hex(),
    "a longer IV": "0101 01 74 01 6b 00 80 10" + IV.hex() + "00000000",
    "not UTF-8": "0101 01 ff 01 6b 00 80 0c" + IV.hex(),
}


@pytest.mark.parametrize("info", OTHERS.values(), ids=OTHERS)
def test_another_layout_is_refused(info: str):
    with pytest.raises(UsageError, match="the message"):
        parse_provider_info(bytes.fromhex(info))


@pytest.mark.parametrize("iv", [b"", bytes(11), bytes(13)], ids=len)
def test_an_iv_of_another_length_is_not_written(iv: bytes):
    with pytest.raises(UsageError, match="an IV has 12 bytes"):
        encode_provider_info(NAME, iv)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (KeyName("", "key", b""), "a token with a label"),
        (KeyName("token", "", b""), "a label or an id"),
        (KeyName("t" * 256, "key", b""), "at most 255 bytes"),
        (KeyName("token", "ü" * 128, b""), "at most 255 bytes"),
        (KeyName("token", "", bytes(256)), "at most 255 bytes"),
    ],
    ids=["no token", "no key", "long token", "long label", "long id"],
)
def test_a_name_that_does_not_fit_is_not_written(name: KeyName, reason: str):
    with pytest.raises(UsageError, match=reason):
        encode_provider_info(name, IV)


def test_the_longest_has_784_bytes():
    assert len(encode_provider_info(KeyName("t" * 255, "k" * 255, bytes(255)), IV)) == 784


# --- of RSA keys -----------------------------------------------------------------------------------------------------

RSA_INFO = bytes.fromhex("01 02 05 74c3b66b6e 03 6b6579 02 0102 02")
paddings = st.sampled_from(sorted(OAEP_HASHES, key=lambda padding: padding.value))


def test_the_layout_of_rsa():
    assert encode_rsa_provider_info(NAME, RsaPadding.OAEP_SHA256) == RSA_INFO
    assert parse_rsa_provider_info(RSA_INFO) == (NAME, RsaPadding.OAEP_SHA256)


@given(names, paddings)
def test_what_is_encoded_of_rsa_is_parsed(name: KeyName, padding: RsaPadding):
    assert parse_rsa_provider_info(encode_rsa_provider_info(name, padding)) == (name, padding)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: b"\x01\x02" + data))
def test_any_bytes_are_the_layout_of_rsa_or_refused(data: bytes):
    try:
        name, padding = parse_rsa_provider_info(data)
    except UsageError:
        return
    assert encode_rsa_provider_info(name, padding) == data


@pytest.mark.parametrize("length", range(len(RSA_INFO)))
def test_a_beginning_of_rsa_is_refused(length: int):
    with pytest.raises(UsageError):
        parse_rsa_provider_info(RSA_INFO[:length])


@pytest.mark.parametrize("end", ["00", "05", "ff", "0202"])
def test_another_hash_or_more_is_refused(end: str):
    with pytest.raises(UsageError, match="does not name a PKCS#11 key as it should"):
        parse_rsa_provider_info(RSA_INFO[:-1] + bytes.fromhex(end))


def test_neither_layout_is_taken_for_the_other():
    for parse, info in ((parse_provider_info, RSA_INFO), (parse_rsa_provider_info, INFO)):
        with pytest.raises(UsageError, match="in a way of PKCS#11 that this version does not know"):
            parse(info)
