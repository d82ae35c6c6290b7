"""Pieces of a regular file that several threads read, encrypt or decrypt, and write, each at its own place.

Only whole regular frames of unsigned messages go this way. The beginning and the end of a message, and whatever is not
as it should be, is left to the one-threaded way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from envelope_sdk.errors import MessageError, StreamError
from envelope_sdk.formats.body import FRAME_OVERHEAD
from envelope_sdk.formats.geometry import layout_of_body
from envelope_sdk.formats.header import ContentType
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.message.frames import SHARED_FRAME_LENGTH, FrameSlot
from envelope_sdk.message.parallel import in_parallel
from envelope_sdk.streams.raw import read_at, regular_descriptor, write_at

__all__ = ["OnProgress", "Progress", "decrypt_pieces", "encrypt_pieces", "shorter"]

OnProgress = Callable[[int], object]
"""Called in the calling thread, now and then, with how many more bytes were read. What it raises ends the transfer."""

_PIECE: Final = 2**20
"""Bytes that a thread moves at a time, unless there are many: less means more handing over."""

_SHARED_LENGTH: Final = 8 * 2**20
"""Bytes from which on starting threads pays."""

_MOST_FRAMES: Final = 512
"""Frames that a thread moves at a time: each costs a kilobyte beside its bytes."""

_BUFFERS: Final = 8 * 2**20
"""Bytes that the buffers of all threads take together: many threads get short ones, long frames few threads."""


class Progress:
    """Adds up what all threads have done, and tells the caller in the caller's own thread."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._owner = threading.get_ident()
        self._lock = threading.Lock()
        self._untold = 0

    def note(self, count: int) -> None:
        """Note that ``count`` more bytes were read."""
        if self._on_progress is None:
            return
        with self._lock:
            self._untold += count
            if threading.get_ident() != self._owner:
                return
            count, self._untold = self._untold, 0
        self._on_progress(count)


class _Slots:
    """Buffers, made when they are first needed: as many as threads use at once."""

    def __init__(self, machine: MessageEncryptor | MessageDecryptor, count: int) -> None:
        self._machine = machine
        self._count = count
        self._free: list[FrameSlot] = []

    def take(self) -> FrameSlot:
        try:
            return self._free.pop()
        except IndexError:
            return self._machine.slot(self._count)

    def give_back(self, slot: FrameSlot) -> None:
        self._free.append(slot)


class _Ends:
    """Both files, under descriptors of their own, which live as long as anything that uses them.

    A thread that an interruption leaves at its last piece would otherwise write to whatever file has got the number of
    one that has been closed meanwhile.
    """

    def __init__(self, source: int, target: int) -> None:
        self.source = self.target = -1
        self.source = os.dup(source)
        self.target = os.dup(target)

    def __del__(self) -> None:
        for descriptor in (self.source, self.target):
            if descriptor >= 0:
                os.close(descriptor)

    @classmethod
    def of(cls, source: Any, target: Any) -> _Ends | None:
        """Return the ends where both are regular files."""
        reading, writing = regular_descriptor(source), regular_descriptor(target)
        return None if reading is None or writing is None else cls(reading, writing)


def encrypt_pieces(source: Any, target: Any, encryptor: MessageEncryptor, threads: int, progress: Progress) -> None:
    """Encrypt as much of ``source`` as pays to share, and leave both files where to go on.

    Raises:
        StreamError: the source became shorter meanwhile.
        OSError: reading or writing failed.
    """
    if encryptor.header.algorithm_suite.signed or (ends := _Ends.of(source, target)) is None:
        return
    length = encryptor.header.frame_length
    stride = length + FRAME_OVERHEAD
    start, begin = source.tell(), os.lseek(ends.target, 0, os.SEEK_CUR)
    size, room = os.fstat(ends.source).st_size - start, encryptor.room_left
    size = size if room is None else min(size, room)
    threads, run = _shares(threads, size, length)
    # The last frame of a message, full or not, is the final frame.
    pieces = max(0, size - 1) // (length * run) if run else 0
    slots = _Slots(encryptor, run)
    turn, computing = threading.Lock(), _computing(length, threads)

    def work(_piece: int) -> None:
        slot = slots.take()
        with turn:
            frames = encryptor.take_frames(run)
        before = frames.first - 1
        if read_at(ends.source, slot.plain, start + before * length) < len(slot.plain):
            raise shorter()
        with computing:
            frames.seal(slot)
        write_at(ends.target, slot.sealed, begin + before * stride)
        slots.give_back(slot)
        progress.note(len(slot.plain))

    in_parallel(work, pieces, threads)
    source.seek(start + pieces * run * length)
    os.lseek(ends.target, begin + pieces * run * stride, os.SEEK_SET)


def decrypt_pieces(source: Any, target: Any, decryptor: MessageDecryptor, threads: int, progress: Progress) -> None:
    """Decrypt as much of ``source`` as pays to share, and leave both files, and the machine, where to go on.

    The header has been read, and no frame is begun. Frames that are not authentic are left, with all that follows.

    Raises:
        OSError: reading or writing failed.
    """
    header = decryptor.header
    assert header is not None
    if decryptor.finished or decryptor.missing:
        return
    if header.algorithm_suite.signed or header.content_type is not ContentType.FRAMED:
        return
    if (ends := _Ends.of(source, target)) is None:
        return
    length, done = header.frame_length, decryptor.frames_read
    stride = length + FRAME_OVERHEAD
    start, begin = source.tell(), os.lseek(ends.target, 0, os.SEEK_CUR)
    size = os.fstat(ends.source).st_size - start
    threads, run = _shares(threads, size, length)
    pieces = _whole_frames(size, length) // run if run else 0
    slots = _Slots(decryptor, run)
    computing = _computing(length, threads)

    def work(piece: int) -> None:
        slot = slots.take()
        before = piece * run
        whole = read_at(ends.source, slot.sealed, start + before * stride) == len(slot.sealed)
        with computing:
            authentic = whole and decryptor.open_apart(slot, done + before + 1)
        if not authentic:
            raise _NotAuthenticError(piece)
        write_at(ends.target, slot.plain, begin + before * length)
        slots.give_back(slot)
        progress.note(len(slot.sealed))

    try:
        in_parallel(work, pieces, threads)
    except _NotAuthenticError as error:
        pieces = error.piece
        # Pieces behind it may have been written already.
        os.ftruncate(ends.target, begin + pieces * run * length)
    decryptor.skip_frames(pieces * run)
    source.seek(start + pieces * run * stride)
    os.lseek(ends.target, begin + pieces * run * length, os.SEEK_SET)


def shorter() -> StreamError:
    """Return the error for a file that is not as long any more as it was."""
    return StreamError("the file became shorter while it was read: another program writes to it")


def _whole_frames(size: int, frame_length: int) -> int:
    """Return how many regular frames stand before the final one in what is left of a message: 0 where none can."""
    try:
        return layout_of_body(0, size, frame_length).regular_frames
    except MessageError:
        return 0


class _NotAuthenticError(Exception):
    def __init__(self, piece: int) -> None:
        super().__init__(piece)
        self.piece = piece


def _computing(frame_length: int, threads: int) -> AbstractContextManager[object]:
    """Return what a thread holds while it encrypts or decrypts.

    Short frames hand the interpreter over so often that two threads hold each other up: one of them reads or writes
    meanwhile.
    """
    return nullcontext() if threads == 1 or frame_length >= SHARED_FRAME_LENGTH else threading.Lock()


def _shares(threads: int, size: int, frame_length: int) -> tuple[int, int]:
    """Return how many threads move a file, and how many frames each at a time: none where frames are too long."""
    if size < _SHARED_LENGTH:
        threads = 1
    piece = min(_PIECE, _BUFFERS // (2 * threads))
    run = min(max(1, piece // frame_length), _MOST_FRAMES)
    threads = min(threads, _BUFFERS // (2 * run * frame_length))
    return (threads, run) if threads else (1, 0)
