"""Two calls to Vault's transit engine, over HTTP, and what its answers mean."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from envelope_sdk.errors import KmsAccessError, KmsError, KmsUnavailableError, UsageError

__all__ = ["Transit", "Wrapped"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_ANSWER: Final = 2**20
_CIPHERTEXT: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")


class Wrapped(NamedTuple):
    """What Vault wrapped.

    Attributes:
        version: of the key that it used.
        ciphertext: the bytes that its text stands for.
    """

    version: int
    ciphertext: bytes


class Transit:
    """One key of one transit engine. Each call has a connection of its own, so threads may share it."""

    def __init__(self, address: str, key: str, *, token: str, mount: str, ca_file: str | None, timeout: float) -> None:
        """Take what :class:`~vault_transit_keyring.VaultTransitKeyring` takes.

        Raises:
            UsageError: the address is no HTTPS address, or the key, mount or token is empty or cannot be sent.
            OSError: the CA file cannot be read.
        """
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            raise UsageError("the address of Vault is https://HOST:PORT") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise UsageError("the address of Vault is https://HOST:PORT")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError("data keys and the token do not go over plain HTTP: use https://")
        if not key or not mount or not token or not token.isascii() or not token.isprintable():
            raise UsageError("Vault needs the name of a key, a mount and a token, which is printable ASCII")
        self.address = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port, self._timeout = parts.hostname, port, timeout
        self._path = f"/v1/{quote(mount)}/{{}}/{quote(key, safe='')}"
        self._token = token
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> Wrapped:
        """Wrap a data key.

        Raises:
            KmsError: Vault refused or failed, or answered with something else.
        """
        answer = self._call("encrypt", plaintext=_text(plaintext), associated_data=_text(associated_data))
        found = _CIPHERTEXT.fullmatch(str(answer.get("ciphertext")))
        if found is None:
            raise KmsError("Vault encrypt answered with no ciphertext", operation="encrypt", code="UnexpectedAnswer")
        return Wrapped(int(found[1]), base64.b64decode(found[2]))

    def decrypt(self, wrapped: Wrapped, associated_data: bytes) -> bytes:
        """Unwrap a data key.

        Raises:
            KmsError: Vault refused or failed, or answered with something else.
        """
        ciphertext = f"vault:v{wrapped.version}:{_text(wrapped.ciphertext)}"
        answer = self._call("decrypt", ciphertext=ciphertext, associated_data=_text(associated_data))
        try:
            return base64.b64decode(str(answer.get("plaintext")), validate=True)
        except ValueError:
            problem = "Vault decrypt answered with no plaintext"
        raise KmsError(problem, operation="decrypt", code="UnexpectedAnswer")

    def _call(self, operation: str, **parameters: str) -> Mapping[str, Any]:
        try:
            status, body = self._post(self._path.format(operation), json.dumps(parameters))
        except (OSError, http.client.HTTPException) as error:
            text = f"Vault {operation} failed: {type(error).__name__}: {error}"
            raise KmsUnavailableError(text, operation=operation, code=type(error).__name__) from error
        if status != 200:
            raise _refusal(operation, status, body)
        data = _fields(body).get("data")
        if not isinstance(data, dict):
            raise KmsError(f"Vault {operation} answered with no data", operation=operation, code="UnexpectedAnswer")
        return data

    def _post(self, path: str, body: str) -> tuple[int, bytes]:
        # http.client follows no redirects, which could carry the token elsewhere.
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        headers = {"X-Vault-Token": self._token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(_LONGEST_ANSWER)
        finally:
            connection.close()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(operation: str, status: int, body: bytes) -> KmsError:
    # What Vault says of an error names neither plaintext nor token.
    errors = _fields(body).get("errors")
    said = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    text = f"Vault {operation} answered {status}" + (f": {said}" if said else "")
    if status in (412, 429) or status >= 500:
        return KmsUnavailableError(text, operation=operation, code=str(status))
    if status in (401, 403, 404):
        return KmsAccessError(text, operation=operation, code=str(status))
    return KmsError(text, operation=operation, code=str(status))
