"""Lists in pages: markers that say where the next page begins."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.parameters import Parameters

__all__ = ["MAX_LIMIT", "Page", "read_page"]

MAX_LIMIT: Final = 1000
"""The largest ``Limit`` (LimitType)."""

_MAX_MARKER: Final = 1024
_MARKER_PATTERN: Final = re.compile(r"[\u0020-\u00FF]*")

T = TypeVar("T")


class Page:
    """Which part of a list is asked for.

    Attributes:
        after: the name of the last item of the page before; empty for the first page.
        limit: the most items wanted.
    """

    __slots__ = ("_kind", "after", "limit")

    def __init__(self, kind: str, after: str, limit: int) -> None:
        """Take the list's kind, which ties markers to it, and the part wanted."""
        self._kind = kind
        self.after = after
        self.limit = limit

    def answer(
        self, member: str, found: Sequence[T], name: Callable[[T], str], entry: Callable[[T], Any]
    ) -> dict[str, Any]:
        """Return the answer's members.

        Args:
            member: what the list is called.
            found: up to one item more than :attr:`limit`, which tells whether there is another page.
            name: what items are in order of.
            entry: an item as it is answered.
        """
        shown = found[: self.limit]
        answer: dict[str, Any] = {member: [entry(item) for item in shown], "Truncated": len(found) > len(shown)}
        if answer["Truncated"]:
            answer["NextMarker"] = base64.urlsafe_b64encode(f"{self._kind}:{name(shown[-1])}".encode()).decode()
        return answer


def read_page(parameters: Parameters, kind: str, default: int, most: int) -> Callable[[], Page]:
    """Take ``Limit`` and ``Marker``; the function returned makes the page once all parameters are checked.

    Args:
        parameters: the call's.
        kind: ties markers to their list.
        default: items where no limit is given.
        most: items in one page whatever the limit: AWS may always answer fewer than asked for.
    """
    limit = parameters.number("Limit", 1, MAX_LIMIT)
    marker = parameters.text("Marker", _MAX_MARKER, pattern=_MARKER_PATTERN)

    def page() -> Page:
        return Page(kind, "" if marker is None else _position(kind, marker), min(limit or default, most))

    return page


def _position(kind: str, marker: str) -> str:
    try:
        found, separator, name = base64.b64decode(marker, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise faults.invalid_marker() from None
    if found != kind or not separator or not name:
        raise faults.invalid_marker()
    return name
