"""Moving one message from its source to its target, whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import Progress
from envelope_sdk.cli.standard import standard_input, standard_output
from envelope_sdk.client import Client
from envelope_sdk.errors import SignedStreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.reader import DecryptingReader
from envelope_sdk.streams.writer import encrypting_writer

__all__ = ["decrypt_item", "encrypt_item"]


def encrypt_item(
    client: Client, item: Item, *, overwrite: bool, context: Mapping[str, str], progress: Progress
) -> Header:
    """Encrypt one source to its target and return the header.

    Raises:
        EnvelopeError, OSError: nothing was written to a file then, and an older one is untouched.
    """
    with _source(item, progress) as source, _target(item, overwrite=overwrite) as target:
        with encrypting_writer(target, client, encryption_context=context) as writer:
            buffer = memoryview(bytearray(CHUNK))
            while count := source.readinto(buffer):
                writer.write(buffer[:count])
                progress.advance(count)
        return writer.header


def decrypt_item(
    client: Client,
    item: Item,
    *,
    overwrite: bool,
    context: Mapping[str, str],
    required_keys: Sequence[str],
    progress: Progress,
) -> Header:
    """Decrypt one source to its target and return the authenticated header.

    A file appears only when the whole message is authentic, its signature included. Where the target takes bytes as
    they come (standard output, a pipe), a signed message is verified to its end before the first byte is written.

    Raises:
        EnvelopeError, OSError: nothing was written to a file then, and an older one is untouched.
    """
    options: dict[str, Any] = {"encryption_context": context, "required_context_keys": required_keys}
    with _source(item, progress) as source, _target(item, overwrite=overwrite) as target:
        if isinstance(target, AtomicFile):
            header = _pump(source, client, target, progress, refuse_signed=False, **options)
            target.commit()
            return header
        recording = _Recording(source)
        try:
            header = _pump(recording, client, target, progress, refuse_signed=True, **options)
        except SignedStreamError:
            with recording.replayed() as whole:
                start = whole.tell()
                _pump(whole, client, None, progress, refuse_signed=False, **options)
                whole.seek(start)
                progress.again()
                header = _pump(whole, client, target, progress, refuse_signed=False, **options)
        target.flush()
        return header


def _pump(source: io.RawIOBase | IO[bytes], client: Client, target: Any, progress: Progress, **options: Any) -> Header:
    raw: Any = source
    with DecryptingReader(raw, client.decryptor(**options)) as reader:
        while view := reader.read_view():
            progress.advance(len(view))
            while target is not None and len(view):
                view = view[target.write(view) :]
        return reader.header


class _Recording(io.RawIOBase):
    """A source that can go back to its start as long as its header is being read."""

    def __init__(self, source: io.RawIOBase | IO[bytes]) -> None:
        super().__init__()
        self._source: Any = source
        self._start = io.BytesIO()
        # Standard input may be a file that somebody has read from already.
        self._offset = source.tell() if _is_regular(source) else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = int(self._source.readinto(buffer) or 0)
        if self._start.tell() < 2 * CHUNK:
            self._start.write(memoryview(buffer)[:count])
        return count

    @contextmanager
    def replayed(self) -> Generator[IO[bytes]]:
        """Return the whole source where it began, seekable: itself, or a private copy of its (encrypted) bytes."""
        if self._offset is not None:
            self._source.seek(self._offset)
            yield self._source
            return
        with tempfile.TemporaryFile() as copy:
            copy.write(self._start.getvalue())
            while piece := self._source.read(CHUNK):
                copy.write(piece)
            copy.seek(0)
            yield copy


@contextmanager
def _source(item: Item, progress: Progress) -> Generator[Any]:
    if item.source is None:
        progress.begin("standard input", None)
        yield standard_input()
        return
    with io.FileIO(item.source) as file:
        status = os.fstat(file.fileno())
        progress.begin(item.source.name, status.st_size if stat.S_ISREG(status.st_mode) else None)
        yield file


@contextmanager
def _target(item: Item, *, overwrite: bool) -> Generator[Any]:
    """Open the target: a file that appears on commit, or a stream where the path or its absence says so."""
    if item.target is None:
        yield standard_output()
    elif _takes_bytes_as_they_come(item.target):
        with io.FileIO(item.target, "w") as stream:
            yield stream
    else:
        if item.make_folders:
            _make_folder(item.target.parent)
        file = AtomicFile(item.target, overwrite=overwrite)
        try:
            yield file
        finally:
            file.close()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(error.filename)) from None


def _takes_bytes_as_they_come(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _is_regular(source: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode) and source.seekable()
    except (OSError, ValueError):
        return False
