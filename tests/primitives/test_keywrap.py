"""Wrapping keys show nothing of themselves."""

from __future__ import annotations

import copy
import pickle

import pytest

from envelope_sdk.errors import AuthenticationError
from envelope_sdk.primitives.keywrap import AesWrappingKey


def test_a_wrapping_key_opens_what_it_wrapped_and_nothing_else():
    key = AesWrappingKey(bytes(32))
    wrapped = key.wrap(b"data key", bytes(12), b"context")

    assert key.unwrap(wrapped, bytes(12), b"context") == b"data key"
    for iv, aad in ((b"\1" * 12, b"context"), (bytes(12), b"Context"), (b"", b"context"), (bytes(7), b"context")):
        with pytest.raises(AuthenticationError):
            key.unwrap(wrapped, iv, aad)


def test_a_wrapping_key_shows_and_gives_away_nothing():
    key = AesWrappingKey(bytes(16))

    assert repr(key) == "AesWrappingKey(128 bits, <secret>)"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take(key)
