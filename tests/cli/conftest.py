"""The command ``envelope`` in a home of its own: called in this process, or started as one.

Calling takes milliseconds and is for what the command says and writes. Starting is for what only a process has:
signals, pipes, terminals, limits, and what it imports.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest
from botocore.exceptions import ClientError
from testkit.asymmetric_kms import ARN_START, AsymmetricKms

from envelope_sdk.cli.main import entry
from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms

Argument = str | bytes | os.PathLike[str]

LAUNCHER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
sys.argv[0] = "envelope"
from envelope_sdk.cli.main import entry
entry()
"""

ON_A_WORD = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n" + LAUNCHER
"""Says that it is there, and goes on when it is told to."""


@dataclass(frozen=True)
class Ran:
    """How a command ended.

    Attributes:
        code: its exit code.
        out: its standard output.
        err: its standard error, as text.
    """

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


class Envelope:
    """The command, its current folder and its home.

    Attributes:
        home: the folder it runs in, which is its home too.
        env: variables to add to its environment.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env: dict[str, str] = {}

    def __call__(self, *arguments: Argument, stdin: bytes = b"") -> Ran:
        """Run it to its end in this process."""
        out, err = io.BytesIO(), io.BytesIO()
        streams = (
            io.TextIOWrapper(io.BytesIO(stdin), "utf-8"),
            io.TextIOWrapper(out, "utf-8", write_through=True),
            io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True),
        )
        argv = ["envelope", *(os.fsdecode(argument) for argument in arguments)]
        with _process_state(), contextlib.chdir(self.home):
            sys.argv, (sys.stdin, sys.stdout, sys.stderr) = argv, streams
            os.environ.clear()
            os.environ.update(self.environment())
            try:
                entry()
            except SystemExit as end:
                code = end.code
        assert isinstance(code, int)
        return Ran(code, out.getvalue(), err.getvalue().decode())

    def ok(self, *arguments: Argument, stdin: bytes = b"") -> Ran:
        """Run it in this process; it has to succeed."""
        ran = self(*arguments, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran

    def start(self, *arguments: Argument, launcher: str = LAUNCHER, **options: Any) -> subprocess.Popen[bytes]:
        """Start it as a process."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-c", launcher, *arguments],
            cwd=self.home,
            # A process that is put under a limit could not write what coverage measured of it.
            env=self.environment() | ({"COVERAGE_PROCESS_CONFIG": ""} if "preexec_fn" in options else {}),
            **(pipes | options),
        )

    def process(self, *arguments: Argument, stdin: bytes | None = None, **options: Any) -> Ran:
        """Run it to its end as a process."""
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        return end(self.start(*arguments, **options), stdin)

    def environment(self) -> dict[str, str]:
        """Return the environment it runs in: nothing of its user's, and no AWS account."""
        foreign = re.compile("AWS_|ENVELOPE_|XDG_|HOME$|(NO|FORCE)_COLOR$|COLUMNS$")
        kept = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        nowhere = str(self.home / "no-such-file")
        aws = {"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true"}
        return kept | aws | {"HOME": str(self.home)} | self.env

    def names(self) -> set[str]:
        """Return everything below its home, hidden files too, but for the local KMS."""
        paths = (path.relative_to(self.home).as_posix() for path in self.home.rglob("*"))
        return {name for name in paths if not name.startswith(".local")}

    def write(self, name: str, data: bytes) -> Path:
        """Make a file."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return (self.home / name).read_bytes()

    def key(self, name: str = "a.key", *options: str) -> str:
        """Make a raw key and return its file's name."""
        self.ok("keygen", name, *options)
        return name

    @property
    def store(self) -> Path:
        """The file of the local KMS that is used when none is named."""
        return self.home / ".local" / "share" / "envelope" / "kms.db"


def end(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Ran:
    """Wait for a process and return how it ended."""
    out, err = process.communicate(stdin, timeout=60)
    return Ran(process.returncode, out or b"", (err or b"").decode())


@contextlib.contextmanager
def _process_state() -> Generator[None]:
    """Keep what a command changes of the process it runs in."""
    argv, streams, environment = sys.argv, (sys.stdin, sys.stdout, sys.stderr), dict(os.environ)
    unraisable = sys.unraisablehook
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        sys.argv, (sys.stdin, sys.stdout, sys.stderr) = argv, streams
        os.environ.clear()
        os.environ.update(environment)
        sys.unraisablehook = unraisable
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def envelope(tmp_path: Path) -> Envelope:
    """The command in an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Envelope(home)


@pytest.fixture
def ended() -> Callable[..., Ran]:
    """Waits for a process and returns how it ended."""
    return end


@pytest.fixture
def on_a_word() -> str:
    """The launcher of a process that waits for a line before it begins."""
    return ON_A_WORD


@pytest.fixture
def fifo(envelope: Envelope) -> str:
    """A named pipe in the command's folder."""
    os.mkfifo(envelope.home / "pipe", 0o600)
    return "pipe"


def wait_for_more(process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
    """Return when a process has read all that a pipe holds, and sleeps until there is more.

    A signal that comes earlier may fall into the measuring of coverage, which keeps its lock for good then.
    """
    until = time.monotonic() + 60
    asleep = 0
    while asleep < 3:
        assert time.monotonic() < until, "the process does not wait"
        time.sleep(0.01)
        left = struct.unpack("i", fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)))[0]
        asleep = asleep + 1 if left == 0 and _sleeps(process.pid) else 0


def _sleeps(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    except FileNotFoundError:
        # No such folder on this system: be slow instead.
        time.sleep(0.2)
        return True


@pytest.fixture
def waiting() -> Callable[..., None]:
    """Waits for a process to wait for more from a pipe."""
    return wait_for_more


# --- AWS KMS on this machine -----------------------------------------------------------------------------------------


class KmsServer(ThreadingHTTPServer):
    """A KMS that speaks AWS's protocol on the loopback, for keys of the ``aws-kms://`` scheme.

    Attributes:
        kms: what answers in us-east-1.
        asymmetric: what answers for its keys, in every Region.
        path: the file that every Region's keys are in.
        refusal: the HTTP status and error code of every answer, while there is one.
        asked: the Region of each request, in order.
    """

    kms: LocalKms
    asymmetric: AsymmetricKms
    path: Path
    refusal: tuple[int, str] | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _KmsHandler)
        self.path = path
        self.asked: list[str] = []
        self.asymmetric = AsymmetricKms()
        self._regions: dict[str, LocalKms] = {}
        self._lock = threading.Lock()
        self.kms = self.region("us-east-1")

    def region(self, name: str) -> LocalKms:
        """Return what answers in a Region."""
        with self._lock:
            if name not in self._regions:
                self._regions[name] = LocalKms.open(self.path, region=name)
            return self._regions[name]

    def server_close(self) -> None:
        super().server_close()
        for kms in self._regions.values():
            kms.close()

    def environment(self) -> Mapping[str, str]:
        """Return the variables that lead boto3 here."""
        return {
            "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{self.server_port}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }


class _KmsHandler(BaseHTTPRequestHandler):
    _BLOBS = ("Plaintext", "CiphertextBlob", "PublicKey", "SharedSecret")
    server: KmsServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        # Credential=KEY/DATE/REGION/kms/aws4_request
        self.server.asked.append(self.headers["Authorization"].partition("Credential=")[2].split("/")[2])
        region = self.server.asked[-1]
        kms: Any = self.server.kms if region == "us-east-1" else self.server.region(region)
        if str(request.get("KeyId", "")).startswith(ARN_START):
            kms = self.server.asymmetric
        method = getattr(kms, re.sub("(?<!^)(?=[A-Z])", "_", operation).lower())
        decoded = {name: base64.b64decode(value) for name, value in request.items() if name in self._BLOBS}
        if self.server.refusal is not None:
            status, code = self.server.refusal
            self._answer(status, {"__type": code, "message": "as it was told"})
            return
        try:
            self._answer(200, method(**(request | decoded)))
        except KmsServiceError as error:
            self._answer(error.status, {"__type": error.code, "message": error.message})
        except ClientError as error:
            said = error.response["Error"]
            self._answer(400, {"__type": said["Code"], "message": said["Message"]})

    def _answer(self, status: int, fields: Mapping[str, Any]) -> None:
        encoded = {name: base64.b64encode(fields[name]).decode() for name in self._BLOBS if name in fields}
        shown = {name: value for name, value in fields.items() if name != "ResponseMetadata"}
        body = json.dumps(shown | encoded).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def kms_server(tmp_path: Path) -> Generator[KmsServer]:
    """A KMS reachable over HTTP."""
    with KmsServer(tmp_path / "server.db") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
