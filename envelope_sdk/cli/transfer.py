"""Moving one message from its source to its target, whole or not at all."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from envelope_sdk.bulk.folders import make_folders_for
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.progress import Progress
from envelope_sdk.cli.signals import raise_if_stopped
from envelope_sdk.cli.standard import standard_input, standard_output
from envelope_sdk.client import Client
from envelope_sdk.errors import SignedStreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.reader import DecryptingReader
from envelope_sdk.streams.transfer import decrypt_stream, encrypt_stream, plaintext_bound

__all__ = ["decrypt_item", "encrypt_item", "told_to"]


def encrypt_item(
    client: Client, item: Item, *, overwrite: bool, context: Mapping[str, str], progress: Progress
) -> Header:
    """Encrypt one source to its target and return the header.

    Raises:
        EnvelopeError, OSError: nothing was written to a file then, and an older one is untouched.
    """
    with _source(item, progress) as source, _target(item, overwrite=overwrite) as target:
        encryptor = client.encryptor(encryption_context=context, plaintext_bound=plaintext_bound(source))
        header = encrypt_stream(source, target, encryptor, threads=client.threads, on_progress=told_to(progress))
        if isinstance(target, AtomicFile):
            target.commit()
        else:
            target.flush()
        return header


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
    they come (standard output, a pipe), a signed message is first copied, still encrypted, to a temporary file without
    a name. It is verified to its end there, and what is released comes from there too: the source may change meanwhile.

    Raises:
        EnvelopeError, OSError: nothing was written to a file then, and an older one is untouched.
    """
    options: dict[str, Any] = {"encryption_context": context, "required_context_keys": required_keys}
    with _source(item, progress) as source, _target(item, overwrite=overwrite) as target:
        if isinstance(target, AtomicFile):
            decryptor = client.decryptor(**options)
            header = decrypt_stream(source, target, decryptor, threads=client.threads, on_progress=told_to(progress))
            target.commit()
            return header
        recording = _Recording(source)
        try:
            reader = DecryptingReader(cast("IO[bytes]", recording), client.decryptor(refuse_signed=True, **options))
        except SignedStreamError:
            with recording.copied() as copy:
                _pump(DecryptingReader(copy, client.decryptor(**options)), None, progress)
                copy.seek(0)
                progress.again()
                header = _pump(DecryptingReader(copy, client.decryptor(**options)), target, progress)
        else:
            recording.forget()
            header = _pump(reader, target, progress)
        target.flush()
        return header


def told_to(progress: Progress) -> Callable[[int], None]:
    """Return what a transfer calls between two pieces."""

    def told(count: int) -> None:
        raise_if_stopped()
        progress.advance(count)

    return told


def _pump(reader: DecryptingReader, target: Any, progress: Progress) -> Header:
    with reader:
        while view := reader.read_view():
            raise_if_stopped()
            progress.advance(len(view))
            while target is not None and len(view):
                view = view[target.write(view) :]
        return reader.header


class _Recording(io.RawIOBase):
    """A source whose beginning is kept until it is known whether the message is signed."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._source = source
        self._start: io.BytesIO | None = io.BytesIO()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = int(self._source.readinto(buffer))
        if self._start is not None:
            self._start.write(memoryview(buffer)[:count])
        return count

    def forget(self) -> None:
        """Keep nothing any more."""
        self._start = None

    @contextmanager
    def copied(self) -> Generator[IO[bytes]]:
        """Copy the whole source to a file that nobody else can open, and return that at its beginning."""
        # It takes as long to import as all of the command, and signed messages seldom go to a pipe.
        import tempfile

        # Without a buffer, which would fail once more, and without its words, when it is closed.
        with tempfile.TemporaryFile(buffering=0) as copy:
            piece = self._start.getvalue() if self._start is not None else b""
            self.forget()
            while piece:
                raise_if_stopped()
                _write_copy(copy, piece)
                piece = self._source.read(CHUNK)
            copy.seek(0)
            yield copy


def _write_copy(copy: IO[bytes], piece: bytes) -> None:
    view = memoryview(piece)
    try:
        while len(view):
            view = view[copy.write(view) :]
    except OSError as error:
        # Neither the source nor the target is what is full.
        from tempfile import gettempdir

        raise OSError(error.errno, error.strerror, gettempdir()) from error


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
            make_folders_for(item.target)
        file = AtomicFile(item.target, overwrite=overwrite)
        try:
            yield file
        finally:
            file.close()


def _takes_bytes_as_they_come(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)
