"""A server in a thread of this process: for tests, of this package and of others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from envelope_sdk.local_kms.quotas.buckets import Buckets
from envelope_sdk.local_kms.server.running import ServerProcess, listen, url_of
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.service import Clock, system_clock
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

__all__ = ["BackgroundServer"]


class BackgroundServer:
    """Serves from ``with`` to its end::

        with BackgroundServer() as server:
            kms = boto3.client("kms", endpoint_url=server.url, ...)

    Attributes:
        url: the address to call.
        lines: of its log.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        open_store: Callable[[], Store] | None = None,
        buckets: Buckets | None = None,
        clock: Clock = system_clock,
    ) -> None:
        """Take how to run, with one worker; without settings, at any port that is free.

        Args:
            settings: how to run.
            open_store: returns the store, which is closed in the end; without it keys are in memory.
            buckets: who counts requests, where ``settings`` have quotas.
            clock: returns the time, tz-aware.

        Raises:
            UsageError, KeyStoreError, KmsServiceError: as for ``ServerProcess``; also where it cannot listen.
        """
        settings = settings or Settings(port=0, log_format="json")
        self.lines: list[str] = []
        self._socket = listen(settings)
        self.url = url_of(settings, self._socket)
        opener = open_store or (lambda: SqliteStore.in_memory(system_random))
        try:
            self.process = ServerProcess(settings, opener, buckets=buckets, clock=clock, log=self.lines.append)
        except BaseException:
            self._socket.close()
            raise
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="envelope-kms-server")
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Start, and return when requests are answered."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop as on SIGTERM."""
        self.stop()
        self._thread.join()

    @property
    def running(self) -> bool:
        """Whether it has not come to its end."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Begin to stop: what is under way is finished. Called again, connections are not waited for."""
        # A flag that the event loop looks at: safe from any thread.
        self.process.stop()

    def _run(self) -> None:
        try:
            self.process.run(self._socket, self._ready.set)
        except BaseException as error:  # noqa: BLE001 - raised to whoever waits
            self._failure = error
        finally:
            self._ready.set()
