"""A progress bar where somebody is watching, and nothing where nobody is."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = ["Progress", "shown_progress"]


class Progress(Protocol):
    """Takes note of how far the work is."""

    def begin(self, name: str, size: int | None) -> None:
        """Begin an item of ``size`` bytes, ``None`` where that is not known."""
        ...

    def advance(self, count: int) -> None:
        """Note that ``count`` more bytes were read."""
        ...


class _Silent:
    def begin(self, name: str, size: int | None) -> None:
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
        self._task = self._bar.add_task(name, total=size)

    def advance(self, count: int) -> None:
        self._bar.advance(self._task, count)


@contextmanager
def shown_progress(*, quiet: bool) -> Generator[Progress]:
    """Show a bar on standard error while the block runs, if that is a terminal and ``quiet`` is not asked for."""
    if quiet or not sys.stderr.isatty():
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
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
