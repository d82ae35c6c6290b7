"""Several processes that serve at one socket, over one file of keys, and the process that looks after them.

A worker is a program that calls :func:`work`. Its arguments say how to run; it listens at a socket that it inherits,
says on its standard output that it answers, and ends when it is told to or when its standard input ends: that of a
parent that was killed does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from envelope_sdk.errors import EnvelopeError, KeyStoreError
from envelope_sdk.local_kms.quotas.buckets import Buckets
from envelope_sdk.local_kms.server.logs import write_line
from envelope_sdk.local_kms.server.metrics import FIGURES_VARIABLE, forget_worker
from envelope_sdk.local_kms.server.running import ServerProcess, listen, url_of
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.store.contract import Store

__all__ = ["serve", "work"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILURES = 5
"""Workers in a row that may end right after their start before the server gives up."""
_EARLY_SECONDS = 5.0
_LOOK_SECONDS = 0.1


def serve(
    settings: Settings,
    open_store: Callable[[], Store],
    ready: Callable[[str], None],
    *,
    buckets: Buckets | None = None,
    worker: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> None:
    """Serve until a signal comes: SIGINT, SIGTERM or SIGHUP. After a second, connections are not waited for.

    Args:
        settings: how to run.
        open_store: returns the store.
        ready: called with the address once requests are answered.
        buckets: who counts requests, where quotas are shared with other servers.
        worker: the command that runs a worker, for settings that want several.
        variables: of the workers' environment, beside those here.

    Raises:
        UsageError, KeyStoreError, KmsServiceError: it cannot start; with several workers also: they keep ending.
    """
    opened = listen(settings)
    try:
        url = url_of(settings, opened)
        # Whatever cannot work is found out here, once, rather than by each worker.
        process = ServerProcess(settings, open_store, buckets=buckets)
        if settings.workers == 1:
            process.run(opened, lambda: ready(url), prepare=lambda: _stop_on_signals(process))
            return
        process.close()
        with tempfile.TemporaryDirectory(prefix="envelope-kms-") as folder:
            environment = {**os.environ, **(variables or {}), FIGURES_VARIABLE: folder}
            _Parent(settings, opened, worker, environment).run(lambda: ready(url))
    finally:
        opened.close()


def _stop_on_signals(process: ServerProcess) -> None:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        # What is ignored, as under nohup, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, process.stop)


class _Parent:
    """Starts workers, replaces those that end, and passes signals on."""

    def __init__(
        self, settings: Settings, opened: socket.socket, worker: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._socket = opened
        self._command = [*worker, str(opened.fileno()), settings.to_json()]
        self._environment = environment
        self._workers: dict[subprocess.Popen[bytes], float] = {}
        self._signals = 0
        self._early = 0
        self._answering = threading.Event()

    def run(self, ready: Callable[[], None]) -> None:
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._heard)
        try:
            self._socket.listen()
            started = [self._start() for _ in range(self._settings.workers)]
            # One that has ended already is replaced, and others answer meanwhile.
            answering = [_answers(worker) for worker in started]
            waiting = not any(answering)
            if not waiting:
                ready()
            while not self._signals:
                time.sleep(_LOOK_SECONDS)
                self._replace_ended()
                if waiting and self._answering.is_set():
                    waiting = False
                    ready()
        finally:
            self._stop()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        for worker in list(self._workers):
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)

    def _start(self) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(  # noqa: S603 - this very program
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._socket.fileno()],
            env=self._environment,
            # Ctrl+C at the terminal is for the parent, which tells the workers.
            start_new_session=True,
        )
        self._workers[worker] = time.monotonic()
        return worker

    def _replace_ended(self) -> None:
        for worker, since in list(self._workers.items()):
            if worker.poll() is None or self._signals:
                continue
            del self._workers[worker]
            _close_pipes(worker)
            forget_worker(worker.pid, self._environment[FIGURES_VARIABLE])
            self._early = self._early + 1 if time.monotonic() - since < _EARLY_SECONDS else 0
            if self._early >= _FAILURES:
                raise KeyStoreError("the server's workers keep ending: its log says why")
            write_line(f"a worker ended with {worker.returncode} and is replaced")
            # Nobody waits for it: the others answer meanwhile.
            threading.Thread(target=self._await, args=(self._start(),), daemon=True).start()

    def _await(self, worker: subprocess.Popen[bytes]) -> None:
        if _answers(worker):
            self._answering.set()

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        until = time.monotonic() + self._settings.stop_seconds + _EARLY_SECONDS
        for worker in self._workers:
            try:
                worker.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            _close_pipes(worker)


def _answers(worker: subprocess.Popen[bytes]) -> bool:
    """Wait until a worker answers requests; return whether it does, or has ended."""
    return worker.stdout is not None and bool(worker.stdout.readline())


def _close_pipes(worker: subprocess.Popen[bytes]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            pipe.close()


def work(
    arguments: Sequence[str],
    open_store: Callable[[Settings], Store],
    open_buckets: Callable[[], Buckets | None] = lambda: None,
) -> int:
    """Run as a worker.

    Args:
        arguments: those of the command line.
        open_store: returns the store that settings name.
        open_buckets: returns who counts requests, where quotas are shared with other servers.

    Returns:
        What to end with.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    opened = socket.socket(fileno=int(arguments[0]))
    opened.setblocking(False)
    try:
        settings = Settings.from_json(arguments[1])
        process = ServerProcess(settings, lambda: open_store(settings), buckets=open_buckets())
    except EnvelopeError as error:
        write_line(f"a worker cannot start: {error}")
        return 1
    threading.Thread(target=_stop_with_parent, args=(process,), daemon=True).start()
    process.run(opened, _say_ready, prepare=lambda: _stop_on_signals(process))
    return 0


def _stop_with_parent(process: ServerProcess) -> None:
    # Past Python's own buffer, whose lock would still be held when the interpreter ends: that aborts it.
    while os.read(sys.stdin.fileno(), 1):
        pass
    process.stop()


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
