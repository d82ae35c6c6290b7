"""``open()`` for encrypted files, in the manner of :func:`gzip.open`."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import IO, Any, Final, Self, TypeAlias, cast

from envelope_sdk.errors import UsageError
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.positional import can_seek
from envelope_sdk.streams.reader import DecryptingReader
from envelope_sdk.streams.seeking import SeekableDecryptingReader
from envelope_sdk.streams.writer import EncryptingWriter, encrypting_writer

__all__ = ["EncryptedFile", "open"]

_MODES: Final = frozenset({"r", "rb", "rt", "w", "wb", "wt", "x", "xb", "xt"})


_BYTE_ORDER_MARKS: Final = {"utf-16": codecs.BOM_UTF16, "utf-32": codecs.BOM_UTF32}


class _EncryptedText(io.TextIOWrapper):
    """Text over an encrypted stream, which decides what leaving a block and being dropped mean."""

    def close(self) -> None:
        """Close; what fails while the last text is written is raised as it is, and ends the message."""
        below = self.buffer
        if isinstance(below, EncryptingWriter) and not below.closed:
            try:
                self.flush()
            except BaseException:
                below.discard()
                raise
        super().close()

    def __enter__(self) -> Self:
        cast("DecryptingReader | EncryptingWriter", self.buffer).__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        below = cast("DecryptingReader | EncryptingWriter", self.buffer)
        if isinstance(below, EncryptingWriter) and kind is None:
            self.close()
        below.__exit__(kind, error, trace)

    def __del__(self) -> None:
        """Leave it to the stream below, which is dropped with this one: closing here would end a message."""


EncryptedFile: TypeAlias = DecryptingReader | EncryptingWriter | io.TextIOWrapper
"""What :func:`open` returns: a reader, a writer, or text over either."""


def open(  # noqa: A001 - the name that gzip and its like use
    file: str | os.PathLike[str] | IO[bytes],
    mode: str = "rb",
    *,
    client: MachineSource,
    encryption_context: Mapping[str, str] | None = None,
    required_context_keys: Iterable[str] = (),
    plaintext_length: int | None = None,
    release_unverified_plaintext: bool = False,
    partial_read: bool = False,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> EncryptedFile:
    """Open an encrypted file for reading or writing plaintext.

    What is read from a path, or from a file object that can seek, can seek too where the message is unsigned: see
    :class:`~envelope_sdk.streams.seeking.SeekableDecryptingReader`.

    Args:
        file: a path, or a binary file object, which stays open when this one is closed. A path is written atomically:
            the file appears, readable by its owner only, when the message is complete, and not at all otherwise.
        mode: ``"r"``, ``"w"`` or ``"x"`` (refuse to replace a file), with ``"b"`` (the default) or ``"t"`` for text.
        client: makes and opens messages; :class:`envelope_sdk.Client` is one.
        encryption_context: writing: the pairs to store; reading: pairs that the message must have.
        required_context_keys: reading: keys that the message must have.
        plaintext_length: writing: bytes that will come, where known; then it is an error if others do.
        release_unverified_plaintext: reading: accept signed messages too, whose plaintext, though every frame of it is
            authenticated, comes out before the signature has been checked. Do not act on it before the end is reached.
        partial_read: reading: a ``with`` block may be left before the end of the message.
        encoding: text: as for :func:`open`. So are ``errors`` and ``newline``.

    Raises:
        UsageError: the mode is none of those, or an option does not go with it.
        TypeError: ``file`` is neither a path nor a file object.
        LookupError, ValueError: there is no such encoding, or no such ``newline``.
        SignedStreamError: the message is signed and unverified plaintext is not accepted.
        OSError: the file cannot be opened.
        EnvelopeError: as :meth:`envelope_sdk.Client.encrypt` and :meth:`~envelope_sdk.Client.decrypt`.
    """
    if mode not in _MODES:
        raise UsageError(f"the mode {mode!r} is none of {', '.join(sorted(_MODES))}")
    text = mode.endswith("t")
    if not text and (encoding is not None or errors is not None or newline is not None):
        raise UsageError("encoding, errors and newline go with text modes only")
    reading = mode.startswith("r")
    if reading and plaintext_length is not None:
        raise UsageError("plaintext_length goes with writing only")
    if not reading and (required_context_keys or release_unverified_plaintext or partial_read):
        raise UsageError("required_context_keys, release_unverified_plaintext and partial_read go with reading only")
    if not isinstance(file, str | os.PathLike) and not hasattr(file, "read" if reading else "write"):
        raise TypeError(f"file is a path as text or a binary file object, not {type(file).__name__}")
    if text:
        # What these would refuse is refused before anything is opened or written.
        encoding = io.text_encoding(encoding)
        io.TextIOWrapper(io.BytesIO(), encoding, errors, newline)
    stream: DecryptingReader | EncryptingWriter
    if reading:
        stream = _reader(
            file,
            client,
            partial_read=partial_read,
            encryption_context=encryption_context,
            required_context_keys=required_context_keys,
            refuse_signed=not release_unverified_plaintext,
        )
    else:
        raw = AtomicFile(file, overwrite=mode[0] == "w") if isinstance(file, str | os.PathLike) else file
        stream = encrypting_writer(
            raw, client, encryption_context=encryption_context, plaintext_length=plaintext_length
        )
    if not text:
        return stream
    wrapped = _EncryptedText(cast("Any", stream), encoding, errors, newline)
    if isinstance(stream, SeekableDecryptingReader):
        stream.stay_failed()
    if isinstance(stream, EncryptingWriter):
        # TextIOWrapper leaves the mark out where it cannot seek, as if it stood in the middle of a file.
        stream.write(_BYTE_ORDER_MARKS.get(codecs.lookup(wrapped.encoding).name, b""))
    return wrapped


def _reader(
    file: str | os.PathLike[str] | IO[bytes], client: MachineSource, *, partial_read: bool, **options: Any
) -> DecryptingReader:
    owned = isinstance(file, str | os.PathLike)
    raw = io.FileIO(file) if isinstance(file, str | os.PathLike) else file
    try:
        kind = SeekableDecryptingReader if can_seek(raw) else DecryptingReader
        return kind(raw, client.decryptor(**options), close_raw=owned, partial_read=partial_read)
    except BaseException:
        if owned:
            raw.close()
        raise
