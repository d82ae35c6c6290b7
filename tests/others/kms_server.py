"""A pytest plugin: the server that a suite speaks to, with a KMS that is new in every case.

Server and suite share a process: the suite waits for its answers anyway, and a new KMS then takes a few milliseconds.
What is exchanged lies behind the socket, for a suite keeps the address, and connections, from case to case.
"""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
import uvicorn

from envelope_sdk.local_kms.server.app import App, Message, Receive, Send
from envelope_sdk.local_kms.server.running import ServerProcess
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

ACCOUNTS = {"moto": "123456789012", "ministack": "000000000000"}
"""The account that each suite takes itself to be in, whatever its credentials."""

ENDPOINTS = {"moto": "TEST_SERVER_MODE_ENDPOINT", "ministack": "MINISTACK_ENDPOINT"}
"""The environment variables in which each suite looks for the address."""


class KmsServer:
    """Answers at one address for as long as the suite runs.

    Attributes:
        url: the address.
    """

    def __init__(self, account: str) -> None:
        """Start, with an empty KMS."""
        self._settings = Settings(port=0, account=account, log_format="off")
        self._process: ServerProcess | None = None
        self._app = self._new_app()
        opened = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{opened.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(self, lifespan="off", log_config=None, access_log=False))
        threading.Thread(target=self._server.run, args=([opened],), daemon=True).start()
        while not self._server.started:
            time.sleep(0.01)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on to the KMS of the moment (ASGI 3)."""
        await self._app(scope, receive, send)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Begin with an empty KMS."""
        self._app = self._new_app()

    def pytest_unconfigure(self) -> None:
        """Stop."""
        self._server.should_exit = True

    def _new_app(self) -> App:
        if self._process is not None:
            self._process.close()
        self._process = ServerProcess(self._settings, lambda: SqliteStore.in_memory(system_random))
        return self._process.app


def pytest_configure(config: pytest.Config) -> None:
    """Start a server, one for each worker, and say where it is."""
    suite = os.environ["OTHERS_SUITE"]
    server = KmsServer(ACCOUNTS[suite])
    config.pluginmanager.register(server)
    os.environ[ENDPOINTS[suite]] = server.url
    if suite == "moto":
        # Its tests are the same for its own emulator within the process; this has them call an address instead.
        os.environ |= {"TEST_SERVER_MODE": "true", "MOTO_CALL_RESET_API": "false"}
