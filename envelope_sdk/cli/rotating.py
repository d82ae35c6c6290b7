"""Rotating every message of a plan, one after the other, and telling how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from envelope_sdk.bulk.folders import make_folders_for
from envelope_sdk.cli.failures import Failures
from envelope_sdk.cli.guarded import FileIdentity, identity_of
from envelope_sdk.cli.metadata import MetadataLog, opened_metadata
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import Progress, shown_progress
from envelope_sdk.cli.signals import raise_if_stopped
from envelope_sdk.cli.terminal import ExitCode, printable_name, say
from envelope_sdk.cli.transfer import told_to
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.streams.rotation import Rotation

__all__ = ["Tally", "is_in_place", "run_rotation"]


@dataclass
class Tally:
    """How messages ended.

    Attributes:
        rotated: those that were rotated, or would be.
        kept: those that are as wanted already.
        before: those that an earlier run has rotated to their target.
        failed: those that failed.
    """

    rotated: list[Item] = field(default_factory=list[Item])
    kept: list[Item] = field(default_factory=list[Item])
    before: list[Item] = field(default_factory=list[Item])
    failed: Failures = field(default_factory=Failures)

    def note_failure(self, item: Item, error: Exception, log: MetadataLog) -> None:
        """Say and note that an item failed."""
        log.failed(item, error, self.failed.add(error, item.name))

    def note_rotated(self, item: Item, header: Header, log: MetadataLog, *, other_names: bool) -> None:
        """Note an item that was rotated, and warn where other names of its file keep the old message."""
        if other_names and is_in_place(item):
            say(f"warning: {printable_name(item.name)}: other names of this file (hard links) keep the old message")
        log.done(item, header)
        self.rotated.append(item)

    def note_kept(self, item: Item, log: MetadataLog) -> None:
        """Note an item that had to be left alone."""
        log.left(item, "kept")
        self.kept.append(item)

    def code(self, total: int) -> ExitCode:
        """Return the code to end with."""
        return self.failed.code(total)

    def tell(self, total: int, *, would: str = "rotated") -> None:
        """Say how many of ``total`` items ended how."""
        if total == 0:
            say("there is nothing to rotate")
        elif total == 1 and not self.before:
            for item in self.rotated:
                beside = "" if is_in_place(item) else f" to {printable_name(str(item.target))}"
                say(f"{would} {printable_name(item.name)}{beside}")
            for item in self.kept:
                say(f"{printable_name(item.name)} is as wanted already")
        else:
            kept = f", {len(self.kept)} {'is' if len(self.kept) == 1 else 'are'} as wanted already" * bool(self.kept)
            before = f", {len(self.before)} done before" * bool(self.before)
            failed = f", {len(self.failed)} failed" * bool(self.failed)
            say(f"{would} {len(self.rotated)} of {total} files{kept}{before}{failed}")


def run_rotation(
    items: Sequence[Item],
    rotation: Rotation,
    *,
    again: bool,
    overwrite: bool,
    dry_run: bool,
    metadata: str | None,
    quiet: bool,
) -> ExitCode:
    """Rotate each item, or say that it would be, and return the code to end with, as for other commands.

    Args:
        items: what :func:`~envelope_sdk.cli.plan.plan_rotation` returns.
        rotation: how they are to be.
        again: whether those that are so already are rotated too.
        overwrite: whether targets beside their sources may be replaced.
        dry_run: whether nothing is written.
        metadata: where the log goes.
        quiet: whether nothing is told but errors.
    """
    tally = Tally()
    names: Counter[FileIdentity] = Counter(identity_of(item.name) for item in items)
    with opened_metadata(metadata, "rotate") as log, shown_progress(quiet=quiet) as progress:
        for item in items:
            raise_if_stopped()
            try:
                if dry_run:
                    _look(rotation, item, log, tally, again=again)
                else:
                    _rotate(rotation, item, progress, log, tally, names, again=again, overwrite=overwrite)
            except BrokenPipeError:
                raise
            except (EnvelopeError, OSError) as error:
                tally.note_failure(item, error, log)
    if not quiet:
        tally.tell(len(items), would="would rotate" if dry_run else "rotated")
    return tally.code(len(items))


def is_in_place(item: Item) -> bool:
    """Return whether an item is replaced."""
    return item.target == item.source


def _look(rotation: Rotation, item: Item, log: MetadataLog, tally: Tally, *, again: bool) -> None:
    done = rotation.is_done(item.name)
    if done and is_in_place(item) and not again:
        tally.note_kept(item, log)
        return
    click.echo(printable_name(item.name))
    log.left(item, "due")
    tally.rotated.append(item)


def _rotate(
    rotation: Rotation,
    item: Item,
    progress: Progress,
    log: MetadataLog,
    tally: Tally,
    names: Counter[FileIdentity],
    *,
    again: bool,
    overwrite: bool,
) -> None:
    assert item.source is not None
    assert item.target is not None
    status, known = item.source.stat(), names[identity_of(item.source)]
    progress.begin(item.source.name, status.st_size)
    if item.make_folders:
        make_folders_for(item.target)
    header = rotation.rotate_file(
        item.source,
        None if is_in_place(item) else item.target,
        again=again,
        overwrite=overwrite,
        on_progress=told_to(progress),
    )
    if header is None:
        tally.note_kept(item, log)
    else:
        tally.note_rotated(item, header, log, other_names=status.st_nlink > known)
