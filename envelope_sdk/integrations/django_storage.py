"""Files of a Django project that are stored encrypted. Needs Django: ``pip install 'envelope-sdk[django]'``.

    STORAGES = {
        "default": {
            "BACKEND": "envelope_sdk.integrations.django_storage.EncryptedStorage",
            "OPTIONS": {"storage": {"BACKEND": "django.core.files.storage.FileSystemStorage"}},
        },
        ...
    }

with ``ENVELOPE_SDK = {"CLIENT": "shop.keys.client"}`` in the settings. Each file is one message, bound to its name.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import urljoin

try:
    from django.core.files import File
    from django.core.files.storage import Storage
    from django.utils.deconstruct import deconstructible
    from django.utils.encoding import filepath_to_uri
    from django.utils.module_loading import import_string
except ImportError as error:
    raise ImportError("encrypted files need Django: pip install 'envelope-sdk[django]'") from error

from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.integrations.django_settings import client_from_settings

if TYPE_CHECKING:
    from envelope_sdk.streams import EncryptingReader

    _File = File[bytes]
else:
    _File = File

__all__ = ["EncryptedStorage"]

_USUAL: Final = "django.core.files.storage.FileSystemStorage"

_TRIES: Final = 10
"""Names that are tried, where each is taken by somebody else between asking and saving."""

_RECOGNIZED: Final = 64
"""Bytes by which a message is told from any other: its id is among them."""


@deconstructible(path="envelope_sdk.integrations.django_storage.EncryptedStorage")
class EncryptedStorage(Storage):
    """Encrypts what it saves in another storage, and decrypts what it opens.

    Files are encrypted piece by piece while they are saved. What is opened can seek where the other storage's files
    can; then its end and its length are authenticated before a byte is read, and only what is read is decrypted.
    """

    def __init__(
        self,
        storage: Storage | Mapping[str, Any] | str = _USUAL,
        *,
        bound_to_name: bool = True,
        base_url: str | None = None,
    ) -> None:
        """Take the other storage.

        Args:
            storage: it, the path of its class, or a dictionary with ``BACKEND`` and ``OPTIONS`` as in ``STORAGES``.
            bound_to_name: whether each file is bound to its name, so that a file which somebody put in the place of
                another does not open. A file that is renamed in the other storage does not open either.
            base_url: beneath which a view of the project opens files and sends them, where there is one. The other
                storage's own is that of the messages.
        """
        self._storage = _storage(storage)
        self._bound_to_name = bound_to_name
        self._base_url = base_url if base_url is None or base_url.endswith("/") else f"{base_url}/"

    def open(self, name: str, mode: str = "rb") -> File[Any]:
        """Open a file for reading.

        Raises:
            UsageError: the mode is another than ``"rb"``. A file is saved whole.
            FileNotFoundError: as the other storage.
            SignedStreamError: the message is signed.
            Otherwise as :meth:`envelope_sdk.Client.decrypt`.
        """
        return super().open(name, mode)

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        if mode != "rb":
            raise UsageError(f"an encrypted file is opened for reading bytes, not with the mode {mode!r}")
        return _StoredFile(self._storage, name, self._context(name))

    def _save(self, name: str, content: File[Any]) -> str:
        name = posixpath.normpath(name)
        for _ in range(_TRIES):
            saved = self._save_as(name, content)
            if saved == name or not self._bound_to_name:
                return saved
            # Somebody took the name meanwhile, and the message is bound to it.
            self._storage.delete(saved)
            if not self._storage.exists(name):
                raise UsageError(
                    f"the other storage saves {name!r} as {saved!r}, so that a file cannot be bound to its name: "
                    "say bound_to_name=False"
                )
            name = self.get_available_name(name)
            content.seek(0)
        raise FileExistsError(f"{_TRIES} names for {name!r} were taken while the file was saved")

    def _save_as(self, name: str, content: File[Any]) -> str:
        pieces = _Pieces(content)
        with client_from_settings().encrypting_reader(
            cast("Any", pieces),
            encryption_context=self._context(name),
            plaintext_length=pieces.length,
            partial_read=True,
        ) as reader:
            if reader.header.algorithm_suite.signed:
                raise UsageError("a signed message cannot be read piece by piece: the client is not to sign")
            message = _Message(reader, name)
            try:
                saved = self._storage.save(name, message)
                message.require_end()
            except BaseException:
                self._take_back(name, message.beginning)
                raise
        return saved

    def _take_back(self, name: str, beginning: bytes) -> None:
        """Delete what was saved before it failed, if it is that: another file may have got the name."""
        with contextlib.suppress(Exception):
            with self._storage.open(name, "rb") as file:
                ours = len(beginning) == _RECOGNIZED and file.read(_RECOGNIZED) == beginning
            if ours:
                self._storage.delete(name)

    def _context(self, name: str) -> dict[str, str]:
        return {"file": posixpath.normpath(str(name).replace("\\", "/"))} if self._bound_to_name else {}

    def size(self, name: str) -> int:
        """Return the length of the plaintext in bytes, authenticated: the file is opened for it.

        Raises:
            UsageError: the other storage's files cannot seek.
            Otherwise as :meth:`open`.
        """
        with self.open(name) as file:
            if not file.seekable():
                raise UsageError("the size of an encrypted file shows at its end, and the other storage cannot seek")
            return file.size

    def url(self, name: str | None) -> str:
        """Return the URL of the project's view for a file: behind the other storage's is the message.

        Raises:
            UsageError: there is no ``base_url``.
        """
        if self._base_url is None:
            raise UsageError("an encrypted file has no URL of its own: a view has to send it, beneath base_url=")
        return urljoin(self._base_url, (filepath_to_uri(name) or "").lstrip("/"))

    def delete(self, name: str) -> None:
        """Delete a file."""
        self._storage.delete(name)

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return self._storage.exists(name)

    def listdir(self, path: str) -> Any:
        """Return the folders and the files in a folder."""
        return self._storage.listdir(path)

    def get_valid_name(self, name: str) -> str:
        """Return a name that the other storage takes."""
        return self._storage.get_valid_name(name)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return a name that is free in the other storage."""
        return self._storage.get_available_name(name, max_length=max_length)

    def generate_filename(self, filename: Any) -> str:
        """Return the name to save under, as the other storage makes it."""
        return self._storage.generate_filename(filename)

    def get_accessed_time(self, name: str) -> datetime:
        """Return when a file was last read."""
        return self._storage.get_accessed_time(name)

    def get_created_time(self, name: str) -> datetime:
        """Return when a file was made."""
        return self._storage.get_created_time(name)

    def get_modified_time(self, name: str) -> datetime:
        """Return when a file was last written."""
        return self._storage.get_modified_time(name)


class _Pieces(io.RawIOBase):
    """The content of a file that is to be saved, from its beginning, as a file of bytes."""

    def __init__(self, content: File[Any]) -> None:
        self._chunks: Iterator[bytes | str] = iter(content.chunks())
        self._rest = memoryview(b"")
        first = next(self._chunks, b"")
        self._take(first)
        self.length: int | None = None
        if isinstance(first, bytes):  # the size of text is not that of its bytes
            # Django asks files that cannot seek, too, where they end.
            with contextlib.suppress(AttributeError, OSError):
                self.length = content.size

    def _take(self, chunk: bytes | str) -> None:
        self._rest = memoryview(chunk.encode() if isinstance(chunk, str) else chunk)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._take(chunk)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Message(_File):
    """A message for the other storage to save."""

    def __init__(self, reader: EncryptingReader, name: str) -> None:
        super().__init__(cast("Any", reader), name)
        self._reader = reader
        self._read = 0
        self.beginning = b""
        self._ended = False

    def require_end(self) -> None:
        if not self._ended:
            raise StreamError("the other storage did not read the message to its end")

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        # First what the message is known by, which needs nothing of the content: what fails later can be taken back.
        piece = self.read(_RECOGNIZED)
        while piece:
            yield piece
            piece = self.read(chunk_size or self.DEFAULT_CHUNK_SIZE)

    @property
    def size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - read like one
        if self._reader.length is None:
            raise AttributeError("the length of the message is not known")
        return self._reader.length

    def read(self, size: int | None = -1, /) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride] - called like one
        piece = self._reader.read(size)
        self._read += len(piece)
        self.beginning += piece[: _RECOGNIZED - len(self.beginning)]
        self._ended = self._ended or (not piece and size != 0) or self._read == self._reader.length
        return piece


class _StoredFile(_File):
    """The plaintext of a file in the other storage."""

    def __init__(self, storage: Storage, name: str, context: Mapping[str, str]) -> None:
        self._storage = storage
        self._context = context
        super().__init__(self._opened(name), name)
        self.mode = "rb"

    def _opened(self, name: str) -> Any:
        client = client_from_settings()
        self._below = self._storage.open(name, "rb")
        try:
            if self._below.seekable():
                return client.random_access(cast("Any", self._below), encryption_context=self._context)
            return client.open(cast("Any", self._below), encryption_context=self._context)
        except BaseException:
            self._below.close()
            raise

    def open(self, mode: str | None = None, *_: Any, **__: Any) -> Self:
        if mode not in (None, "rb"):
            raise UsageError(f"an encrypted file is opened for reading bytes, not with the mode {mode!r}")
        if self.closed:
            self.file = self._opened(cast("str", self.name))
        else:
            self.seek(0)
        return self

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._below.close()


def _storage(given: Storage | Mapping[str, Any] | str) -> Storage:
    if isinstance(given, Storage):
        return given
    configured: Mapping[str, Any] = {"BACKEND": given} if isinstance(given, str) else given
    made: object = import_string(configured["BACKEND"])(**configured.get("OPTIONS", {}))
    if not isinstance(made, Storage):
        raise UsageError(f"{configured['BACKEND']} is no storage")
    return made
