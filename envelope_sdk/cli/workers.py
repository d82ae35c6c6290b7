"""``-j`` and ``--journal``: many files by several processes, and on where an earlier run ended."""

from __future__ import annotations

import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from envelope_sdk import bulk
from envelope_sdk.bulk.running import IN_FLIGHT
from envelope_sdk.cli.caching import Caching, tell_calls, tell_usage
from envelope_sdk.cli.failures import Failures
from envelope_sdk.cli.guarded import identity_of
from envelope_sdk.cli.keys import decrypting_keyring, encrypting_keyring
from envelope_sdk.cli.local_store import LocalStore, StoreDoor
from envelope_sdk.cli.many import Many
from envelope_sdk.cli.metadata import opened_metadata
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import shown_totals
from envelope_sdk.cli.rotating import Tally, is_in_place
from envelope_sdk.cli.running import tell_end
from envelope_sdk.cli.signals import raise_if_stopped
from envelope_sdk.cli.terminal import ExitCode
from envelope_sdk.keyrings.kms.calls import CountedCalls, KmsCalls, counted_calls
from envelope_sdk.keyrings.registry import keyrings_from_uris
from envelope_sdk.keyrings.uri import KeyringUri

__all__ = ["CommandRecipe", "most_in_flight", "recipe_of", "rotate_many", "run_many", "threads_each"]

_MOST_THREADS: Final = 4


@dataclass(frozen=True, repr=False)
class CommandRecipe(bulk.ClientRecipe):
    """A client with the keys that the command uses, made in each of its workers.

    Attributes:
        folders: what relative paths in each key are relative to.
        store: what the local KMS's option says.
        encrypting: which keys are meant where none is named.
        started_in: the folder that names are relative to.
    """

    folders: tuple[str, ...] = ()
    store: str | None = None
    encrypting: bool = True
    started_in: str = ""

    def open(self) -> bulk.OpenedClient:
        """Make the client. What keyrings warn of, the command has said."""
        store = LocalStore(self.store)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with counted_calls() as calls:
                    keyring = self._keyring(store)
                return self.opened(keyring, store, calls.so_far())
        except BaseException:
            store.close()
            raise

    def _keyring(self, store: LocalStore) -> Any:
        if not self.keys:
            return encrypting_keyring((), store) if self.encrypting else decrypting_keyring((), store)
        uris = [KeyringUri.of_key(key, folder) for key, folder in zip(self.keys, self.folders, strict=True)]
        return keyrings_from_uris(uris, local_kms=StoreDoor(store))

    def words(self) -> dict[str, Any]:
        """Return what decides over the outcome. A database's URL may hold a password, which no journal does."""
        store = self.store if self.store is None or "://" not in self.store else "postgresql"
        return {**super().words(), "store": store, "folder": self.started_in}


def recipe_of(
    keys: Sequence[KeyringUri], caching: Caching, *, store: str | None, encrypting: bool, **settings: Any
) -> CommandRecipe:
    """Return what workers make their clients of.

    Args:
        keys: the keys; none where the local KMS's are meant.
        caching: how data keys are used again.
        store: what the local KMS's option says.
        encrypting: which keys are meant where none is named.
        settings: others of a client.
    """
    cache = None
    if caching.seconds is not None:
        cache = bulk.CacheLimits(caching.seconds, caching.messages, caching.bytes, caching.capacity)
    return CommandRecipe(
        tuple(str(key) for key in keys),
        cache=cache,
        folders=tuple(key.folder for key in keys),
        store=store,
        encrypting=encrypting,
        started_in=str(Path.cwd()),
        **settings,
    )


def threads_each(threads: int | None, jobs: int) -> int:
    """Return the threads that one file may use where so many are worked on at a time: no more than all have."""
    if threads is not None:
        return threads
    affinity: Any = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, processors // jobs))


def most_in_flight(jobs: int, items: int) -> int:
    """Return how many items to have under way: few of few, or one process would get what all of them could share."""
    return min(max(IN_FLIGHT, 32 * jobs), max(2 * jobs, 2 * items // jobs))


def run_many(
    mode: str,
    items: Sequence[Item],
    operation: bulk.Operation,
    recipe: CommandRecipe,
    many: Many,
    making: CountedCalls | None = None,
) -> ExitCode:
    """Do ``operation`` for each item and return the code to end with, as :func:`run_items` does.

    Args:
        mode: ``"encrypt"`` or ``"decrypt"``.
        items: what to do.
        operation: what is done.
        recipe: what workers make their clients of.
        many: what the options say.
        making: calls of KMS that were made beforehand.

    Raises:
        JournalError: the journal cannot be used.
        WorkerLostError: no worker can be had.
    """
    failures = Failures()
    done: list[Item] = []
    run = _begun(items, operation, recipe, many)
    with run, opened_metadata(many.metadata, mode) as log, shown_totals(quiet=many.quiet) as show:
        for item, result in _results(run, items, show):
            if result.error is not None:
                log.failed(item, result.error, failures.add(result.error, item.name))
            elif result.header is not None:
                log.done(item, result.header)
                done.append(item)
    raise_if_stopped()
    if not many.quiet:
        tell_end(mode, done, failed=len(failures), total=len(items), before=run.progress.skipped)
    tell_usage(run.usage(), many.stats, making)
    return failures.code(len(items))


def rotate_many(
    items: Sequence[Item], operation: bulk.Rotate, recipe: CommandRecipe, many: Many, making: KmsCalls
) -> ExitCode:
    """Rotate each item and return the code to end with, as :func:`~envelope_sdk.cli.rotating.run_rotation` does.

    Args:
        items: what to do.
        operation: what is done.
        recipe: what workers make the clients of new messages of.
        many: what the options say.
        making: calls of KMS that were made beforehand.

    Raises:
        JournalError, WorkerLostError: as :func:`run_many`.
    """
    tally = Tally()
    others = _other_names(items)
    run = _begun(items, operation, recipe, many)
    with run, opened_metadata(many.metadata, "rotate") as log, shown_totals(quiet=many.quiet) as show:
        for item, result in _results(run, items, show):
            if result.error is not None:
                tally.note_failure(item, result.error, log)
            elif result.header is not None:
                tally.note_rotated(item, result.header, log, other_names=item in others)
            elif is_in_place(item):
                tally.note_kept(item, log)
            else:
                tally.before.append(item)
    raise_if_stopped()
    if not many.quiet:
        tally.tell(len(items))
    usage = run.usage()
    calls, by_price = Counter(dict(making.by_operation)), Counter(dict(making.by_price))
    calls.update(usage.kms_calls)
    by_price.update(usage.kms_calls_by_price)
    tell_calls(calls, by_price, many.stats)
    return tally.code(len(items))


def _begun(items: Sequence[Item], operation: bulk.Operation, recipe: CommandRecipe, many: Many) -> bulk.Run:
    sizes = [_size(item) for item in items]
    return bulk.run(
        _bulk_items(items, sizes),
        operation,
        client=recipe,
        executor=None if many.jobs == 1 else partial(bulk.Processes, many.jobs),
        in_flight=most_in_flight(many.jobs, len(items)),
        journal=many.journal,
        items_total=len(items),
        bytes_total=sum(size for size in sizes if size is not None),
    )


def _results(
    run: bulk.Run, items: Sequence[Item], show: Callable[[bulk.Progress], object]
) -> Iterator[tuple[Item, bulk.Result]]:
    by_name = {(str(item.source), str(item.target)): item for item in items}
    show(run.progress)
    for result in run:
        raise_if_stopped()
        yield by_name[result.item.source, result.item.target], result
        show(run.progress)


def _other_names(items: Sequence[Item]) -> set[Item]:
    """Return the items whose files have names beside those that are among them."""
    known = Counter(identity_of(item.name) for item in items)
    found: set[Item] = set()
    for item in items:
        with suppress(OSError):
            if os.stat(item.name).st_nlink > known[identity_of(item.name)]:  # noqa: PTH116 - a text
                found.add(item)
    return found


def _bulk_items(items: Sequence[Item], sizes: Sequence[int | None]) -> Iterable[bulk.Item]:
    for item, size in zip(items, sizes, strict=True):
        yield bulk.Item(str(item.source), str(item.target), size)


def _size(item: Item) -> int | None:
    try:
        status = None if item.source is None else item.source.stat()
    except OSError:
        # Reading will tell.
        return None
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None
