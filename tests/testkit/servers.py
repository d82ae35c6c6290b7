"""Servers that stand beside the code under test, started for the tests alone: PostgreSQL and Redis.

PostgreSQL refuses to run as root; there it runs as the user that its package has made, or else as nobody.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from testkit.processes import wait_until_gone

PASSWORD = "s3cret/p@ss:word?#%"
"""Of the role that has to give one; every character that makes trouble in a URL."""

_TIMEOUT = 60


class Postgres:
    """A throwaway PostgreSQL server.

    Attributes:
        port: its TCP port on the loopback interface, and the name of its socket.
    """

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self.port = free_port()
        self._bin = bin_folder
        self._folder = folder
        self._data = folder / "data"
        self._user = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        options = ["--pgdata", str(self._data), "--username=tests", "--auth=trust", "--encoding=UTF8", "-N"]
        # In the order of a language, where this version can: not that of bytes, which is what is asked for.
        if self._run("initdb", *options, "--locale-provider=icu", "--icu-locale=en-US", "--locale=C", check=False):
            shutil.rmtree(self._data, ignore_errors=True)
            self._run("initdb", *options)
        rules = self._data / "pg_hba.conf"
        rules.write_text("local all all trust\nhost all asked 127.0.0.1/32 scram-sha-256\nhost all all all trust\n")

    @property
    def url(self) -> str:
        """The usual way to its database, over its socket and without a password."""
        return f"postgresql://tests@/postgres?host={quote(str(self._folder), safe='')}&port={self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """The folder of its socket, and its port: where it is, for what takes no URL."""
        return str(self._folder), self.port

    @property
    def tcp_url(self) -> str:
        """The way over the loopback interface."""
        return f"postgresql://tests@127.0.0.1:{self.port}/postgres"

    @property
    def asked_url(self) -> str:
        """The way of a role that has to give its password."""
        return f"postgresql://asked:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # Durable it need not be: what is tested of that is that COMMIT is asked for and waited for.
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "80",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [self._bin / "postgres", "-D", self._data, *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._identity())
        until = time.monotonic() + _TIMEOUT
        while self._run("pg_isready", "-h", str(self._folder), "-p", str(self.port), check=False):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends its connections first, SIGKILL is a crash."""
        if self._process is None:
            return
        crash = how == signal.SIGKILL
        # What serves a connection notices a crash on its own, a moment later, and answers until then.
        others = [pid for (pid,) in self.execute("SELECT pid FROM pg_stat_activity")] if crash else []
        self._process.send_signal(how)
        self._process.wait(_TIMEOUT)
        self._process = None
        wait_until_gone(others, _TIMEOUT)

    def execute(self, *statements: str) -> list[Any]:
        """Run statements by a way that needs none of the code under test; return the rows of the last."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                answer = connection.execute(statement)  # type: ignore[call-overload]
            return answer.fetchall() if answer.description else []

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        ran = subprocess.run(
            [self._bin / program, *arguments], capture_output=True, cwd="/", check=False, **self._identity()
        )
        assert ran.returncode == 0 or not check, ran.stderr.decode()
        return ran.returncode

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Yield a running server; skip the test that asks where there is none, or no psycopg."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    named = shutil.which("initdb")
    if not found and named is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not below pytest's folders: they are closed to other users, and the name of a socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="envelope-pg-"))
    server = None
    try:
        server = Postgres(found[-1] if found else Path(str(named)).parent, folder)
        server.start()
        server.execute(f"CREATE ROLE asked LOGIN PASSWORD '{PASSWORD}'", "GRANT CREATE ON DATABASE postgres TO asked")
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Redis:
    """A throwaway Redis server.

    Attributes:
        port: its TCP port on the loopback interface.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The way to it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL, cwd=self._folder)
        until = time.monotonic() + _TIMEOUT
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
            assert self._process.poll() is None, "Redis has ended"
            assert time.monotonic() < until, "Redis does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_TIMEOUT)
            self._process = None


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """Yield a running server; skip the test that asks where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("Redis is not installed (Debian: apt-get install redis-server)")
    server = Redis(program, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _unprivileged() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("there is no user that PostgreSQL could run as")


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.parent.name))
