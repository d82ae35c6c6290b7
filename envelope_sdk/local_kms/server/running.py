"""One process that serves: the parts put together, started, and stopped so that nothing that is under way is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

try:
    import uvicorn
except ImportError as error:
    raise ImportError("the server needs more: pip install 'envelope-sdk[server]'") from error

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.access.stored_credentials import StoredCredentials
from envelope_sdk.local_kms.access_keys import Credentials, read_access_keys
from envelope_sdk.local_kms.audit.log import AuditLog
from envelope_sdk.local_kms.authentication import Anybody, Authentication, Signatories
from envelope_sdk.local_kms.gateway import Gateway
from envelope_sdk.local_kms.quotas.buckets import Buckets
from envelope_sdk.local_kms.quotas.latency import Latency
from envelope_sdk.local_kms.quotas.throttle import Throttle
from envelope_sdk.local_kms.server.app import App
from envelope_sdk.local_kms.server.clocks import MovableClock
from envelope_sdk.local_kms.server.connections import bounded, close_late
from envelope_sdk.local_kms.server.logs import Complaints, KeyNotes, Log, write_line
from envelope_sdk.local_kms.server.metrics import Metrics
from envelope_sdk.local_kms.server.origins import Origins
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.service import Clock, Service, system_clock
from envelope_sdk.local_kms.sigv4 import Verifier
from envelope_sdk.local_kms.store.contract import Store

__all__ = ["ServerProcess", "listen", "new_event_loop", "url_of"]

_UVICORN = logging.getLogger("uvicorn.error")
_THREADS = 4
_BACKLOG = 2048
_SWEEP_SECONDS = 1.0


def listen(settings: Settings) -> socket.socket:
    """Return a socket at the address that is wanted; it takes no connections yet.

    Raises:
        UsageError: the address is not this machine's, or taken, or not permitted.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
        except BaseException:
            opened.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen at {settings.host}, port {settings.port}: {reason.lower()}") from None
    opened.setblocking(False)
    return opened


def url_of(settings: Settings, opened: socket.socket) -> str:
    """Return the address to call: the port is the one that was found where any was wanted."""
    host, port = opened.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{settings.scheme}://{shown}:{port}"


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop where it is installed, and Python's otherwise."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class ServerProcess:
    """A server in this process: made, run once, closed.

    Attributes:
        settings: as given.
        service: the KMS.
        app: what answers requests (ASGI 3), for those who serve it by a server of their own.
        clock: the one that callers may move, if they may.
    """

    def __init__(
        self,
        settings: Settings,
        open_store: Callable[[], Store],
        *,
        buckets: Buckets | None = None,
        clock: Clock = system_clock,
        log: Callable[[str], None] = write_line,
    ) -> None:
        """Read what is needed to run as ``settings`` say, and open the store.

        Args:
            settings: how to run.
            open_store: returns the store, which is closed in the end.
            buckets: who counts requests, where quotas are shared with other servers.
            clock: returns the time, tz-aware.
            log: takes lines of the log.

        Raises:
            UsageError: the access keys, or certificate, cannot be used.
            KeyStoreError: the access keys cannot be read, or the audit log not be opened; also whatever ``open_store``
                raises.
        """
        self.settings = settings
        self.clock = MovableClock(clock) if settings.test_clock else None
        self._tls = _tls(settings)
        access_keys = None if settings.access_keys is None else read_access_keys(Path(settings.access_keys))
        self._audit = None if settings.audit is None else AuditLog(settings.audit)
        notes = KeyNotes(self._audit)
        quotas = settings.request_quotas(buckets)
        try:
            store = open_store()
            self.service = Service(
                store,
                clock=self.clock or clock,
                journal=notes,
                quotas=None if quotas is None else Throttle(quotas),
                grant_propagation=timedelta(seconds=settings.grant_propagation_seconds),
            )
        except BaseException:
            self._close_audit()
            raise
        self._log = Log(settings.log_format, notes, log)
        self._threads = ThreadPoolExecutor(_THREADS, "envelope-kms")
        self._stopping = False
        # A record of each call, durable, takes as long as a write to the store; other machines may take as long.
        quick = self._audit is None and buckets is None and not store.remote
        self.app = App(
            self.service,
            # Signatures are dated by the callers' clocks, which nobody moves.
            Gateway(
                self.service,
                _authentication(settings, access_keys, store, clock),
                failed=self._log.failure,
                quick=quick,
            ),
            threads=self._threads,
            origins=Origins(settings),
            log=self._log,
            metrics=Metrics(),
            version=version("envelope-sdk"),
            max_body=settings.max_body,
            body_seconds=settings.body_seconds,
            latency=Latency(settings.latency_seconds) if settings.latency_seconds else None,
            clock=self.clock,
        )
        self._server = _Uvicorn(self._configuration(self.app))

    def run(
        self, opened: socket.socket, ready: Callable[[], None], *, prepare: Callable[[], None] | None = None
    ) -> None:
        """Serve until :meth:`stop`, and close everything.

        Args:
            opened: what :func:`listen` returned.
            ready: called once requests are answered.
            prepare: called in the event loop before anything else, for instance to listen to signals.
        """
        complaints = Complaints(self._log)
        _UVICORN.addHandler(complaints)
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve(opened, ready, prepare))
        finally:
            _UVICORN.removeHandler(complaints)
            self.close()

    def stop(self) -> None:
        """Take no more requests, finish what is under way, end; called again, do not wait for connections."""
        self._server.force_exit = self._stopping
        self._stopping = True
        self._server.should_exit = True

    def close(self) -> None:
        """Close the store and the audit log. Closing twice is no error."""
        self._threads.shutdown()
        self.service.close()
        self._close_audit()

    def _close_audit(self) -> None:
        if self._audit is not None:
            self._audit.close()

    async def _serve(
        self, opened: socket.socket, ready: Callable[[], None], prepare: Callable[[], None] | None
    ) -> None:
        if prepare is not None:
            prepare()
        tasks = [asyncio.create_task(work()) for work in (self._settle, self._sweep)]
        # Connections to a socket that was only bound would be refused; now they wait, and uvicorn takes them in.
        opened.listen(_BACKLOG)
        tasks.append(asyncio.create_task(self._announce(ready)))
        try:
            await self._server.serve(sockets=[opened])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _announce(self, ready: Callable[[], None]) -> None:
        while not self._server.started:
            await asyncio.sleep(0.005)
        ready()

    async def _settle(self) -> None:
        """Do what falls due, for as long as nobody calls."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._threads, self.service.settle)
            except Exception as error:  # noqa: BLE001 - it is tried again, and calls do it too
                self._log.failure("-", error)
            await asyncio.sleep(self.settings.settle_seconds)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self.settings.head_seconds))
            close_late(self._server.server_state.connections, loop.time(), self.settings)

    def _configuration(self, app: App) -> uvicorn.Config:
        settings = self.settings
        configuration = uvicorn.Config(
            app,
            http=bounded(settings),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=int(settings.idle_seconds) + 1,
            timeout_graceful_shutdown=max(1, int(settings.stop_seconds)),
        )
        configuration.load()
        configuration.ssl = self._tls
        return configuration


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _authentication(settings: Settings, access_keys: Credentials | None, store: Store, clock: Clock) -> Authentication:
    if not settings.signed:
        return Anybody(settings.account, settings.region)
    return Signatories(Verifier(access_keys or StoredCredentials(store), clock))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def no_password() -> str:
        # Otherwise OpenSSL would ask at the terminal, of a server that may have none.
        raise UsageError(f"the TLS key of {settings.tls_certificate} is encrypted")

    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, no_password)
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise UsageError(f"the TLS certificate {settings.tls_certificate} cannot be used: {reason}") from None
    return context
