"""Rotating every message of a plan, one after the other, and telling how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from envelope_sdk.bulk.folders import make_folders_for
from envelope_sdk.cli.guarded import FileIdentity, identity_of
from envelope_sdk.cli.metadata import MetadataLog, opened_metadata
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import Progress, shown_progress
from envelope_sdk.cli.signals import raise_if_stopped
from envelope_sdk.cli.terminal import ExitCode, printable_name, report, say
from envelope_sdk.cli.transfer import told_to
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.streams.rotation import Rotation

__all__ = ["run_rotation"]


@dataclass
class _Tally:
    rotated: list[Item] = field(default_factory=list[Item])
    kept: list[Item] = field(default_factory=list[Item])
    failed: list[ExitCode] = field(default_factory=list[ExitCode])


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
    tally = _Tally()
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
                if isinstance(error, OSError) and error.filename == item.name:
                    # It is named once in any case.
                    error.filename = None
                tally.failed.append(report(error, item.name))
                log.failed(item, error, tally.failed[-1])
    if not quiet:
        _tell(tally, len(items), would="would rotate" if dry_run else "rotated")
    if not tally.failed:
        return ExitCode.DONE
    return tally.failed[0] if len(items) == 1 else ExitCode.SOME_FAILED


def _in_place(item: Item) -> bool:
    return item.target == item.source


def _look(rotation: Rotation, item: Item, log: MetadataLog, tally: _Tally, *, again: bool) -> None:
    done = rotation.is_done(item.name)
    if done and _in_place(item) and not again:
        log.left(item, "kept")
        tally.kept.append(item)
        return
    click.echo(printable_name(item.name))
    log.left(item, "due")
    tally.rotated.append(item)


def _rotate(
    rotation: Rotation,
    item: Item,
    progress: Progress,
    log: MetadataLog,
    tally: _Tally,
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
        None if _in_place(item) else item.target,
        again=again,
        overwrite=overwrite,
        on_progress=told_to(progress),
    )
    if header is None:
        log.left(item, "kept")
        tally.kept.append(item)
        return
    if _in_place(item) and status.st_nlink > known:
        say(f"warning: {printable_name(item.name)}: other names of this file (hard links) keep the old message")
    log.done(item, header)
    tally.rotated.append(item)


def _tell(tally: _Tally, total: int, *, would: str) -> None:
    if total == 0:
        say("there is nothing to rotate")
    elif total == 1:
        for item in tally.rotated:
            beside = "" if _in_place(item) else f" to {printable_name(str(item.target))}"
            say(f"{would} {printable_name(item.name)}{beside}")
        for item in tally.kept:
            say(f"{printable_name(item.name)} is as wanted already")
    else:
        kept = f", {len(tally.kept)} {'is' if len(tally.kept) == 1 else 'are'} as wanted already" if tally.kept else ""
        failed = f", {len(tally.failed)} failed" if tally.failed else ""
        say(f"{would} {len(tally.rotated)} of {total} files{kept}{failed}")
