"""Servers of KMS in processes of their own, and a client that costs next to nothing."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from processes import COMMAND_LINE, surroundings

_CLOSES = b"connection: close"


class RawClient:
    """Sends the same request over and over, over one connection where the server keeps it."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._connection: socket.socket | None = None

    def __call__(self) -> bytes:
        """Return the body of an answer."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), 60)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(self._request)
        data = self._connection.recv(65_536)
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower()
        assert head.startswith(b"http/1.1 200"), data
        length = int(head.partition(b"content-length:")[2].split()[0])
        while len(body) < length:
            body += self._more()
        if _CLOSES in head:
            self.close()
        return body

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _more(self) -> bytes:
        assert self._connection is not None
        more = self._connection.recv(65_536)
        if not more:
            sys.exit("the server closed the connection in the middle of an answer")
        return more


class Server:
    """A server that runs.

    Attributes:
        port: where, on this machine.
        pid: of its process.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float | None:
        """Return the processor time that it has used, where the system tells."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def own_server(folder: Path, *options: str) -> Generator[Server]:
    """Run ``envelope kms serve`` with its store in ``folder``, without a log."""
    words = ["kms", "serve", "--store", str(folder / "kms.db"), "--port", "0", "--log-format", "off", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE, *words], stderr=subprocess.PIPE, env=surroundings(), text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r":(\d+) \(", line)
        if found is None:
            sys.exit(f"the server does not start: {line}{process.stderr.read()}")
        yield Server(int(found[1]), process.pid)
    finally:
        _end(process)


def moto_command(wanted: str | None) -> Sequence[str] | str:
    """Return the command that runs moto's server, or why there is none."""
    program = wanted or shutil.which("moto_server")
    if program is None:
        return "not installed"
    done = subprocess.run([program, "--help"], capture_output=True, check=False, env=surroundings())
    return [program] if done.returncode == 0 else "moto[server] is not installed"


@contextmanager
def moto_server(command: Sequence[str]) -> Generator[Server]:
    """Run moto's server."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=surroundings()
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield Server(port, process.pid)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
