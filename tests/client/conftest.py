"""A client over one raw AES key, which is all that most tests of it need."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring


@pytest.fixture
def keyring():
    return RawAesKeyring("test", "key-1", bytes(range(32)))


@pytest.fixture
def client(keyring):
    return Client(keyring)
