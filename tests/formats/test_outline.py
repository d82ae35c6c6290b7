"""What a message claims can be read without any key, in any cut."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import SIGNED, SUITES, Message, Signer, sample_bytes, suite_name

from envelope_sdk.errors import (
    EnvelopeError,
    LimitExceededError,
    MessageError,
    SignatureError,
    TrailingDataError,
    TruncatedMessageError,
)
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.formats.describe import describe_encrypted_data_key, describe_outline
from envelope_sdk.formats.outline import OutlineReader
from envelope_sdk.policy import Limits
from envelope_sdk.streams.inspecting import inspect_message

TRUTH = sample_bytes(100)


def outline_of(message: bytes, cuts: tuple[int, ...] = ()):
    reader = OutlineReader()
    covered = 0
    for start, end in zip((0, *cuts), (*cuts, len(message)), strict=True):
        covered += reader.feed(message[start:end])
    return reader.finish(), covered


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
@pytest.mark.parametrize(("frame_length", "frames"), [(16, 7), (50, 2), (1000, 1), (0, 0)])
def test_an_outline_tells_how_a_message_is_cut(suite, frame_length, frames):
    message = Message(suite=suite, frame_length=frame_length).whole(TRUTH)
    outline, covered = outline_of(message)

    assert (outline.frames, outline.plaintext_length, outline.message_length) == (frames, 100, len(message))
    assert outline.header.body.frame_length == frame_length
    footer = 2 + len(outline.signature) if outline.signature is not None else 0
    assert (outline.signature is not None) == suite.signed
    assert covered == len(message) - footer


@given(st.data())
def test_an_outline_does_not_depend_on_the_cut(data):
    suite = data.draw(st.sampled_from(SUITES))
    message = Message(suite=suite, frame_length=data.draw(st.sampled_from([0, 1, 16, 100]))).whole(TRUTH)
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=20))))

    assert outline_of(message, cuts) == outline_of(message)


@pytest.mark.parametrize("suite", SUITES[-2:], ids=suite_name)
def test_every_beginning_of_a_message_is_truncated(suite):
    message = Message(suite=suite, frame_length=16).whole(TRUTH)
    for length in range(len(message)):
        with pytest.raises(TruncatedMessageError):
            outline_of(message[:length])


def test_bytes_after_the_end_are_refused():
    with pytest.raises(TrailingDataError):
        outline_of(Message(suite=SUITES[-1], frame_length=16).whole(TRUTH) + b"x")


def test_frames_out_of_order_are_refused():
    order = Message(suite=SUITES[-2], frame_length=16)
    with pytest.raises(MessageError, match="out of order"):
        outline_of(order.header() + order.frame(2, TRUTH[:16]))


def test_a_header_of_very_many_fields_is_not_read_again_for_each():
    class Counting(OutlineReader):
        attempts = 0

        def _read_header(self, data) -> int:
            self.attempts += 1
            return super()._read_header(data)

    order = Message(suite=SUITES[-2], frame_length=16, edks=[("p", b"i", b"c")] * 5000)
    reader = Counting()
    reader.feed(order.whole(TRUTH))
    reader.finish()

    assert reader.attempts <= 2


def test_the_limits_hold_for_outlines_too():
    message = Message(suite=SUITES[-2], frame_length=16, edks=[("p", b"i", b"c")] * 200).whole(TRUTH)
    with pytest.raises(LimitExceededError):
        inspect_message(io.BytesIO(message), Limits(max_encrypted_data_keys=199))
    with pytest.raises(LimitExceededError):
        inspect_message(io.BytesIO(message), Limits(max_encrypted_data_keys=None, max_header_length=100))
    assert inspect_message(io.BytesIO(message), Limits(max_encrypted_data_keys=200)).outline.frames == 7


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_a_signature_is_checked_without_any_key(suite, chunk):
    class Slow(io.BytesIO):
        def read(self, _size=-1):
            return super().read(chunk)

    order = Message(suite=suite, frame_length=16)
    whole = order.whole(TRUTH)
    altered = bytearray(whole)
    altered[len(order.header()) + 20] ^= 1

    assert inspect_message(Slow(whole)).signature_error is None
    assert isinstance(inspect_message(Slow(bytes(altered))).signature_error, SignatureError)


@pytest.mark.parametrize("public_key", [None, "", "not base64", "AAAA"], ids=["none", "another", "text", "short"])
def test_a_signature_that_cannot_be_checked_is_an_error_of_the_signature(public_key):
    order = Message(suite=SIGNED[-1], public_key=public_key, signer=Signer(SIGNED[-1].signature))
    message = order.whole(TRUTH)[:-1] + b"\x00" if public_key == "" else order.whole(TRUTH)

    assert isinstance(inspect_message(io.BytesIO(message)).signature_error, SignatureError)


@given(st.binary(max_size=300))
def test_inspecting_anything_raises_documented_errors_only(data):
    with contextlib.suppress(EnvelopeError):
        inspect_message(io.BytesIO(b"\x02\x04\x78" + data))


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        (b"arn:aws:kms:eu-west-1:1:key/2", {"provider_info": "arn:aws:kms:eu-west-1:1:key/2"}),
        (b"", {"provider_info": ""}),
        ("schlüssel".encode(), {"provider_info": "schlüssel"}),
        (b"a\nb", {"provider_info_base64": "YQpi"}),
        (b"\xff", {"provider_info_base64": "/w=="}),
    ],
)
def test_provider_info_is_text_where_it_is_printable_text(info, shown):
    described = describe_encrypted_data_key(EncryptedDataKey("p", info, b"four"))

    assert {key: value for key, value in described.items() if key.startswith("provider_info")} == shown
    assert described["ciphertext_length"] == 4


def test_a_description_is_made_of_values_that_json_knows():
    outline, _ = outline_of(Message(suite=SUITES[-1], frame_length=16).whole(TRUTH))
    described = json.loads(json.dumps(describe_outline(outline)))

    assert described["algorithm_suite"]["id"] == "0x0578"
    assert (described["frames"], described["plaintext_length"]) == (7, 100)
