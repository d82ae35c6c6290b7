"""How messages are to be after a rotation, and whether one is so already."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from envelope_sdk.errors import AuthenticationError, MessageError, NoMatchingKeyError, PolicyError
from envelope_sdk.formats.body import BLOCK_OVERHEAD, FINAL_FRAME_MARKER
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD, EncryptionContext
from envelope_sdk.formats.footer import LENGTH_FIELD
from envelope_sdk.formats.geometry import footer_length, layout_of_body
from envelope_sdk.formats.header import ContentType, UnverifiedHeader, encode_authentication, parse_header
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.keyrings.naming import WrappingKeyName, wrapping_key_name
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.raw import regular_descriptor

__all__ = ["MessageWriter", "RotationTarget", "plaintext_length"]

_KEPT: Final = 1000
"""Encryption contexts of which it is remembered which keys wrap for them."""


class MessageWriter(MachineSource, Protocol):
    """What makes the new messages; :class:`envelope_sdk.Client` is one."""

    @property
    def threads(self) -> int:
        """The most threads that one message may use."""
        ...

    def encryptor(
        self,
        *,
        encryption_context: Mapping[str, str] | None = ...,
        plaintext_length: int | None = ...,
        frame_length: int | None = ...,
        required_context_keys: Iterable[str] = ...,
    ) -> MessageEncryptor:
        """Return a machine for a new message."""
        ...


class _Made(NamedTuple):
    """What a writer made of a context."""

    algorithm_suite: AlgorithmSuite
    stored: EncryptionContext
    names: frozenset[WrappingKeyName]


class RotationTarget:
    """What new messages are like."""

    def __init__(
        self,
        writer: MessageWriter,
        signing_writer: MessageWriter,
        verifier: MachineSource | None,
        *,
        reproduced: Mapping[str, str],
        new: Mapping[str, str],
        dropped: frozenset[str],
        unstored: frozenset[str],
        frame_length: int | None,
        verify: bool,
    ) -> None:
        """Take what :class:`~envelope_sdk.streams.rotation.Rotation` was told."""
        self._writers = {False: writer, True: signing_writer}
        self._verifier = verifier or writer
        self._reproduced = dict(reproduced)
        self._new = dict(new)
        self._dropped = dropped
        self._unstored = unstored
        self._frame_length = frame_length
        self._verify = verify
        self._made: OrderedDict[tuple[bool, EncryptionContext, frozenset[str]], _Made] = OrderedDict()
        self._seen: set[WrappingKeyName] = set()
        self._lock = threading.Lock()

    def encryptor_for(self, old: UnverifiedHeader, context: EncryptionContext, length: int | None) -> MessageEncryptor:
        """Return a machine for the new message.

        Args:
            old: the old one's header as it stands there.
            context: every pair that the old one authenticates.
            length: bytes of plaintext, where known.
        """
        pairs, unstored = self._context(old, context)
        machine = self._writers[old.body.algorithm_suite.signed].encryptor(
            encryption_context=pairs,
            plaintext_length=length,
            frame_length=self._frame_length or old.body.frame_length or None,
            required_context_keys=unstored,
        )
        self._seen.update(map(wrapping_key_name, machine.header.encrypted_data_keys))
        return machine

    def has(self, old: UnverifiedHeader, *, ask_less: bool = False) -> bool:
        """Return whether a message is as its new one would be, by its header.

        Args:
            old: the message's.
            ask_less: take a message for undone, without asking the writer, where none of its keys has wrapped before.
        """
        body = old.body
        framed = body.content_type is ContentType.FRAMED
        if self._frame_length is not None and not (framed and body.frame_length == self._frame_length):
            return False
        names = frozenset(map(wrapping_key_name, body.encrypted_data_keys))
        if ask_less and self._seen and not names & self._seen:
            return False
        pairs, unstored = self._context(old, body.encryption_context.merged(self._reproduced))
        if pairs.reserved_keys:
            # Nobody writes such a message; whoever reads it will find out what is wrong with it.
            return False
        stored = body.encryption_context.without((PUBLIC_KEY_FIELD,))
        made = self._made_of(body.algorithm_suite.signed, pairs, unstored)
        if (body.algorithm_suite, stored, names) != made:
            return False
        return not self._verify or self._opens(old, pairs.without(stored))

    def check_opens(self, data: bytes, pairs: EncryptionContext) -> None:
        """Authenticate the header of a new message.

        Args:
            data: the header's bytes.
            pairs: the message's, stored or not.

        Raises:
            As :meth:`envelope_sdk.message.decryptor.MessageDecryptor.read_header`.
        """
        unstored = pairs.without(parse_header(data).body.encryption_context)
        self._verifier.decryptor(encryption_context=unstored).read_header(data)

    def _context(self, old: UnverifiedHeader, context: EncryptionContext) -> tuple[EncryptionContext, frozenset[str]]:
        """Return the new message's pairs, and the keys of those that it is not to store."""
        pairs = context.without((PUBLIC_KEY_FIELD, *self._dropped)).merged(self._new)
        unstored = context.keys() - old.body.encryption_context.keys() - self._new.keys()
        return pairs, frozenset((unstored | self._unstored) & pairs.keys())

    def _made_of(self, signed: bool, pairs: EncryptionContext, unstored: frozenset[str]) -> _Made:
        """Return what a new message of these pairs is like, which only making one tells."""
        asked = signed, pairs, unstored
        with self._lock:
            made = self._made.get(asked)
        if made is not None:
            return made
        machine = self._writers[signed].encryptor(
            encryption_context=pairs, plaintext_length=0, required_context_keys=unstored
        )
        suite, _, stored, keys, *_ = parse_header(machine.start()).body
        made = _Made(suite, stored.without((PUBLIC_KEY_FIELD,)), frozenset(map(wrapping_key_name, keys)))
        with self._lock:
            self._seen |= made.names
            self._made[asked] = made
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made

    def _opens(self, old: UnverifiedHeader, unstored: EncryptionContext) -> bool:
        """Return whether a message opens, as far as its names and stored pairs leave that in doubt."""
        body = old.body
        doubtful = [key for key in body.encrypted_data_keys if not wrapping_key_name(key).unique]
        if not doubtful and not unstored:
            return True
        machine = self._verifier.decryptor(encryption_context=unstored)
        try:
            for key in doubtful:
                machine.materials_for(old._replace(body=body._replace(encrypted_data_keys=(key,))))
            machine.read_header(old.raw + encode_authentication(body.algorithm_suite, old.iv, old.tag))
        except (AuthenticationError, NoMatchingKeyError, PolicyError):
            return False
        return True


def plaintext_length(source: Any, header: UnverifiedHeader) -> int | None:
    """Return how many bytes of plaintext the message in a regular file holds, if it is authentic.

    ``None`` where that is not known before all of it was read, or where the message is not whole.
    """
    descriptor = regular_descriptor(source)
    if descriptor is None:
        return None
    suite, *_, content_type, frame_length, _ = header.body
    footer = footer_length(suite)
    body_end = os.fstat(descriptor).st_size - footer
    if body_end < header.length:
        return None
    if footer and os.pread(descriptor, LENGTH_FIELD, body_end) != (footer - LENGTH_FIELD).to_bytes(LENGTH_FIELD, "big"):
        return None
    if content_type is not ContentType.FRAMED:
        length = body_end - header.length - BLOCK_OVERHEAD
        return length if length >= 0 else None
    try:
        layout = layout_of_body(header.length, body_end - header.length, frame_length)
    except MessageError:
        return None
    marker = os.pread(descriptor, len(FINAL_FRAME_MARKER), layout.frame_offset(layout.regular_frames + 1))
    return layout.plaintext_length if marker == FINAL_FRAME_MARKER else None
