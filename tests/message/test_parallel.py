"""Work shared between threads ends as a loop would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.message import parallel
from envelope_sdk.message.parallel import in_parallel, threads_for

THREADS = [1, 2, 8]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_every_piece_is_done_once(threads: int, count: int):
    done: list[int] = []

    in_parallel(done.append, count, threads)

    assert sorted(done) == list(range(count))


def test_pieces_are_done_by_as_many_threads_as_asked_for():
    together = threading.Barrier(3, timeout=20)

    in_parallel(lambda _: together.wait(), 3, 3)


@pytest.mark.parametrize("threads", THREADS)
def test_of_several_failures_the_lowest_is_raised(threads: int):
    def work(number: int) -> None:
        if number >= 10:
            if number == 10:
                time.sleep(0.01)
            raise ValueError(number)

    with pytest.raises(ValueError) as error:
        in_parallel(work, 1000, threads)

    assert error.value.args == (10,)


@pytest.mark.parametrize("threads", THREADS)
def test_no_piece_is_begun_after_a_failure_and_none_is_left_running(threads: int):
    begun: list[int] = []
    before = set(threading.enumerate())

    def work(number: int) -> None:
        begun.append(number)
        if number == 20:
            raise ValueError(number)

    with pytest.raises(ValueError):
        in_parallel(work, 100_000, threads)

    assert len(begun) < 100_000
    assert set(threading.enumerate()) <= before


def test_an_interrupted_caller_waits_for_the_others():
    working = threading.Event()
    finished: list[int] = []
    caller = threading.current_thread()

    def work(number: int) -> None:
        if threading.current_thread() is caller:
            working.wait(20)
            raise KeyboardInterrupt
        working.set()
        time.sleep(0.05)
        finished.append(number)

    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, 2, 2)

    assert len(finished) == 1


def test_a_thread_whose_start_is_interrupted_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    start, begun, go_on, ended = threading.Thread.start, threading.Event(), threading.Event(), threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        begun.wait(5)
        start(threading.Timer(0.2, go_on.set))
        raise KeyboardInterrupt

    def work(_: int) -> None:
        begun.set()
        go_on.wait(5)
        ended.set()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, 4, 2)

    assert ended.is_set()


def test_waiting_goes_on_after_an_interruption(monkeypatch: pytest.MonkeyPatch):
    wait_for, interruptions = threading.Condition.wait_for, [KeyboardInterrupt(), KeyboardInterrupt()]
    done: list[int] = []

    def interrupted(condition: threading.Condition, predicate: Callable[[], bool]) -> bool:
        if interruptions:
            raise interruptions.pop()
        return wait_for(condition, predicate)

    monkeypatch.setattr(threading.Condition, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_parallel(lambda number: (time.sleep(0.01), done.append(number)), 4, 2)

    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize("when", ["before it is begun", "after it is done"])
def test_a_piece_that_a_dying_thread_took_is_missed(when: str, monkeypatch: pytest.MonkeyPatch):
    caller, method = threading.current_thread(), "_take" if when == "before it is begun" else "_move"
    original, died = getattr(parallel._Share, method), list[int]()

    def dying(share: parallel._Share, **options: int) -> object:
        result = original(share, **options)
        if threading.current_thread() is not caller and not died and options != {"inside": 1}:
            died.append(1)
            raise MemoryError
        return result

    monkeypatch.setattr(parallel._Share, method, dying)
    with pytest.raises(MemoryError):
        in_parallel(lambda _: time.sleep(0.01), 20, 2)


def test_a_thread_that_ends_without_a_word_is_missed(monkeypatch: pytest.MonkeyPatch):
    move = parallel._Share._move

    def forgetful(share: parallel._Share, *, inside: int = 0, done: int = 0) -> None:
        move(share, inside=inside)

    monkeypatch.setattr(parallel._Share, "_move", forgetful)
    with pytest.raises(StreamError, match="before its work was done"):
        in_parallel(lambda _: None, 3, 1)


def test_where_no_thread_can_be_started_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []

    in_parallel(done.append, 5, 4)

    assert done == [0, 1, 2, 3, 4]


def test_by_default_a_message_has_one_thread_a_processor_and_at_most_four():
    assert 1 <= threads_for(None) <= 4
    assert threads_for(None) <= parallel._processors()


def test_where_encryption_holds_the_interpreter_there_is_one_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel, "RELEASES_GIL", False)

    assert (threads_for(None), threads_for(8)) == (1, 1)


@pytest.mark.parametrize("threads", [2.5, "2", float("nan")])
def test_threads_come_in_whole_numbers(threads: object):
    with pytest.raises(TypeError):
        Client(RawAesKeyring("test", "key", bytes(32)), threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads: int):
    with pytest.raises(UsageError, match="1 is the least"):
        Client(RawAesKeyring("test", "key", bytes(32)), threads=threads)
