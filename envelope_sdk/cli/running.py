"""Doing every item of a plan, one after the other, and telling how it went."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from envelope_sdk.cli.failures import Failures
from envelope_sdk.cli.guarded import Guarded, identity_of
from envelope_sdk.cli.metadata import opened_metadata
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import Progress, shown_progress
from envelope_sdk.cli.signals import raise_if_stopped
from envelope_sdk.cli.terminal import ExitCode, printable_name, say
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.message.authenticated import Header

__all__ = ["check_outputs", "run_items", "tell_end"]


def check_outputs(
    items: Sequence[Item],
    metadata: str | None,
    *,
    binary: bool,
    force: bool,
    guarded: Guarded,
    journal: str | None = None,
) -> None:
    """Refuse to mix messages with metadata, metadata or a journal with anything else, and ciphertext with a terminal.

    Raises:
        click.UsageError: what would be printed is of no use there, or spoils what is there.
    """
    if metadata == "-" and any(item.target is None for item in items):
        raise click.UsageError("the message and --metadata cannot both go to standard output")
    if metadata is not None and metadata != "-":
        _check_own_file(items, metadata, "--metadata", guarded)
    if journal is not None:
        _check_own_file(items, journal, "--journal", guarded)
        if metadata is not None and metadata != "-" and identity_of(metadata) == identity_of(journal):
            raise click.UsageError(f"{journal} is for --metadata: --journal needs a file of its own")
    if binary and not force and any(_is_terminal(item.target) for item in items):
        raise click.UsageError(
            "refusing to write ciphertext to a terminal: redirect it, name a file with --output, or add --force"
        )


def _check_own_file(items: Sequence[Item], name: str, option: str, guarded: Guarded) -> None:
    own = identity_of(name)
    if any(path is not None and identity_of(path) == own for item in items for path in (item.source, item.target)):
        raise click.UsageError(f"{name} is an input or an output: {option} needs a file of its own")
    if what := guarded.what(name):
        raise click.UsageError(f"{name} is {what}: {option} needs a file of its own")


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
    failures = Failures()
    done: list[Item] = []
    with opened_metadata(metadata, mode) as log, shown_progress(quiet=quiet) as progress:
        for item in items:
            raise_if_stopped()
            try:
                header = work(item, progress)
            except BrokenPipeError:
                raise
            except (EnvelopeError, OSError) as error:
                log.failed(item, error, failures.add(error, item.name))
                continue
            log.done(item, header)
            done.append(item)
    if not quiet:
        tell_end(mode, done, failed=len(failures), total=len(items))
    return failures.code(len(items))


def tell_end(mode: str, done: Sequence[Item], *, failed: int, total: int, before: int = 0) -> None:
    """Say how many items were done.

    Args:
        mode: ``"encrypt"`` or ``"decrypt"``.
        done: those that were.
        failed: how many were not.
        total: how many there are.
        before: how many had been done by an earlier run.
    """
    if total == 1 and not before:
        for item in done:
            if item.target is not None:
                say(f"{mode}ed {printable_name(item.name)} to {printable_name(str(item.target))}")
    elif total == 0:
        say(f"there is nothing to {mode}")
    else:
        others = f", {before} done before" * bool(before) + f", {failed} failed" * bool(failed)
        say(f"{mode}ed {len(done)} of {total} files{others}")
