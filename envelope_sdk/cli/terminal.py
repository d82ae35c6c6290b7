"""What the command says to people, and the codes it ends with.

The rules:

- Results go to standard output; everything else, progress included, goes to standard error.
- A message is one line: ``envelope: WHAT: why``, no capital, no full stop. A hint, where there is something to do about
  it, is a second line: ``hint: ...``. Of several items it follows the first that it is about.
- No traceback, no secret, no plaintext.
- What cannot be printed is escaped, so that no file name passes for another line.
- Nothing is coloured or drawn unless standard error is a terminal.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from enum import IntEnum

import click

from envelope_sdk import errors

__all__ = ["ExitCode", "exit_code_of", "printable_name", "report", "say", "text_of"]


class ExitCode(IntEnum):
    """How the command ended."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    INTEGRITY = 3
    KEY = 4
    TEMPORARY = 5
    INTERRUPTED = 130


_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.MessageError, ExitCode.INTEGRITY),
    (errors.AuthenticationError, ExitCode.INTEGRITY),
    (errors.PolicyError, ExitCode.INTEGRITY),
    (errors.StreamError, ExitCode.INTEGRITY),
    (errors.NoMatchingKeyError, ExitCode.KEY),
    (errors.KmsUnavailableError, ExitCode.TEMPORARY),
    (errors.KmsError, ExitCode.KEY),
    (errors.KeyringError, ExitCode.KEY),
    (errors.KeyStoreError, ExitCode.KEY),
    (errors.UsageError, ExitCode.USAGE),
    (errors.JournalError, ExitCode.USAGE),
    (errors.WorkerLostError, ExitCode.TEMPORARY),
    (click.UsageError, ExitCode.USAGE),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
)

_TEMPORARY_SERVICE_CODES = frozenset(
    {"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "ThrottlingException"}
)
_USAGE_SERVICE_CODES = frozenset(
    {
        "AlreadyExistsException",
        "EntityAlreadyExists",
        "InvalidAliasNameException",
        "InvalidArnException",
        "MalformedPolicyDocumentException",
        "NoSuchEntity",
        "ValidationException",
    }
)

_HINTS: tuple[tuple[type[BaseException], str], ...] = (
    (errors.TruncatedMessageError, "the file may still be on its way, or was cut off: get a whole copy"),
    (errors.UnsupportedMessageError, "is this the encrypted file?"),
    (errors.CommitmentPolicyError, "older messages do not commit to their key: --allow-uncommitted reads them"),
    (errors.NoMatchingKeyError, "'envelope inspect FILE' lists the keys that open it; choose one with --key"),
    (errors.KmsUnavailableError, "nothing was changed: try again later"),
    (errors.WorkerLostError, "a worker was killed, or ran out of memory: try again, with fewer jobs perhaps"),
    (FileExistsError, "--force replaces existing files"),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code the command ends with when ``error`` ends it."""
    if isinstance(error, errors.KmsServiceError):
        if error.code in _TEMPORARY_SERVICE_CODES:
            return ExitCode.TEMPORARY
        return ExitCode.USAGE if error.code in _USAGE_SERVICE_CODES else ExitCode.KEY
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.SOME_FAILED


def report(error: BaseException, what: str | None = None, *, hinted: set[str] | None = None) -> ExitCode:
    """Print ``error``, with the item it is about, and its hints; return the code that goes with it.

    Args:
        error: what went wrong.
        what: the item's name.
        hinted: hints that were given before, and are not repeated; those given now are added.
    """
    where = f"{printable_name(what)}: " if what else ""
    say(f"envelope: {where}{text_of(error)}")
    given = set[str]() if hinted is None else hinted
    for hint in _hints(error):
        if hint not in given:
            say(f"hint: {hint}")
            given.add(hint)
    return exit_code_of(error)


def _hints(error: BaseException) -> Iterator[str]:
    if (hint := next((hint for kind, hint in _HINTS if isinstance(error, kind)), None)) is not None:
        yield hint
    if isinstance(error, errors.EnvelopeError):
        yield from getattr(error, "__notes__", ())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        yield f"'{error.ctx.command_path} --help' explains"


def say(line: str) -> None:
    """Print one line to standard error. That nobody can be told is no error."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError, ValueError):
        click.echo(_escaped(line).encode(encoding, "backslashreplace").decode(encoding), err=True)


def printable_name(name: str | bytes) -> str:
    """Return a file's name with bytes that are no text replaced, and whatever cannot be printed escaped."""
    return _escaped(click.format_filename(name))


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def text_of(error: BaseException) -> str:
    """Return what went wrong, without the item it is about."""
    if isinstance(error, errors.KmsServiceError):
        return f"{error.code}: {error.message}".rstrip(".: ")
    if isinstance(error, OSError) and (error.strerror or str(error)):
        names = [printable_name(name) for name in (error.filename,) if isinstance(name, str | bytes)]
        return ": ".join([*names, error.strerror.lower() if error.strerror else str(error)])
    if isinstance(error, click.ClickException):
        return error.format_message().rstrip(".").replace("\n", " ")
    if isinstance(error, errors.EnvelopeError):
        return str(error)
    # Only what this package documents is known to be free of secrets.
    return f"internal error ({type(error).__name__}); set ENVELOPE_DEBUG=1 for details and please report it"
