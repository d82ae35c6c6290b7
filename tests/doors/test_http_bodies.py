"""HTTP clients send an encrypting reader, and what they receive goes to a decrypting writer."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from envelope_sdk import Client
from envelope_sdk.errors import TruncatedMessageError
from envelope_sdk.streams import aio

PLAINTEXT = bytes(range(256)) * 400


class Store(BaseHTTPRequestHandler):
    """Keeps the last body and the headers it came with, and gives it back; ``/again`` sends the client elsewhere."""

    protocol_version = "HTTP/1.1"
    body = b""
    heads: dict[str, str] = {}  # noqa: RUF012 - what a test looks at

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            Store.body = b"".join(pieces)
        else:
            Store.body = self.rfile.read(int(self.headers["Content-Length"]))
        Store.heads = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(307 if self.path == "/again" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        body = Store.body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Pipe(io.RawIOBase):
    """Plaintext of unknown length."""

    def __init__(self) -> None:
        self._below = io.BytesIO(PLAINTEXT)

    def readinto(self, buffer: Any) -> int:
        return self._below.readinto(buffer)


def put_with_httpx(url: str, body: Any) -> int:
    httpx = pytest.importorskip("httpx")
    return int(httpx.put(url, content=body, follow_redirects=True, trust_env=False).status_code)


def put_with_requests(url: str, body: Any) -> int:
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        return int(session.put(url, data=body).status_code)


def put_with_http_client(url: str, body: Any) -> int:
    from http.client import HTTPConnection

    connection = HTTPConnection(url.removeprefix("http://").partition("/")[0])
    try:
        headers = {} if body.length is None else {"Content-Length": str(body.length)}
        connection.request("PUT", "/", body=body, headers=headers, encode_chunked=body.length is None)
        return connection.getresponse().status
    finally:
        connection.close()


each_client = pytest.mark.parametrize(
    "put", [put_with_httpx, put_with_requests, put_with_http_client], ids=lambda put: put.__name__[9:]
)


@each_client
def test_a_body_of_known_length_says_it(put: Any, client: Client, url: str):
    with client.encrypting_reader(io.BytesIO(PLAINTEXT)) as reader:
        assert put(url, reader) == 200
    assert int(Store.heads["content-length"]) == reader.length == len(Store.body)
    assert client.decrypt(Store.body).plaintext == PLAINTEXT


@pytest.mark.parametrize("put", [put_with_httpx, put_with_requests], ids=lambda put: put.__name__[9:])
def test_a_body_of_unknown_length_goes_in_chunks(put: Any, client: Client, url: str):
    with client.encrypting_reader(Pipe()) as reader:
        assert put(url, reader) == 200
    assert Store.heads["transfer-encoding"] == "chunked"
    assert client.decrypt(Store.body).plaintext == PLAINTEXT


@pytest.mark.parametrize("put", [put_with_httpx, put_with_requests], ids=lambda put: put.__name__[9:])
def test_a_redirect_that_asks_for_the_body_again_fails_clearly(put: Any, client: Client, url: str):
    reader = client.encrypting_reader(io.BytesIO(PLAINTEXT))
    with pytest.raises(Exception, match=r"[Rr]ewind|Too little data"):
        put(f"{url}/again", reader)


def test_a_response_is_written_to_a_file_piece_by_piece(client: Client, url: str, tmp_path: Path):
    httpx = pytest.importorskip("httpx")
    Store.body = client.encrypt(PLAINTEXT).ciphertext
    with (
        client.decrypting_writer(tmp_path / "file") as writer,
        httpx.stream("GET", url, trust_env=False) as response,
    ):
        for piece in response.iter_bytes():
            writer.write(piece)
    assert (tmp_path / "file").read_bytes() == PLAINTEXT


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_chunks_are_sent_and_received(backend: str, client: Client, url: str):
    httpx = pytest.importorskip("httpx")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(PLAINTEXT), 10_000):
            yield PLAINTEXT[start : start + 10_000]

    async def main() -> bytes:
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.put(url, content=aio.encrypt_chunks(pieces(), client=client))).status_code == 200
            async with http.stream("GET", url) as answer:
                return b"".join([piece async for piece in aio.decrypt_chunks(answer.aiter_bytes(), client=client)])

    assert anyio.run(main, backend=backend) == PLAINTEXT
    assert client.decrypt(Store.body).plaintext == PLAINTEXT


def test_a_response_that_is_cut_leaves_no_file(client: Client, url: str, tmp_path: Path):
    requests = pytest.importorskip("requests")
    Store.body = client.encrypt(PLAINTEXT).ciphertext[:-1]
    with requests.Session() as session:
        session.trust_env = False
        with (
            session.get(url, stream=True) as response,
            pytest.raises(TruncatedMessageError),
            client.decrypting_writer(tmp_path / "file") as writer,
        ):
            writer.writelines(response.iter_content(1000))
    assert list(tmp_path.iterdir()) == []


def test_a_raw_response_is_read_as_a_stream(client: Client, url: str):
    requests = pytest.importorskip("requests")
    Store.body = client.encrypt(PLAINTEXT).ciphertext
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, stream=True) as response, client.open(response.raw) as reader:
            assert reader.read() == PLAINTEXT
