"""A hash on a thread of its own is the same hash."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from envelope_sdk.formats.suites import SignatureAlgorithm
from envelope_sdk.message.background import BackgroundDigest
from envelope_sdk.primitives.digest import MessageDigest

LARGE = 2**16


def background() -> BackgroundDigest:
    return BackgroundDigest(MessageDigest(SignatureAlgorithm.ECDSA_P384_SHA384))


class Slow:
    """A hash that goes on only when it is allowed to."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.go = threading.Semaphore(0)

    def update(self, data: bytes) -> None:
        assert self.go.acquire(timeout=20)
        self.seen.append(bytes(data))

    def finalize(self) -> bytes:
        return b"".join(self.seen)


@pytest.mark.parametrize("lengths", [[], [5], [LARGE], [5, LARGE, 5, LARGE, 0, 3 * LARGE, 1], [LARGE] * 50])
def test_pieces_of_all_lengths_are_hashed_in_their_order(lengths: list[int]):
    pieces = [os.urandom(length) for length in lengths]
    digest = background()

    for piece in pieces:
        digest.update(piece)

    assert digest.finalize() == hashlib.sha384(b"".join(pieces)).digest()
    assert threading.active_count() == 1 or all(
        thread.name != "envelope-sdk-digest" for thread in threading.enumerate()
    )


def test_short_pieces_need_no_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threading.Thread, "start", None)
    digest = background()
    digest.update(bytes(100))

    assert digest.finalize() == hashlib.sha384(bytes(100)).digest()


def test_where_no_thread_can_be_started_it_hashes_at_once(monkeypatch: pytest.MonkeyPatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    digest = background()
    digest.update(bytes(LARGE))
    digest.settle()

    assert digest.finalize() == hashlib.sha384(bytes(LARGE)).digest()


def test_settling_waits_for_as_many_of_the_first_as_asked_for():
    slow = Slow()
    digest = BackgroundDigest(slow)
    for number in range(3):
        digest.update(bytes([number]) * LARGE)

    digest.settle(0)
    assert slow.seen == []
    slow.go.release()
    digest.settle(1)
    assert len(slow.seen) == 1
    slow.go.release(2)
    digest.settle()

    assert digest.added == 3
    assert [piece[0] for piece in slow.seen] == [0, 1, 2]
    digest.close()


def test_a_failure_is_raised_by_whoever_waits():
    class Failing:
        def update(self, data: bytes) -> None:
            raise MemoryError("no room")

        def finalize(self) -> bytes:
            return b""

    digest = BackgroundDigest(Failing())
    digest.update(bytes(LARGE))

    with pytest.raises(MemoryError):
        digest.settle()
    with pytest.raises(MemoryError):
        digest.finalize()
    digest.close()


def test_closing_ends_the_thread_and_lets_go_of_what_it_was_given():
    slow = Slow()
    digest = BackgroundDigest(slow)
    piece = bytearray(LARGE)
    digest.update(piece)
    digest.update(piece)
    slow.go.release(2)

    digest.close()
    digest.close()

    piece.clear()
    assert all(thread.name != "envelope-sdk-digest" for thread in threading.enumerate())
