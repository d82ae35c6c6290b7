"""The canonical form of a request, over which Signature Version 4 is computed.

Source: IAM user guide, "Create a signed AWS API request". Path and query are taken as they came, percent-encoded, and
the path is encoded once more, as every service but S3 has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

__all__ = ["Headers", "SignedRequest", "canonical_request", "query_pairs"]

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in order: names in lower case, values as they came."""

_UNRESERVED: Final = "-._~"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came.

    Attributes:
        method: for instance ``POST``.
        path: percent-encoded, without the query.
        query: percent-encoded, without ``?``.
        headers: all of them.
        body: the whole of it.
    """

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> str | None:
        """Return the value of the first field of that name."""
        for field, value in self.headers:
            if field == name:
                return value.decode("latin-1")
        return None


def canonical_request(request: SignedRequest, signed: Sequence[str], *, without: str = "") -> str:
    """Return the canonical request.

    Args:
        request: the request.
        signed: the names of the headers that are signed, in lower case, sorted.
        without: a parameter of the query to leave out: the signature itself.
    """
    lines = [request.method, _path(request.path), _query(request.query, without)]
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        # Runs of white space count as one space.
        values.setdefault(name.decode("latin-1"), []).append(b" ".join(value.split()).decode("latin-1"))
    lines += [f"{name}:{','.join(values.get(name, ()))}" for name in signed]
    lines += ["", ";".join(signed), hashlib.sha256(request.body).hexdigest()]
    return "\n".join(lines)


def query_pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Return the parameters of a query, decoded, in order. A plus sign is a plus sign."""
    parts = (part.partition(b"=") for part in query.split(b"&") if part)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in parts]


def _query(query: bytes, without: str) -> str:
    if not query:
        return ""
    encoded = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in query_pairs(query)
    )
    return "&".join(f"{name}={value}" for name, value in encoded if name != without)


def _path(path: bytes) -> str:
    if path in (b"/", b""):
        return "/"
    kept: list[str] = []
    for segment in path.decode("latin-1").split("/"):
        if segment == ".." and kept:
            kept.pop()
        elif segment not in ("", ".", ".."):
            kept.append(segment)
    if kept and path.endswith(b"/"):
        kept.append("")
    return quote("/" + "/".join(kept), safe="/" + _UNRESERVED, encoding="latin-1")
