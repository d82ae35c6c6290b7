"""Work for the threads of a pool, as long as there are threads to be had."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["begin"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def begin(pool: ThreadPoolExecutor, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
    """Have a thread of ``pool`` do some work, or this one where there is none any more.

    Once the main thread has ended, no pool takes work, although the interpreter waits for the other threads: a transfer
    in one of those goes on alone.
    """
    try:
        return pool.submit(work, *args, **kwargs)
    except RuntimeError:
        done: Future[_T] = Future()
        done.set_result(work(*args, **kwargs))
        return done
