"""Encrypted streams: :func:`open` in the manner of :func:`gzip.open`, and the readers and writers behind it."""

from envelope_sdk.streams.decrypting_writer import DecryptingWriter
from envelope_sdk.streams.encrypting_reader import EncryptingReader
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.opening import EncryptedFile, open  # noqa: A004 - the name that gzip and its like use
from envelope_sdk.streams.positional import PositionalSource
from envelope_sdk.streams.ranges import RandomAccessReader, open_random_access
from envelope_sdk.streams.reader import DecryptingReader
from envelope_sdk.streams.writer import EncryptingWriter

__all__ = [
    "AtomicFile",
    "DecryptingReader",
    "DecryptingWriter",
    "EncryptedFile",
    "EncryptingReader",
    "EncryptingWriter",
    "PositionalSource",
    "RandomAccessReader",
    "open",
    "open_random_access",
]
