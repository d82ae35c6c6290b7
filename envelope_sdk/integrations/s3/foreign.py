"""Objects that Amazon's S3 Encryption Clients wrote: no messages, and told from those that were damaged."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from envelope_sdk.errors import MessageError, UnsupportedMessageError

__all__ = ["explained"]

_MARKS: Final = frozenset({"x-amz-key", "x-amz-key-v2", "x-amz-c", "x-amz-3"})
"""Metadata by which those clients know their own objects, one or two for each version of their format."""


class _Answered(Protocol):
    @property
    def answer(self) -> Mapping[str, Any]: ...

    @property
    def name(self) -> str: ...


@contextmanager
def explained(stored: _Answered) -> Generator[None]:
    """Say of an object that is no message whose it is, where its metadata tell.

    Raises:
        UnsupportedMessageError: reading it raised :class:`MessageError`, and an S3 Encryption Client wrote it.
    """
    try:
        yield
    except MessageError as error:
        # Only where it cannot be read: metadata are not authentic, and a message may carry those of what it was.
        marks = sorted(_MARKS & {name.lower() for name in stored.answer.get("Metadata", {})})
        if not marks:
            raise
        raise UnsupportedMessageError(
            f"{stored.name} is no message of the AWS Encryption SDK: by its metadata ({', '.join(marks)}) an Amazon S3 "
            "Encryption Client wrote it, which has a format of its own; read it with that",
            section="header",
        ) from error
