"""Messages under other wrapping keys, in another suite or with another context (docs/adr/0008).

A message is decrypted into an encryption with a data key of its own. No header is ever written for an existing body.
Plaintext passes through memory, a piece or two at a time, and is written nowhere. The new message takes the old one's
place only when the old one was authentic to its last byte, signature included, and the new one is whole, on the disk,
and known to open.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from envelope_sdk.errors import AuthenticationError, KeyringError, NoMatchingKeyError, PolicyError, StreamError
from envelope_sdk.formats.cursor import NeedMoreBytes
from envelope_sdk.formats.header import HEADER_CHUNK, UnverifiedHeader, parse_header
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.decrypted_source import DecryptedSource
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.pieces import OnProgress
from envelope_sdk.streams.raw import read_at, read_some, regular_descriptor
from envelope_sdk.streams.replacing import ReplacingFile, open_regular
from envelope_sdk.streams.rotation_target import MessageWriter, RotationTarget, plaintext_length
from envelope_sdk.streams.transfer import encrypt_stream

__all__ = ["Rotation"]

_LONGEST_HEADER: Final = 2**24
"""Bytes. Looking asks no service about a data key; what the reader accepts is for the reader to say."""


class Rotation:
    """How messages are to be, and what makes them so. Safe to share between threads.

    A new message has the pairs of the old one's encryption context, changed as told; those that the old one does not
    store, the new one does not store either. It has the old one's frame length unless another is chosen.
    """

    def __init__(
        self,
        reader: MachineSource,
        writer: MessageWriter,
        *,
        signing_writer: MessageWriter | None = None,
        verifier: MachineSource | None = None,
        verify: bool = True,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        new_context: Mapping[str, str] | None = None,
        drop_context_keys: Iterable[str] = (),
        unstored_context_keys: Iterable[str] = (),
        frame_length: int | None = None,
    ) -> None:
        """Say what is to become of messages.

        Args:
            reader: opens the old messages; a :class:`envelope_sdk.Client`. Its policy has to allow those that do not
                commit to their key, where there are any.
            writer: makes the new ones, with its keyring and in its suite; a client too.
            signing_writer: makes those whose old message is signed. Without it ``writer`` makes them all, and a
                signature is lost where ``writer`` does not sign.
            verifier: opens the new messages, to see that they can be opened; ``writer``, unless it cannot decrypt.
            verify: whether that is done. Without it a mistake in the new keys is noticed when it is too late, and
                messages whose header does not tell the new keys from the old ones are rotated every time.
            encryption_context: pairs that the old messages must have, among them every one that they do not store.
            required_context_keys: keys that the old messages must have.
            new_context: pairs to add, or to replace those of the same key.
            drop_context_keys: keys whose pairs to leave out.
            unstored_context_keys: keys of pairs that new messages authenticate and do not store, beside those that the
                old ones do not store. A pair of ``new_context`` is stored unless its key is here.
            frame_length: bytes of plaintext in a frame of the new messages; that of the old one unless given. The
                writer's, where the old one has no frames.

        Raises:
            TypeError: keys are one text.
        """
        self._reader = reader
        self._options: dict[str, Any] = {
            "encryption_context": encryption_context,
            "required_context_keys": _keys(required_context_keys),
        }
        self._target = RotationTarget(
            writer,
            signing_writer or writer,
            verifier,
            self._decryptor,
            reproduced=encryption_context or {},
            new=new_context or {},
            dropped=_keys(drop_context_keys),
            unstored=_keys(unstored_context_keys),
            frame_length=frame_length,
            verify=verify,
        )
        self._threads = writer.threads
        self._verify = verify

    def is_done(self, path: str | os.PathLike[str]) -> bool:
        """Return whether the message in a file is as a rotation would make it, going by its header alone.

        Its suite, the pairs it stores, a frame length that was chosen, and the names of its wrapping keys have to be
        the wanted ones. Which names those are, the writer is asked once for each encryption context. Where that leaves
        it in doubt whether the new keys open it, as names of raw keys do, which their owners chose, they have to open
        it; or, where nothing is to be verified, the old keys must not. The rest of the message is not looked at.

        Raises:
            MessageError: the bytes are not a message.
            KeyringError, KmsError: the writer cannot wrap.
            OSError: the file cannot be read.
        """
        with open_regular(path) as source:
            beginning, header = _read_header(source)
            if header is None:
                # Says what is missing.
                self._decryptor().read_header(beginning)
            return header is not None and self._target.has(header)

    def rotate_file(
        self,
        path: str | os.PathLike[str],
        target: str | os.PathLike[str] | None = None,
        *,
        again: bool = False,
        overwrite: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Header | None:
        """Rotate the message in a file, in place, and return the new one's header; ``None`` where it was done before.

        The file is replaced in one step, or left as it is, to the byte. Who may read it stays: its owner, group,
        permissions and extended attributes are kept; its times are not. A link is followed. Other names of the same
        file (hard links) keep the old message.

        Args:
            path: the file.
            target: where to write the new message instead, readable by its owner only; then it is always made.
            again: whether what is done is done again.
            overwrite: whether an existing ``target`` may be replaced.
            on_progress: called in this thread, now and then, with how many more bytes of plaintext were encrypted.
                What it raises ends the work and is raised.

        Raises:
            FileExistsError: ``target`` exists and may not be replaced.
            OSError: reading or writing failed, the file is no regular one, or its owner cannot be kept.
            StreamError: another program changed or replaced the file meanwhile.
            KeyringError: the new message does not open; the old one was kept.
            Otherwise as :meth:`envelope_sdk.Client.decrypt` and :meth:`~envelope_sdk.Client.encrypt`.
        """
        with open_regular(path) as source:
            status = os.fstat(source.fileno())
            beginning, header = _read_header(source)
            if target is None and not again and header is not None and self._target.has(header, ask_less=True):
                return None
            with (
                ReplacingFile(path, source, status) if target is None else AtomicFile(target, overwrite=overwrite)
            ) as written:
                source.seek(header.length if header is not None else 0)
                made = self._rotate(beginning, header, source, written, on_progress)
                if self._verify:
                    self._check_opens(_read_back(written, made), made)
            return made

    def rotate_stream(self, source: Any, target: Any, *, on_progress: OnProgress | None = None) -> Header:
        """Rotate the message that ``source`` holds to ``target``, and return the new one's header.

        What is written is a whole message only when this returns: before, the old message is not known to be authentic,
        and ``target`` must be something that can still be discarded. The new message is not verified.

        Args:
            source: a binary file object, read from where it stands to its end, which has to be the message's.
            target: a binary file object. An :class:`~envelope_sdk.streams.files.AtomicFile` is left to be committed.
            on_progress: as in :meth:`rotate_file`.

        Raises:
            As :meth:`rotate_file`.
        """
        beginning, header = _read_header(source)
        rest = beginning[header.length :] if header is not None else b""
        return self._rotate(beginning, header, _Rejoined(rest, source), target, on_progress)

    def rotate_to(
        self,
        source: Any,
        create: Callable[[], Any],
        *,
        again: bool = True,
        plaintext_bound: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Header | None:
        """Rotate the message that ``source`` holds to what ``create`` returns, and return the new one's header.

        When this returns, the old message is known to be authentic and the new one to open, and what was created is to
        be committed. Until then it must be something that can still be discarded.

        Args:
            source: a binary file object at its beginning, read to its end.
            create: returns a binary file object to write to; called once it is known that there is something to write.
            again: whether a message that is as wanted is rotated too; ``None`` is returned for it otherwise.
            plaintext_bound: the most bytes of plaintext that the writer is to announce where the length is not known
                beforehand; that of the message is enough. More are an error.
            on_progress: as in :meth:`rotate_file`.

        Raises:
            As :meth:`rotate_file`.
        """
        beginning, header = _read_header(source)
        if not again and header is not None and self._target.has(header, ask_less=True):
            return None
        known = 0 if header is None else header.length
        if regular_descriptor(source) is None:
            source = _Rejoined(beginning[known:], source)
        else:
            source.seek(known)
        target = create()
        if regular_descriptor(target) is not None:
            made = self._rotate(beginning, header, source, target, on_progress, plaintext_bound)
            start = _read_back(target, made) if self._verify else b""
        else:
            kept = _Kept(target)
            made = self._rotate(beginning, header, source, kept, on_progress, plaintext_bound)
            start = bytes(kept.start)
        if self._verify:
            self._check_opens(start, made)
        return made

    # --- inside ------------------------------------------------------------------------------------------------------

    def _decryptor(self) -> MessageDecryptor:
        return self._reader.decryptor(**self._options)

    def _rotate(
        self,
        beginning: bytes,
        unverified: UnverifiedHeader | None,
        rest: Any,
        target: Any,
        on_progress: OnProgress | None,
        bound: int | None = None,
    ) -> Header:
        """Rotate the message whose header ``beginning`` begins with, and which goes on in ``rest`` behind that."""
        decryptor = self._decryptor()
        decryptor.read_header(beginning if unverified is None else beginning[: unverified.length])
        # Where there was no whole header, the machine has said so.
        assert unverified is not None
        assert decryptor.header is not None
        context, plaintext = decryptor.header.encryption_context, plaintext_length(rest, unverified)
        encryptor = self._target.encryptor_for(unverified, context, plaintext, bound)
        with DecryptedSource(rest, decryptor, threads=self._threads) as decrypted:
            made = encrypt_stream(decrypted, target, encryptor, threads=self._threads, on_progress=on_progress)
            # Only here is the old message known to be whole and authentic, whoever believed to know its length.
            if decrypted.readinto(memoryview(bytearray(1))):
                raise StreamError("the message holds more than its length says: another program writes to the file")
        return made

    def _check_opens(self, start: bytes, made: Header) -> None:
        """Open the header that was written.

        Raises:
            KeyringError: it does not open.
            KmsUnavailableError: nobody can tell for now.
        """
        try:
            self._target.check_opens(start, made.encryption_context)
        except (AuthenticationError, NoMatchingKeyError, PolicyError) as error:
            refused = KeyringError(f"the new keys do not open the new message, so the old one was kept: {error}")
            refused.add_note("keys that only encrypt cannot show that it opens: --no-verify (verify=False) trusts them")
            raise refused from error


class _Rejoined(io.RawIOBase):
    """A stream of which the beginning has been read."""

    def __init__(self, beginning: bytes, rest: Any) -> None:
        super().__init__()
        self._beginning = memoryview(beginning)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._beginning:
            return read_some(self._rest, memoryview(buffer))
        count = min(len(self._beginning), len(buffer))
        buffer[:count] = self._beginning[:count]
        self._beginning = self._beginning[count:]
        return count


class _Kept:
    """A target of which what is written first, a message's header, is kept."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._missing: int | None = None
        self.start = bytearray()

    def write(self, data: Any, /) -> int | None:
        written: int | None = self._target.write(data)
        missing = len(data) if self._missing is None else self._missing
        piece = data[: min(missing, written or 0)]
        self.start += piece
        self._missing = missing - len(piece)
        return written


def _read_back(written: Any, made: Header) -> bytes:
    data = memoryview(bytearray(made.length))
    read_at(written.fileno(), data, 0)
    return bytes(data)


def _read_header(source: Any) -> tuple[bytes, UnverifiedHeader | None]:
    """Return what was read, and the header in it; ``None`` where it is cut short."""
    data = bytearray()
    buffer = memoryview(bytearray(HEADER_CHUNK))
    needed = 1
    while True:
        count = read_some(source, buffer)
        data += buffer[:count]
        if count and len(data) < needed:
            continue
        try:
            return bytes(data), parse_header(bytes(data), max_header_length=_LONGEST_HEADER)
        except NeedMoreBytes as need:
            if not count:
                return bytes(data), None
            # Every attempt reads it from its start, so there are few of them.
            needed = max(need.total, 2 * len(data))


def _keys(keys: Iterable[str]) -> frozenset[str]:
    if isinstance(keys, str):
        raise TypeError("context keys are a collection, not one text")
    return frozenset(keys)
