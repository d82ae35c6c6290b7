"""A progress bar where somebody is watching, and nothing where nobody is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from envelope_sdk.cli.terminal import printable_name

if TYPE_CHECKING:
    from envelope_sdk import bulk

__all__ = ["Progress", "described", "shown_progress", "shown_totals"]


class Progress(Protocol):
    """Takes note of how far the work is."""

    def begin(self, name: str, size: int | None) -> None:
        """Begin an item of ``size`` bytes, ``None`` where that is not known."""
        ...

    def again(self) -> None:
        """Begin the same item once more."""
        ...

    def advance(self, count: int) -> None:
        """Note that ``count`` more bytes were read."""
        ...


class _Silent:
    def begin(self, name: str, size: int | None) -> None:
        pass

    def again(self) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


class _Bar:
    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None

    def begin(self, name: str, size: int | None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(printable_name(name), total=size)

    def again(self) -> None:
        self._bar.reset(self._task)

    def advance(self, count: int) -> None:
        self._bar.advance(self._task, count)


@contextmanager
def shown_progress(*, quiet: bool) -> Generator[Progress]:
    """Show a bar on standard error while the block runs, if that is a terminal and ``quiet`` is not asked for."""
    if not _is_shown(quiet=quiet):
        yield _Silent()
        return
    from rich import progress
    from rich.console import Console
    from rich.markup import escape

    class _Name(progress.TextColumn):
        def render(self, task: progress.Task) -> Any:
            self.text_format = escape(task.description)
            return super().render(task)

    columns = (
        _Name("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        yield _Bar(bar)


@contextmanager
def shown_totals(*, quiet: bool) -> Generator[Callable[[bulk.Progress], object]]:
    """Show how far many items are, under the same conditions; the block is given what takes the progress of a run."""
    if not _is_shown(quiet=quiet):
        yield lambda _: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.fields[items]}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TextColumn("{task.fields[left]}"),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None, items="", rate="", left="")

        def show(run: bulk.Progress) -> None:
            items, rate, left = described(run)
            gone = run.bytes_done + run.bytes_skipped
            bar.update(task, completed=gone, total=run.bytes, items=items, rate=rate, left=left)

        yield show


def described(run: bulk.Progress) -> tuple[str, str, str]:
    """Return in words how many items a run has ended, its rate, and the time left."""
    ended = run.done + run.failed + run.skipped
    items = f"{ended} files" if run.items is None else f"{ended} of {run.items} files"
    rate = f"{run.bytes_per_second / 1e6:.1f} MB/s, {run.items_per_second:.0f} files/s"
    if run.seconds_left is None:
        return items, rate, ""
    minutes, seconds = divmod(round(run.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return items, rate, f"{hours}:{minutes:02}:{seconds:02} left"


def _is_shown(*, quiet: bool) -> bool:
    return not quiet and sys.stderr is not None and sys.stderr.isatty()
