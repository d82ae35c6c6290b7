"""Looking for keys where they must not be: in texts, logs, printed output and pickles."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import pickle
import pprint
import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Final

from envelope_sdk.errors import NoMatchingKeyError

__all__ = ["find_secret", "pickled", "texts_of", "watched"]

_SHORTEST: Final = 8
"""Bytes. What is shorter turns up by chance."""

_NOT_THE_KEYRING_S: Final = ("boto3", "botocore", "urllib3")
"""Loggers of clients that write down every answer when they are told to debug."""


def find_secret(where: str | bytes, secrets: Iterable[bytes]) -> str | None:
    """Return in which form one of ``secrets`` is in ``where``, or ``None`` where none is."""
    for secret in secrets:
        if len(secret) < _SHORTEST:
            continue
        if isinstance(where, bytes) and secret in where:
            return "as it is"
        text = where.decode("latin-1") if isinstance(where, bytes) else where
        for form, written in _forms(secret):
            if written in text:
                return form
    return None


def _forms(secret: bytes) -> Iterator[tuple[str, str]]:
    yield "as characters", secret.decode("latin-1")
    yield "as hexadecimal digits", secret.hex()
    yield "as hexadecimal digits", secret.hex().upper()
    yield "as the repr of bytes", repr(secret)[2:-1]
    yield "as a list of numbers", ", ".join(map(str, secret))
    yield "as a number", str(int.from_bytes(secret, "big"))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # As part of something longer, its characters depend on where in a group of three bytes it begins.
            encoded = encode(bytes(before) + secret).decode("ascii")
            yield "in base64", encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]


def texts_of(found: object) -> Iterator[str]:
    """Yield what an object, or an error with its causes, shows of itself."""
    yield repr(found)
    yield str(found)
    yield pprint.pformat(found)
    # Pretty printers and test runners show these field by field, without asking for their repr.
    if is_dataclass(found) and not isinstance(found, type):
        yield repr([getattr(found, each.name) for each in fields(found) if each.repr])
    if isinstance(found, tuple):
        yield repr([*found])  # pyright: ignore[reportUnknownArgumentType] - whatever is in it
    if isinstance(found, BaseException):
        yield repr(found.args)
        if isinstance(found, NoMatchingKeyError):
            for failure in found.failures:
                yield str(failure)
                yield from texts_of(failure.error)
        if found.__cause__ is not None:
            yield from texts_of(found.__cause__)


class _Collecting(logging.Handler):
    """Keeps what is logged, as text."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._kept = kept
        self._formatter = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record and its traceback."""
        if record.name.partition(".")[0] not in _NOT_THE_KEYRING_S:
            self._kept.append(self._formatter.format(record))


@contextlib.contextmanager
def watched() -> Generator[list[str]]:
    """Collect what is logged at any level, warned of or printed meanwhile."""
    kept: list[str] = []
    printed = io.StringIO()
    root, handler = logging.getLogger(), _Collecting(kept)
    level = root.level
    warned: list[warnings.WarningMessage] | None = None
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            yield kept
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        kept += [printed.getvalue(), *(str(warning.message) for warning in warned or ())]


def pickled(found: object) -> bytes | None:
    """Return the pickle of an object, or ``None`` where it refuses, whatever it refuses with."""
    try:
        return pickle.dumps(found)
    except Exception:  # noqa: BLE001 - refusals are of many kinds, and any is fine
        return None
