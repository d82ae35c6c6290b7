"""Keeping web pages out: a page open in a browser on this machine can send requests to this machine's addresses.

Browsers say which page a request is from (``Origin``), except where they believe that the server is the page's own. A
page brings that about by having its name stand for 127.0.0.1 (DNS rebinding); ``Host`` gives it away then.
"""

from __future__ import annotations

from collections.abc import Sequence

from envelope_sdk.local_kms.canonical import Headers
from envelope_sdk.local_kms.server.settings import Settings, is_loopback

__all__ = ["Origins"]

_KEPT = 64


class Origins:
    """Decides whether a request may come from where it says."""

    def __init__(self, settings: Settings) -> None:
        """Take what is allowed. Hosts are looked at only where the server listens to this machine alone."""
        self._any_host = not is_loopback(settings.host)
        self._hosts = frozenset(name.lower() for name in settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        # Nearly all requests have the same one.
        self._admitted: set[bytes] = set()

    def problem(self, headers: Headers) -> str | None:
        """Return why a request is refused, ``None`` where it is not."""
        host: bytes | None = None
        for name, value in headers:
            if name == b"origin" and not self.allowed(value):
                return "requests of web pages are refused unless their origin is allowed"
            if name == b"host":
                if host is not None:
                    return "there is more than one Host"
                host = value
        if self._any_host or (host is not None and host in self._admitted) or self._admits(host):
            return None
        return "the name by which the server was called is neither this machine's own nor allowed"

    def allowed(self, origin: bytes) -> bool:
        """Whether a web page may call."""
        return "*" in self._origins or origin.decode("latin-1") in self._origins

    def headers(self, headers: Headers) -> Sequence[tuple[bytes, bytes]]:
        """Return what tells a browser that its page may read the answer."""
        for name, value in headers:
            if name == b"origin":
                return (
                    (b"access-control-allow-origin", value),
                    (b"access-control-allow-methods", b"POST, GET"),
                    (b"access-control-allow-headers", b"*, authorization"),
                    (b"access-control-expose-headers", b"*"),
                    (b"vary", b"origin"),
                )
        return ()

    def _admits(self, host: bytes | None) -> bool:
        text = (host or b"").decode("latin-1")
        name, colon, port = text.rpartition(":")
        if not colon or not port.isdigit():
            name = text
        if not (is_loopback(name) or name.lower() in self._hosts):
            return False
        if host is not None and len(self._admitted) < _KEPT:
            self._admitted.add(host)
        return True
