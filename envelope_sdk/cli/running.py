"""Doing every item of a plan, one after the other, and telling how it went."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from envelope_sdk.cli.guarded import Guarded, identity_of
from envelope_sdk.cli.metadata import opened_metadata
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import Progress, shown_progress
from envelope_sdk.cli.signals import raise_if_stopped
from envelope_sdk.cli.terminal import ExitCode, printable_name, report, say
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.message.authenticated import Header

__all__ = ["check_outputs", "run_items"]


def check_outputs(items: Sequence[Item], metadata: str | None, *, binary: bool, force: bool, guarded: Guarded) -> None:
    """Refuse to mix messages with metadata, metadata with anything else, and ciphertext with a terminal.

    Raises:
        click.UsageError: what would be printed is of no use there, or spoils what is there.
    """
    if metadata == "-" and any(item.target is None for item in items):
        raise click.UsageError("the message and --metadata cannot both go to standard output")
    if metadata not in (None, "-"):
        log = identity_of(metadata)
        if any(path is not None and identity_of(path) == log for item in items for path in (item.source, item.target)):
            raise click.UsageError(f"{metadata} is an input or an output: --metadata needs a file of its own")
        if what := guarded.what(metadata):
            raise click.UsageError(f"{metadata} is {what}: --metadata needs a file of its own")
    if binary and not force and any(_is_terminal(item.target) for item in items):
        raise click.UsageError(
            "refusing to write ciphertext to a terminal: redirect it, name a file with --output, or add --force"
        )


def _is_terminal(target: Path | None) -> bool:
    if target is None:
        return sys.stdout is not None and sys.stdout.isatty()
    try:
        if not stat.S_ISCHR(target.stat().st_mode):
            return False
        descriptor = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        # Writing will tell.
        return False
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def run_items(
    mode: str,
    items: Sequence[Item],
    work: Callable[[Item, Progress], Header],
    *,
    metadata: str | None,
    quiet: bool,
) -> ExitCode:
    """Do ``work`` for each item and return the code to end with.

    A single item ends with the code of its error; where there are several, the others are done all the same and the
    code says that some failed.
    """
    failures: list[ExitCode] = []
    done: list[Item] = []
    with opened_metadata(metadata, mode) as log, shown_progress(quiet=quiet) as progress:
        for item in items:
            raise_if_stopped()
            try:
                header = work(item, progress)
            except BrokenPipeError:
                raise
            except (EnvelopeError, OSError) as error:
                failures.append(report(error, item.name))
                log.failed(item, error, failures[-1])
                continue
            log.done(item, header)
            done.append(item)
    if not quiet:
        _tell(mode, done, failed=len(failures), total=len(items))
    if not failures:
        return ExitCode.DONE
    return failures[0] if len(items) == 1 else ExitCode.SOME_FAILED


def _tell(mode: str, done: Sequence[Item], *, failed: int, total: int) -> None:
    if total == 1:
        for item in done:
            if item.target is not None:
                say(f"{mode}ed {printable_name(item.name)} to {printable_name(str(item.target))}")
    elif total == 0:
        say(f"there is nothing to {mode}")
    else:
        say(f"{mode}ed {len(done)} of {total} files" + (f", {failed} failed" if failed else ""))
