"""The clients of a worker: one for each recipe, made when it is first needed, shared by the worker's threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from envelope_sdk.bulk.recipe import ClientRecipe, OpenedClient

__all__ = ["MOST_KEPT", "borrowed_client", "forget_clients"]

MOST_KEPT: Final = 8
"""Clients that a worker keeps; beyond, the one that was used longest ago is closed."""


class _Kept:
    __slots__ = ("borrowers", "dropped", "opened")

    def __init__(self, opened: OpenedClient) -> None:
        self.opened = opened
        self.borrowers = 0
        self.dropped = False


class _Clients:
    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.RLock()
        self.kept: dict[ClientRecipe, _Kept] = {}


_clients = _Clients()


@contextmanager
def borrowed_client(recipe: ClientRecipe) -> Generator[OpenedClient]:
    """Lend the client of a recipe, which is made where there is none, by one thread while others wait.

    Raises:
        Whatever :meth:`ClientRecipe.open` raises. The next one who asks tries again.
    """
    mine = _of_this_process()
    with mine.lock:
        kept = mine.kept.pop(recipe, None) or _Kept(recipe.open())
        mine.kept[recipe] = kept
        kept.borrowers += 1
        while len(mine.kept) > MOST_KEPT:
            _drop(mine, next(iter(mine.kept)))
    try:
        yield kept.opened
    finally:
        with mine.lock:
            kept.borrowers -= 1
            _close_if_unused(kept)


def forget_clients() -> None:
    """Close all clients of this process, as soon as nobody uses them."""
    mine = _of_this_process()
    with mine.lock:
        for recipe in list(mine.kept):
            _drop(mine, recipe)


def _of_this_process() -> _Clients:
    global _clients
    if _clients.process != os.getpid():
        # Neither a lock nor a connection outlives a fork.
        _clients = _Clients()
    return _clients


def _drop(mine: _Clients, recipe: ClientRecipe) -> None:
    kept = mine.kept.pop(recipe)
    kept.dropped = True
    _close_if_unused(kept)


def _close_if_unused(kept: _Kept) -> None:
    if kept.dropped and kept.borrowers == 0:
        kept.opened.close()
