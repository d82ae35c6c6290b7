"""A client with small frames, so that short plaintexts have several."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring

FRAME = 64


@pytest.fixture
def keyring():
    return RawAesKeyring("test", "key-1", bytes(range(32)))


@pytest.fixture
def client(keyring):
    return Client(keyring, frame_length=FRAME)


@pytest.fixture
def signing_client(keyring):
    return Client(keyring, frame_length=FRAME, sign=True)


@pytest.fixture
def plaintext():
    return bytes(index % 251 for index in range(1000))
