"""Whole streams: everything that one side holds goes through a machine to the other, at the speed of the hardware.

Where both sides are regular files and the message is unsigned, several threads do most of it (see
:mod:`~envelope_sdk.streams.pieces`). Otherwise one thread does it all, but for the hash of signed messages, which is
dearer than the rest together and has a thread of its own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, Final, Self

from envelope_sdk.formats.body import FRAME_OVERHEAD
from envelope_sdk.formats.header import HEADER_CHUNK
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.background import BackgroundDigest
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.message.machine import Machine
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.pieces import OnProgress, Progress, decrypt_pieces, encrypt_pieces, shorter
from envelope_sdk.streams.raw import read_some, regular_descriptor, write_all

__all__ = ["OnProgress", "Ring", "decrypt_file", "decrypt_stream", "encrypt_file", "encrypt_stream", "plaintext_bound"]

_BEHIND: Final = 2
"""Buffers that the hash of a signed message may be behind."""

_GROWTH: Final = 2**16
"""Bytes that a file may grow by while it is encrypted, and its own length besides. What is beyond is left out."""

_SMALLEST: Final = HEADER_CHUNK
"""Bytes of the shortest buffer, for files that are shorter still and may grow."""


def encrypt_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    encryptor: Callable[[int | None], MessageEncryptor],
    *,
    overwrite: bool,
    threads: int,
    on_progress: OnProgress | None,
) -> Header:
    """Encrypt one file to another, which appears when it is whole: :meth:`envelope_sdk.Client.encrypt_file`.

    ``encryptor`` is called once both files are open, with the bound of the plaintext's length.
    """
    with io.FileIO(os.fspath(source)) as read, AtomicFile(target, overwrite=overwrite) as written:
        machine = encryptor(plaintext_bound(read))
        return encrypt_stream(read, written, machine, threads=threads, on_progress=on_progress)


def decrypt_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    decryptor: Callable[[], MessageDecryptor],
    *,
    overwrite: bool,
    threads: int,
    on_progress: OnProgress | None,
) -> Header:
    """Decrypt one file to another, which appears when all is authentic: :meth:`envelope_sdk.Client.decrypt_file`.

    ``decryptor`` is called once both files are open.
    """
    with io.FileIO(os.fspath(source)) as read, AtomicFile(target, overwrite=overwrite) as written:
        return decrypt_stream(read, written, decryptor(), threads=threads, on_progress=on_progress)


def encrypt_stream(
    source: Any, target: Any, encryptor: MessageEncryptor, *, threads: int = 1, on_progress: OnProgress | None = None
) -> Header:
    """Encrypt all that ``source`` holds to one message in ``target``, and return its header.

    Args:
        source: a binary file object, read from where it stands to its end, or as far as was announced.
        target: a binary file object. An :class:`~envelope_sdk.streams.files.AtomicFile` is left to be committed.
        encryptor: a machine that has not started.
        threads: the most threads to use, where that pays.
        on_progress: told how many bytes were read.

    Raises:
        OSError: reading or writing failed.
        StreamError: a regular file became shorter while it was read.
        UsageError: the message would have more frames than a message holds.
    """
    write_all(target, encryptor.start())
    progress = Progress(on_progress)
    encrypt_pieces(source, target, encryptor, threads, progress)
    left, room = _size_left(source), encryptor.room_left
    left = left if left is None or room is None else min(left, room)
    whole = _whole_frames(encryptor.header.frame_length)
    plain = memoryview(bytearray(whole if left is None else min(whole, max(left, _SMALLEST))))
    with Ring(encryptor, threads) as ring:
        while count := read_some(source, plain if (room := encryptor.room_left) is None else plain[:room]):
            left = None if left is None else left - count
            more = left is not None and left > 0
            out = ring.room(encryptor.output_size(count, more=more))
            written = encryptor.update_into(plain[:count], out, more=more)
            write_all(target, out[:written])
            progress.note(count)
        # Some files hold less than the size they tell, and always did; only one whose size changed was cut.
        if left and (now := _size_left(source)) is not None and now < left:
            raise shorter()
        write_all(target, encryptor.finish())
    return encryptor.header


def plaintext_bound(source: Any) -> int | None:
    """Return the most bytes to take from a regular file, which may grow meanwhile; ``None`` where nothing is known.

    A data key that is used again has to have room for all of them. Some files tell no size and hold something all the
    same.
    """
    left = _size_left(source)
    if left is None or (left == 0 and os.pread(source.fileno(), 1, source.tell())):
        return None
    return 2 * left + _GROWTH


def decrypt_stream(
    source: Any, target: Any, decryptor: MessageDecryptor, *, threads: int = 1, on_progress: OnProgress | None = None
) -> Header:
    """Decrypt the message that ``source`` holds to ``target``, and return its header, authenticated.

    Whole frames are written as they are authenticated. Only when this returns is the message known to be complete, and
    its signature to hold: ``target`` must be something that can still be discarded.

    Args:
        source: a binary file object, read from where it stands to its end, which has to be the message's.
        target: a binary file object. An :class:`~envelope_sdk.streams.files.AtomicFile` is left to be committed.
        decryptor: a machine that has not started.
        threads: the most threads to use, where that pays.
        on_progress: told how many bytes were read.

    Raises:
        OSError: reading or writing failed.
        EnvelopeError: as :meth:`~envelope_sdk.message.decryptor.MessageDecryptor.update_into` and ``finish``.
    """
    progress = Progress(on_progress)
    header = _decrypt_beginning(source, target, decryptor, progress)
    decrypt_pieces(source, target, decryptor, threads, progress)
    whole = _whole_frames(header.frame_length + FRAME_OVERHEAD)
    left = _size_left(source)
    plain = memoryview(b"")
    with Ring(decryptor, threads) as ring:
        while True:
            # With what is missing of a frame first, all the others are whole and need not be put together.
            # But what is missing is only what the message says, and may be anything.
            size = min(decryptor.missing, whole) + whole
            sealed = ring.room(size if left is None else min(size, max(left, _SMALLEST)))
            count = read_some(source, sealed)
            if count == 0:
                decryptor.finish()
                return header
            left = None if left is None else left - count
            plain = _room(plain, decryptor.output_size(count))
            write_all(target, plain[: decryptor.update_into(sealed[:count], plain)])
            progress.note(count)


def _decrypt_beginning(source: Any, target: Any, decryptor: MessageDecryptor, progress: Progress) -> Header:
    """Read the header, and to the end of the frame that what was read with it ends in."""
    buffer = memoryview(bytearray(_SMALLEST))
    while decryptor.header is None or decryptor.missing:
        count = read_some(source, buffer if decryptor.header is None else buffer[: decryptor.missing])
        if count == 0:
            decryptor.finish()
        plain = memoryview(bytearray(decryptor.output_size(count)))
        write_all(target, plain[: decryptor.update_into(buffer[:count], plain)])
        progress.note(count)
    return decryptor.header


class Ring:
    """Buffers by turns, so that the hash of a signed message may be a few behind. One, where nothing is hashed."""

    def __init__(self, machine: Machine, threads: int) -> None:
        self._machine = machine
        self._digest: BackgroundDigest | None = None
        self._buffers = [memoryview(b"")]
        self._added = [0]
        self._turn = 0
        self._threads = threads

    def __enter__(self) -> Self:
        self._digest = self._machine.digest_in_background() if self._threads > 1 else None
        if self._digest is not None:
            self._buffers *= _BEHIND + 1
            self._added *= _BEHIND + 1
        return self

    def __exit__(self, *_error: object) -> None:
        if self._digest is not None:
            self._digest.close()

    def room(self, size: int) -> memoryview:
        """Return ``size`` bytes that nothing waits for any more."""
        if self._digest is not None:
            self._added[self._turn] = self._digest.added
            self._turn = (self._turn + 1) % len(self._buffers)
            self._digest.settle(self._added[self._turn])
        self._buffers[self._turn] = buffer = _room(self._buffers[self._turn], size)
        return buffer[:size]


def _room(buffer: memoryview, size: int) -> memoryview:
    return buffer if len(buffer) >= size else memoryview(bytearray(size))


def _whole_frames(stride: int) -> int:
    """Return how many bytes to move at a time: whole frames, unless they are long."""
    return CHUNK // stride * stride or CHUNK


def _size_left(source: Any) -> int | None:
    """Return how many bytes a regular file still holds; ``None`` where that cannot be known."""
    descriptor = regular_descriptor(source)
    return None if descriptor is None else max(0, os.fstat(descriptor).st_size - source.tell())
