"""An encrypted message read at any position: only the frames that are touched are read, and each is authenticated."""

from __future__ import annotations

import errno
import io
import operator
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from envelope_sdk.errors import UsageError
from envelope_sdk.formats.geometry import FramedLayout
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.frames import SHARED_FRAME_LENGTH
from envelope_sdk.message.machine import forget_frames
from envelope_sdk.message.output import filled
from envelope_sdk.message.parallel import in_parallel
from envelope_sdk.message.random_access import FrameReader
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.ends import first_bytes_of, read_beginning, read_end, read_through
from envelope_sdk.streams.frame_cache import FrameCache
from envelope_sdk.streams.positional import PositionalSource, Readable, fetch, positional
from envelope_sdk.streams.raw import view_to_fill

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["CACHE_SIZE", "RandomAccessReader", "frames_at_once", "open_random_access"]

R = TypeVar("R")
T = TypeVar("T")

CACHE_SIZE: Final = 2**20
"""Bytes of frames that a reader keeps where nothing else is said."""

_PIECE: Final = 2**20
"""Bytes that are read and opened at a time, unless a source would rather be asked for more at once."""

_SHARED_LENGTH: Final = 8 * 2**20
"""Bytes of one read from which on starting threads pays."""

_MOST_BUFFERS: Final = 4


class _Forgetting:
    """Errors that leave the block hold no frames from within it."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            forget_frames(error)


_FORGETTING: Final = _Forgetting()


class RandomAccessReader(io.BufferedIOBase):
    """A binary file object over the plaintext of a message, which can be read at any position.

    Every byte it returns is authenticated, and so is its size: the final frame is checked before the reader exists, so
    a message that was cut short or added to is refused. What is not read is not looked at.

    Positional reads (:meth:`read_at`, :meth:`readinto_at`) may come from any number of threads at once and do not move
    the position. The other reads do, one thread at a time. Reads fail one by one: where a frame was altered, every
    read that touches it raises, the position stays where it was, and other frames stay readable.
    """

    def __init__(
        self,
        source: PositionalSource,
        frames: FrameReader,
        *,
        read_ahead: int | None = None,
        cache_size: int = CACHE_SIZE,
        close_source: bool = False,
    ) -> None:
        """Authenticate the final frame, and with it the size.

        Args:
            source: the message, and nothing after it.
            frames: opens its frames.
            read_ahead: bytes of plaintext to have at hand where one small read follows on another; by default as many
                as the source thinks right.
            cache_size: bytes of decrypted frames to keep for later reads, or one frame where it is longer; 0 for none.
            close_source: whether ``close()`` closes the source too.

        Raises:
            As :func:`open_random_access`, for what the end of the message shows.
        """
        super().__init__()
        self._source = source
        # Until it is made, dropping it closes nothing: the source is still the caller's.
        self._close_source = False
        self._frames = frames
        self._cache = FrameCache(cache_size)
        self._buffers: list[memoryview] = []
        self._moving = threading.RLock()
        self._layout, final = read_end(source, frames)
        self._cache.put(self._layout.regular_frames + 1, final)
        self._size = self._layout.plaintext_length
        self._read_ahead = source.read_ahead if read_ahead is None else read_ahead
        self._run = frames_at_once(self._layout, max(_PIECE, source.read_ahead))
        self._position = 0
        self._window = b""
        self._window_start = 0
        self._close_source = close_source

    def __reduce__(self) -> NoReturn:
        raise TypeError("a reader holds a message key: it cannot be pickled or copied")

    @property
    def header(self) -> Header:
        """The message's authenticated header."""
        return self._frames.header

    @property
    def size(self) -> int:
        """Bytes of plaintext in the whole message, authenticated."""
        return self._size

    # --- at any position ---------------------------------------------------------------------------------------------

    def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of plaintext from ``offset`` on, fewer only where the message ends.

        Raises:
            UsageError: ``offset`` or ``length`` is negative.
            AuthenticationError, MessageError: a frame of the range was altered, or is not the one that belongs there.
            StreamError: the message was changed or cut short since it was opened.
            OSError: it cannot be read.
            ValueError: the reader is closed.
        """
        offset, length = self._within(offset, length)
        with _FORGETTING:
            return filled(length, lambda out: self._read_range(offset, out))

    def readinto_at(self, offset: int, buffer: Buffer) -> int:
        """Fill ``buffer`` with plaintext from ``offset`` on and return how many bytes that took.

        Where it raises, what is in the buffer has no meaning. Raises as :meth:`read_at`.
        """
        with view_to_fill(buffer) as target, _FORGETTING:
            offset, length = self._within(offset, len(target))
            return self._read_range(offset, target[:length])

    # --- at this object's own position -------------------------------------------------------------------------------

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return the position in the plaintext."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position in the plaintext, which may lie past its end, and return it.

        Raises:
            OSError: the position would be negative.
            ValueError: there is no such ``whence``, or the reader is closed.
        """
        offset = operator.index(offset)
        with self._moving:
            self._check_open()
            origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
            if whence not in origins:
                raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
            if origins[whence] + offset < 0:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self._position = origins[whence] + offset
            return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes of plaintext, fewer only at the end of the message, or all that is left."""
        return self._moved(self._read, -1 if size is None else operator.index(size))

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` and return how many bytes that took; fewer than it holds only at the end."""
        with view_to_fill(buffer) as target:
            return self._moved(self._read_into, target)

    def read1(self, size: int = -1, /) -> bytes:
        """Return some plaintext, at most ``size`` bytes; empty at the end of the message."""
        return bytes(self.read_view(size))

    def readinto1(self, buffer: Buffer, /) -> int:
        """Write some plaintext to ``buffer`` and return how many bytes; 0 at the end of the message."""
        with view_to_fill(buffer) as target:
            view = self.read_view(len(target))
            target[: len(view)] = view
            return len(view)

    def read_view(self, size: int | None = None) -> memoryview:
        """Return some plaintext without a copy; empty at the end. Raises as :meth:`read_at`."""
        return self._moved(self._view, -1 if size is None else operator.index(size))

    def peek(self, size: int = 0, /) -> bytes:
        """Return some plaintext without moving on: at most ``size`` bytes, at least one unless at the end."""
        size = operator.index(size)
        with self._moving, _FORGETTING:
            return bytes(self._at_hand()[: size if size > 0 else io.DEFAULT_BUFFER_SIZE])

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return plaintext to the end of the line, at most ``size`` bytes; empty at the end of the message."""
        size = -1 if size is None else operator.index(size)
        with self._moving:
            # Most lines are at hand.
            start, content = self._window_start, self._window
            index = self._position - start
            end = content.find(b"\n", index) + 1 if index >= 0 and size < 0 else 0
            if end:
                line = content[index:end]
                self._position = start + end
                return line
            return self._moved(self._read_line, sys.maxsize if size < 0 else size)

    def close(self) -> None:
        """Close; plaintext at hand is dropped, and the source is closed where it is this reader's."""
        if self.closed:
            return
        # A read under way ends first: what it finds dropped would look like the end of the message.
        with self._moving:
            self._cache.clear()
            self._window = b""
            self._buffers.clear()
            try:
                if self._close_source:
                    self._source.close()
            finally:
                super().close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("read from a closed random access reader")

    def _within(self, offset: int, length: int) -> tuple[int, int]:
        """Return a range cut to the size of the message."""
        self._check_open()
        offset, length = operator.index(offset), operator.index(length)
        if offset < 0 or length < 0:
            raise UsageError(f"a range of {length} bytes at {offset}: neither can be negative")
        return offset, min(length, max(0, self._size - offset))

    def _left(self) -> int:
        self._check_open()
        return max(0, self._size - self._position)

    def _moved(self, work: Callable[[T], R], argument: T) -> R:
        """Do ``work``, which moves the position, or leave the position as it was."""
        with self._moving, _FORGETTING:
            before = self._position
            try:
                return work(argument)
            except BaseException:
                self._position = before
                raise

    def _read(self, size: int) -> bytes:
        left = self._left()
        return filled(left if size < 0 else min(size, left), self._read_on)

    def _read_into(self, target: memoryview) -> int:
        return self._read_on(target[: self._left()])

    def _view(self, size: int) -> memoryview:
        view = self._at_hand() if size else memoryview(b"")
        view = view if size < 0 else view[:size]
        self._position += len(view)
        return view

    def _read_line(self, left: int) -> bytes:
        pieces: list[bytes] = []
        while left and len(self._at_hand()):
            start, content = self._window_start, self._window
            index = self._position - start
            end = content.find(b"\n", index, index + left) + 1 or min(index + left, len(content))
            pieces.append(content[index:end])
            self._position += end - index
            left -= end - index
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)

    def _at_hand(self) -> memoryview:
        """Return plaintext from the position on, which may be little; empty at the end."""
        if not self._left():
            return memoryview(b"")
        if not 0 <= self._position - self._window_start < len(self._window):
            self._load_window(self._position)
        return memoryview(self._window)[self._position - self._window_start :]

    def _load_window(self, position: int) -> None:
        """Have plaintext at hand: the frame at ``position``, or more where reading goes on from what was at hand."""
        length = self._layout.frame_length
        start = position // length * length
        goes_on = position == self._window_start + len(self._window)
        span = max(1, self._read_ahead // length) * length if goes_on else length
        span = min(span, self._size - start)
        content = self._cache.get(self._layout.frame_of(start)) if span <= length else None
        if content is None:
            content = filled(span, lambda out: self._read_range(start, out))
        # In this order: an interruption in between must not give the bytes of one place for those of another.
        self._window = b""
        self._window_start = start
        self._window = content

    def _read_on(self, target: memoryview) -> int:
        """Fill ``target``, for which there is plaintext enough, and move on."""
        position, done = self._position, 0
        # What follows on an earlier read reads ahead. After a seek no more is read than the frames that are touched.
        goes_on = 0 <= position - self._window_start <= len(self._window)
        length = self._layout.frame_length
        while done < len(target):
            rest = target[done:]
            start, content = self._window_start, self._window
            index = position - start
            if 0 <= index < len(content):
                count = min(len(rest), len(content) - index)
                rest[:count] = memoryview(content)[index : index + count]
            elif len(rest) >= (max(self._read_ahead, length) if goes_on else length - position % length + 1):
                count = self._read_range(position, rest)
                self._window, self._window_start = b"", position + count
            else:
                self._load_window(position)
                continue
            position += count
            done += count
        self._position = position
        return done

    def _read_range(self, offset: int, target: memoryview) -> int:
        """Fill ``target`` with the plaintext from ``offset`` on, which is within the message; return its length."""
        numbers = self._layout.frames_of(offset, len(target))
        if numbers:
            self._read_frames(numbers[0], numbers[-1], offset, target)
        return len(target)

    def _read_frames(self, first: int, last: int, offset: int, target: memoryview) -> None:
        # Those at the edges are read in part, so the rest of them was often read just before.
        if (content := self._cache.get(first)) is not None:
            self._copy(content, first, offset, target)
            first += 1
        if last > first and (content := self._cache.get(last)) is not None:
            self._copy(content, last, offset, target)
            last -= 1

        # No closure: an error's frames would keep it, and with it the caller's buffer.
        work = partial(self._open_nth, first, last, offset, target)
        pieces = -(-(last + 1 - first) // self._run)
        if len(target) >= _SHARED_LENGTH and self._layout.frame_length >= SHARED_FRAME_LENGTH:
            in_parallel(work, pieces, self._frames.threads)
            return
        for piece in range(pieces):
            work(piece)

    def _open_nth(self, first: int, last: int, offset: int, target: memoryview, piece: int) -> None:
        start = first + piece * self._run
        self._open_piece(start, min(start + self._run - 1, last), offset, target)

    def _open_piece(self, first: int, last: int, offset: int, target: memoryview) -> None:
        """Read frames that stand one after the other in one go, and open them."""
        layout = self._layout
        begin = layout.frame_offset(first)
        end = sum(self._frames.final_span(layout)) if last > layout.regular_frames else layout.frame_offset(last + 1)
        buffer = self._buffer(end - begin)
        sealed = buffer[: end - begin]
        fetch(self._source, begin, sealed)
        number = first
        while number <= last:
            at = layout.frame_offset(number) - begin
            start = (number - 1) * layout.frame_length - offset
            whole = _whole_frames(layout, number, last, start, len(target))
            if whole:
                self._frames.open_regular(sealed[at:], target[start:], number, whole)
            else:
                content = self._open_one(number, sealed[at:])
                self._cache.put(number, content)
                self._copy(content, number, offset, target)
            number += whole or 1
        self._give_back(buffer)

    def _open_one(self, number: int, sealed: memoryview) -> bytes:
        if number > self._layout.regular_frames:
            return self._frames.open_final(self._layout, sealed)

        def fill(out: memoryview) -> int:
            self._frames.open_regular(sealed, out, number, 1)
            return len(out)

        return filled(self._layout.frame_length, fill)

    def _copy(self, content: bytes, number: int, offset: int, target: memoryview) -> None:
        """Copy what ``target``, which begins at ``offset``, has of a frame."""
        start = (number - 1) * self._layout.frame_length - offset
        skip = max(0, -start)
        piece = memoryview(content)[skip : skip + len(target) - max(0, start)]
        target[start + skip : start + skip + len(piece)] = piece

    def _buffer(self, size: int) -> memoryview:
        try:
            buffer = self._buffers.pop()
        except IndexError:
            return memoryview(bytearray(size))
        return buffer if len(buffer) >= size else memoryview(bytearray(size))

    def _give_back(self, buffer: memoryview) -> None:
        # Long ones, which long frames take, are not kept.
        if len(buffer) <= 2 * _PIECE and len(self._buffers) < _MOST_BUFFERS and not self.closed:
            self._buffers.append(buffer)


def frames_at_once(layout: FramedLayout, piece: int) -> int:
    """Return how many frames to read and open at a time, for ``piece`` bytes of plaintext or somewhat more."""
    # One more than that much takes up, since a read rarely begins where a frame does. But frames of a few bytes take
    # many times what is in them.
    stride = layout.frame_offset(2) - layout.frame_offset(1)
    return min(piece // layout.frame_length, 2 * piece // stride) + 1


def _whole_frames(layout: FramedLayout, number: int, last: int, start: int, room: int) -> int:
    """Return how many regular frames from ``number`` to ``last`` fit whole into what begins at ``start``."""
    if start < 0:
        return 0
    return min(min(last, layout.regular_frames) - number + 1, (room - start) // layout.frame_length)


def open_random_access(
    source: Readable,
    *,
    client: MachineSource,
    encryption_context: Mapping[str, str] | None = None,
    required_context_keys: Iterable[str] = (),
    release_unverified_plaintext: bool = False,
    verify_first: bool = False,
    read_ahead: int | None = None,
    cache_size: int = CACHE_SIZE,
) -> RandomAccessReader:
    """Open a message to be read at any position. Its header and its final frame are authenticated at once.

    Args:
        source: a path, a binary file object that can seek, which is read from where it stands, bytes, or a
            :class:`~envelope_sdk.streams.positional.PositionalSource`. What is not a path stays open when the reader is
            closed.
        client: opens messages; :class:`envelope_sdk.Client` is one.
        encryption_context: pairs that the message must have.
        required_context_keys: keys that the message must have.
        release_unverified_plaintext: accept signed messages too, whose signature is then **never** checked. Every frame
            is authenticated all the same: whoever can open the message could have written what is read.
        verify_first: read and authenticate the whole message once before anything else, the signature of a signed
            message included.
        read_ahead: bytes of plaintext to have at hand where one small read follows on another.
        cache_size: bytes of decrypted frames to keep for later reads, or one frame where it is longer; 0 for none.

    A message without frames is one frame: all of it is held, within ``Limits.max_body_length``.

    Raises:
        SignedStreamError: the message is signed, and neither of the two arguments says what to do about it.
        TypeError: ``source`` is nothing of the kind.
        UsageError: ``read_ahead`` or ``cache_size`` is negative.
        StreamError: the message is being changed.
        OSError: it cannot be read, or not at any position.
        EnvelopeError: as :meth:`envelope_sdk.Client.decrypt`.
    """
    if cache_size < 0 or (read_ahead is not None and read_ahead < 0):
        raise UsageError("read_ahead and cache_size are numbers of bytes, and not negative")
    decryptor = client.decryptor(
        encryption_context=encryption_context,
        required_context_keys=required_context_keys,
        refuse_signed=not (release_unverified_plaintext or verify_first),
    )
    below = positional(source)
    owned = below is not source
    try:
        frames = read_beginning(first_bytes_of(below), decryptor)
        if verify_first:
            read_through(below, decryptor, frames.header.length)
        return RandomAccessReader(below, frames, read_ahead=read_ahead, cache_size=cache_size, close_source=owned)
    except BaseException:
        if owned:
            below.close()
        raise
