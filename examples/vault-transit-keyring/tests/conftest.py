"""One server for all tests, and fresh keys for each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from transit_server import TransitServer, running

NAMES = (f"key-{number}" for number in count())


@pytest.fixture(scope="session")
def transit() -> Iterator[TransitServer]:
    with running() as server:
        yield server


@pytest.fixture
def key(transit: TransitServer) -> str:
    name = next(NAMES)
    transit.rotate(name)
    return name
