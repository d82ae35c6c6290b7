"""What ``-j`` and ``--journal`` say, and whether there is anything to them: one file needs no workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from envelope_sdk.cli.caching import Caching
from envelope_sdk.cli.plan import Item

__all__ = ["Many"]


@dataclass(frozen=True)
class Many:
    """What the options say of many files.

    Attributes:
        jobs: processes.
        journal: the journal's file; ``None`` without one.
        metadata: as of ``--metadata``.
        quiet: as of ``--quiet``.
        stats: how figures are told; ``None`` where they are not.
    """

    jobs: int
    journal: str | None
    metadata: str | None
    quiet: bool
    stats: str | None

    @classmethod
    def of(cls, options: Mapping[str, Any], items: Sequence[Item], caching: Caching) -> Many | None:
        """Return what a command's options say; ``None`` where files are worked on one after the other, unnoted.

        Raises:
            click.UsageError: a journal is wanted of what has no name.
        """
        jobs, journal = min(options["jobs"], max(1, len(items))), options["journal"]
        if journal is not None and any(item.source is None or item.target is None for item in items):
            raise click.UsageError("--journal is for files, not for standard input or output")
        if jobs == 1 and journal is None:
            return None
        return cls(jobs, journal, options["metadata"], options["quiet"], caching.stats)
