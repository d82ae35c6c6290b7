"""What ``-j`` and ``--journal`` say, and whether there is anything to them: one file needs no workers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from envelope_sdk.cli.caching import Caching
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.plan import Item
from envelope_sdk.keyrings.registry import files_named_by
from envelope_sdk.keyrings.uri import KeyringUri

__all__ = ["Many", "check_keys"]

_OWN_DESCRIPTORS: Final = ("/dev/fd/", "/dev/std", "/proc/")


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
        if journal is not None and any(_is_stream(path) for item in items for path in (item.source, item.target)):
            raise click.UsageError("--journal is for files, not for pipes, standard input or output")
        if jobs == 1 and journal is None:
            return None
        return cls(jobs, journal, options["metadata"], options["quiet"], caching.stats)


def check_keys(keys: Sequence[KeyringUri], store: LocalStore) -> None:
    """Refuse keys that only this process can read, and once: each worker makes its own of them.

    Raises:
        click.UsageError: one comes from a pipe, a terminal or a file descriptor.
    """
    for path in _files_of(keys, store):
        if _is_for_this_process(path):
            raise click.UsageError(
                f"{path} can be read by this process alone, or once: with --jobs or --journal, keys are in files"
            )


def _files_of(keys: Sequence[KeyringUri], store: LocalStore) -> Iterator[str]:
    for key in keys:
        yield from files_named_by(key)
    words = store.root_key_words()
    if words and (not keys or any("local-kms" in str(key) for key in keys)):
        kind, _, path = words.partition(":")
        if kind in ("file", "passphrase-file"):
            yield path


def _is_for_this_process(path: str) -> bool:
    return _is_stream(path) or os.path.abspath(path).startswith(_OWN_DESCRIPTORS)  # noqa: PTH100 - not where links lead


def _is_stream(path: str | os.PathLike[str] | None) -> bool:
    try:
        mode = None if path is None else os.stat(path).st_mode  # noqa: PTH116 - the path may be a text
    except (OSError, ValueError):
        # Opening it will tell.
        return False
    return mode is None or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
