"""Pieces of a regular file that several threads read, encrypt or decrypt, and write, each at its own place.

Only whole regular frames of unsigned messages go this way. The beginning and the end of a message, and whatever is not
as it should be, is left to the one-threaded way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

from envelope_sdk.errors import MessageError, StreamError
from envelope_sdk.formats.geometry import layout_of_body
from envelope_sdk.formats.header import ContentType
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.message.parallel import in_parallel
from envelope_sdk.streams.raw import read_at, regular_descriptor, write_at

__all__ = ["OnProgress", "Progress", "decrypt_pieces", "encrypt_pieces"]

OnProgress = Callable[[int], object]
"""Called in the calling thread, now and then, with how many more bytes were read. What it raises ends the transfer."""

_PIECE: Final = 2**18
"""Bytes that a thread moves at a time: with eight threads, still little memory."""

_SHARED_LENGTH: Final = 8 * 2**20
"""Bytes from which on starting threads pays."""

_BUFFERS: Final = 8 * 2**20
"""Bytes that the buffers of all threads may take: long frames get fewer threads."""


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


class _Buffers:
    """One pair of buffers for each thread, made when it is first needed."""

    def __init__(self, source_length: int, target_length: int) -> None:
        self._lengths = source_length, target_length
        self._free: list[tuple[memoryview, memoryview]] = []

    def take(self) -> tuple[memoryview, memoryview]:
        try:
            return self._free.pop()
        except IndexError:
            source, target = self._lengths
            return memoryview(bytearray(source)), memoryview(bytearray(target))

    def give_back(self, pair: tuple[memoryview, memoryview]) -> None:
        self._free.append(pair)


def encrypt_pieces(source: Any, target: Any, encryptor: MessageEncryptor, threads: int, progress: Progress) -> None:
    """Encrypt as much of ``source`` as pays to share, and leave both files where to go on.

    Raises:
        StreamError: the source became shorter meanwhile.
        OSError: reading or writing failed.
    """
    reading, writing = regular_descriptor(source), regular_descriptor(target)
    if reading is None or writing is None or encryptor.header.algorithm_suite.signed:
        return
    length = encryptor.header.frame_length
    stride = encryptor.output_size(length, more=True)
    start, begin = source.tell(), os.lseek(writing, 0, os.SEEK_CUR)
    size = os.fstat(reading).st_size - start
    # The last frame of a message, full or not, is the final frame.
    run = _frames_of_a_piece(length)
    pieces = (size - 1) // (length * run)
    threads = _threads(threads, size, run * (length + stride))
    if threads < 2:
        return
    buffers = _Buffers(run * length, run * stride)
    turn = threading.Lock()

    def work(_piece: int) -> None:
        plain, sealed = pair = buffers.take()
        with turn:
            frames = encryptor.take_frames(run)
        before = frames.first - 1
        if read_at(reading, plain, start + before * length) < len(plain):
            raise StreamError("the file became shorter while it was read: another program writes to it")
        frames.seal(plain, sealed)
        write_at(writing, sealed, begin + before * stride)
        buffers.give_back(pair)
        progress.note(len(plain))

    in_parallel(work, pieces, threads)
    source.seek(start + pieces * run * length)
    os.lseek(writing, begin + pieces * run * stride, os.SEEK_SET)


def decrypt_pieces(source: Any, target: Any, decryptor: MessageDecryptor, threads: int, progress: Progress) -> None:
    """Decrypt as much of ``source`` as pays to share, and leave both files, and the machine, where to go on.

    The header has been read, and no frame is begun. Frames that are not authentic are left, with all that follows.

    Raises:
        OSError: reading or writing failed.
    """
    header = decryptor.header
    assert header is not None
    reading, writing = regular_descriptor(source), regular_descriptor(target)
    if reading is None or writing is None or decryptor.finished or decryptor.missing:
        return
    if header.algorithm_suite.signed or header.content_type is not ContentType.FRAMED:
        return
    length, done = header.frame_length, decryptor.frames_read
    start, begin = source.tell(), os.lseek(writing, 0, os.SEEK_CUR)
    size = os.fstat(reading).st_size - start
    try:
        layout = layout_of_body(0, size, length)
    except MessageError:
        return
    stride = layout.frame_offset(2)
    run = _frames_of_a_piece(length)
    pieces = layout.regular_frames // run
    threads = _threads(threads, size, run * (length + stride))
    if threads < 2:
        return
    buffers = _Buffers(run * stride, run * length)

    def work(piece: int) -> None:
        sealed, plain = pair = buffers.take()
        before = piece * run
        count = read_at(reading, sealed, start + before * stride)
        if not decryptor.open_apart(sealed[:count], plain, done + before + 1, run):
            raise _NotAuthenticError(piece)
        write_at(writing, plain, begin + before * length)
        buffers.give_back(pair)
        progress.note(len(sealed))

    try:
        in_parallel(work, pieces, threads)
    except _NotAuthenticError as error:
        pieces = error.piece
    decryptor.skip_frames(pieces * run)
    source.seek(start + pieces * run * stride)
    os.lseek(writing, begin + pieces * run * length, os.SEEK_SET)


class _NotAuthenticError(Exception):
    def __init__(self, piece: int) -> None:
        super().__init__(piece)
        self.piece = piece


def _frames_of_a_piece(frame_length: int) -> int:
    return max(1, _PIECE // frame_length)


def _threads(wanted: int, size: int, buffers: int) -> int:
    return min(wanted, _BUFFERS // buffers) if size >= _SHARED_LENGTH else 1
