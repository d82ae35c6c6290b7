"""An encrypted message written here arrives as authenticated plaintext on the other side."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, ClassVar, NoReturn

from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.machine import again
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.pushing import PushingWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envelope_sdk.streams.contract import MachineSource

__all__ = ["DecryptingWriter", "decrypting_writer"]


class DecryptingWriter(PushingWriter):
    """A binary file object that decrypts what is written to it.

    It is the target of a download: ``download_fileobj``, loops over an HTTP response, :func:`shutil.copyfileobj`.
    Frames go to what is below as they are authenticated. Only ``close()`` tells a whole message from the beginning of
    one: it raises where the message is not complete, and a file that :class:`AtomicFile` holds then never appears. A
    ``with`` block that raises, and a writer that is dropped, discard it too. After an error every later call raises it
    again.
    """

    _name: ClassVar = "decrypting writer"

    def __init__(self, raw: IO[bytes] | AtomicFile, decryptor: MessageDecryptor, *, close_raw: bool = False) -> None:
        """Write plaintext to ``raw``.

        Args:
            raw: a binary file object, or an :class:`AtomicFile`, which is committed on ``close()``.
            decryptor: a machine that has not started. Unless ``raw`` can still be discarded when the message turns out
                not to be authentic, it should be one that refuses signed messages.
            close_raw: whether ``close()`` closes ``raw`` too; an :class:`AtomicFile` always is.
        """
        super().__init__(raw, close_raw=close_raw)
        self._decryptor = decryptor

    @property
    def header(self) -> Header | None:
        """The message's authenticated header; ``None`` until all of it has been written."""
        return self._decryptor.header

    def _push(self, piece: memoryview) -> None:
        out = self._room(self._decryptor.output_size(len(piece)))
        self._write_raw(out[: self._decryptor.update_into(piece, out)])

    def _finish(self) -> None:
        self._decryptor.finish()

    def _raise_again(self, _what: str) -> NoReturn:
        assert self._failure is not None
        raise again(self._failure) from self._failure


def decrypting_writer(
    file: str | os.PathLike[str] | IO[bytes] | AtomicFile,
    *,
    client: MachineSource,
    encryption_context: Mapping[str, str] | None = None,
    required_context_keys: Iterable[str] = (),
    overwrite: bool = True,
    release_unverified_plaintext: bool = False,
) -> DecryptingWriter:
    """Return a file object to which an encrypted message can be written, and whose plaintext arrives in ``file``.

    Args:
        file: a path, or a binary file object, which stays open. At a path the file appears, readable by its owner
            only, when the whole message is authentic, signature included, and not at all otherwise. So it does where
            ``file`` is an :class:`AtomicFile`.
        client: opens the message; :class:`envelope_sdk.Client` is one.
        encryption_context: pairs that the message must have.
        required_context_keys: keys that the message must have.
        overwrite: whether an existing file at a path may be replaced.
        release_unverified_plaintext: writing to a file object: accept signed messages too, whose plaintext, though
            every frame of it is authenticated, arrives before the signature has been checked.

    Raises:
        TypeError: ``file`` is neither a path nor a binary file object.
        OSError: the file cannot be made.
        Errors of the message itself are raised by :meth:`DecryptingWriter.write` and ``close``.
    """
    decryptor = client.decryptor(
        encryption_context=encryption_context,
        required_context_keys=required_context_keys,
        refuse_signed=not (release_unverified_plaintext or isinstance(file, str | os.PathLike | AtomicFile)),
    )
    if isinstance(file, str | os.PathLike):
        return DecryptingWriter(AtomicFile(file, overwrite=overwrite), decryptor)
    if isinstance(file, io.TextIOBase) or not hasattr(file, "write"):
        raise TypeError(f"file is a path as text or a binary file object to write, not {type(file).__name__}")
    return DecryptingWriter(file, decryptor)
