"""A client with small frames, so that short plaintexts have several. What a test here needs, it imports or skips."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring


@pytest.fixture
def client() -> Client:
    return Client(RawAesKeyring("test", "key-1", bytes(range(32))), frame_length=1024)
