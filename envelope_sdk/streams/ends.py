"""Both ends of a message that can be read at any position: its header, and the final frame, which proves its length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import AuthenticationError, MessageError
from envelope_sdk.formats.geometry import FramedLayout
from envelope_sdk.formats.header import HEADER_CHUNK
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.random_access import FrameReader, not_at_its_end
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.positional import PositionalSource, fetch

__all__ = ["first_bytes_of", "read_beginning", "read_end", "read_through"]

_FIRST: Final = 2**13
"""Bytes in which nearly every header is found."""

_EXPLAINED: Final = 2**20
"""Bytes of a faulty message that are read to say what is wrong with it."""


def read_beginning(first_bytes: Callable[[int], memoryview], decryptor: MessageDecryptor) -> FrameReader:
    """Read the header of a message, and nothing behind it.

    Args:
        first_bytes: returns the first so many bytes of the message, fewer only where it has no more.
        decryptor: a machine that has not started. It stands behind the header then.

    Raises:
        As :meth:`envelope_sdk.Client.decrypt`, for what can be known from the header.
    """
    wanted = _FIRST
    while True:
        data = first_bytes(wanted)
        needed = decryptor.begin(data)
        if not needed:
            return FrameReader(decryptor, data)
        if len(data) < wanted:
            # Says what is missing.
            decryptor.read_header(data)
        wanted = max(needed, wanted + HEADER_CHUNK)


def first_bytes_of(source: PositionalSource) -> Callable[[int], memoryview]:
    """Return what :func:`read_beginning` asks for."""

    def first_bytes(count: int) -> memoryview:
        return _bytes_at(source, 0, min(count, source.size))

    return first_bytes


def read_end(source: PositionalSource, frames: FrameReader) -> tuple[FramedLayout, bytes]:
    """Find and authenticate the final frame; return where all frames stand, and its content.

    Raises:
        MessageError: the message is cut short, or bytes follow its end, or it is malformed.
        AuthenticationError: its final frame, or what was looked at to say what is wrong, was altered.
        StreamError, OSError: as the source says.
    """
    length = min(frames.tail_length, source.size - frames.header.length)
    tail = _bytes_at(source, source.size - length, length)
    for layout in frames.layouts(source.size, tail):
        try:
            return layout, frames.open_final(layout, _bytes_at(source, *frames.final_span(layout)))
        except (MessageError, AuthenticationError):
            # Another layout may fit; if none does, the machine has the right words.
            continue
    _explain(source, frames)
    raise not_at_its_end(source.size)


def read_through(source: PositionalSource, machine: MessageDecryptor, offset: int) -> None:
    """Have a machine authenticate all that a message has from ``offset`` on, its signature included.

    Raises:
        As :meth:`envelope_sdk.Client.decrypt`, for what is found there.
    """
    sealed = memoryview(bytearray(min(CHUNK, source.size - offset)))
    plain = memoryview(b"")
    while offset < source.size:
        piece = sealed[: source.size - offset]
        fetch(source, offset, piece)
        size = machine.output_size(len(piece))
        plain = plain if len(plain) >= size else memoryview(bytearray(size))
        machine.update_into(piece, plain)
        offset += len(piece)
    machine.finish()


def _explain(source: PositionalSource, frames: FrameReader) -> None:
    """Raise what reading from the beginning would, as far as the last part of the message shows it."""
    machine, offset = frames.machine(), frames.header.length
    too_many = source.size - offset - _EXPLAINED
    if too_many > 0:
        if frames.header.algorithm_suite.signed or not frames.stride:
            return
        skipped = -(-too_many // frames.stride)
        if skipped >= 0xFFFFFFFF:
            return
        machine.skip_frames(skipped)
        offset += skipped * frames.stride
    read_through(source, machine, min(offset, source.size))


def _bytes_at(source: PositionalSource, offset: int, length: int) -> memoryview:
    buffer = memoryview(bytearray(length))
    if length:
        fetch(source, offset, buffer)
    return buffer
