"""As much of Vault's transit engine as the keyring uses, on the loopback interface, with real cryptography."""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.token-of-the-tests"


class TransitServer:
    """Keys by name, each with its versions; ``answers`` takes what to say instead, once each."""

    def __init__(self) -> None:
        self.address = ""
        self.keys: dict[str, list[bytes]] = {}
        self.answers: list[tuple[int, bytes]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []

    def rotate(self, name: str) -> None:
        """Add a version to a key, or make it."""
        self.keys.setdefault(name, []).append(AESGCM.generate_key(256))

    def answer(self, path: str, token: str | None, body: bytes) -> tuple[int, bytes]:
        if self.answers:
            return self.answers.pop(0)
        if token != TOKEN:
            return _errors(403, "permission denied")
        _, _, mount, operation, name = path.split("/", 4)
        versions = self.keys.get(name)
        if mount != "transit" or versions is None:
            return _errors(404, "encryption key not found")
        asked = json.loads(body)
        self.requests.append((operation, asked))
        aad = base64.b64decode(asked["associated_data"], validate=True)
        try:
            data = {"encrypt": _encrypt, "decrypt": _decrypt}[operation](versions, asked, aad)
        except (InvalidTag, ValueError, IndexError):
            return _errors(400, "cipher: message authentication failed")
        return 200, json.dumps({"data": data}).encode()


def _encrypt(versions: list[bytes], asked: dict[str, str], aad: bytes) -> dict[str, Any]:
    nonce = os.urandom(12)
    sealed = AESGCM(versions[-1]).encrypt(nonce, base64.b64decode(asked["plaintext"], validate=True), aad)
    return {"ciphertext": f"vault:v{len(versions)}:{base64.b64encode(nonce + sealed).decode()}"}


def _decrypt(versions: list[bytes], asked: dict[str, str], aad: bytes) -> dict[str, Any]:
    _, version, encoded = asked["ciphertext"].split(":")
    if not 1 <= int(version[1:]) <= len(versions):
        raise ValueError("no such version")
    sealed = base64.b64decode(encoded, validate=True)
    plaintext = AESGCM(versions[int(version[1:]) - 1]).decrypt(sealed[:12], sealed[12:], aad)
    return {"plaintext": base64.b64encode(plaintext).decode()}


def _errors(status: int, *texts: str) -> tuple[int, bytes]:
    return status, json.dumps({"errors": texts}).encode()


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[TransitServer]:
    """Serve on a free port of this machine, over TLS where ``tls`` is given."""
    transit = TransitServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = transit.answer(self.path, self.headers["X-Vault-Token"], body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    transit.address = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield transit
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
