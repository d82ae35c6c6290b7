"""A server in a thread, over keys in memory, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest

from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.server.settings import Settings

Start = Callable[..., BackgroundServer]


@pytest.fixture
def start() -> Generator[Start]:
    """Starts servers that are stopped after the test. Takes what ``Settings`` take, and a server's own options."""
    with ExitStack() as stack:

        def started(*, clock: Any = None, open_store: Any = None, **settings: Any) -> BackgroundServer:
            own = {name: value for name, value in (("clock", clock), ("open_store", open_store)) if value is not None}
            wanted = Settings(**{"port": 0, "log_format": "json"} | settings)
            return stack.enter_context(BackgroundServer(wanted, **own))

        yield started


@pytest.fixture(scope="module")
def server() -> Generator[BackgroundServer]:
    """One server for all tests of a module."""
    with BackgroundServer() as server:
        yield server
