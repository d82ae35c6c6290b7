"""How messages are to be after a rotation, and whether one is so already."""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    KeyringError,
    MessageError,
    NoMatchingKeyError,
    PolicyError,
)
from envelope_sdk.formats.body import BLOCK_OVERHEAD, FINAL_FRAME_MARKER
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD, EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.footer import LENGTH_FIELD
from envelope_sdk.formats.geometry import footer_length, layout_of_body
from envelope_sdk.formats.header import (
    ContentType,
    HeaderBody,
    UnverifiedHeader,
    encode_authentication,
    parse_header,
)
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.keyrings.naming import WrappingKeyName, wrapping_key_material, wrapping_key_name
from envelope_sdk.materials import DecryptionMaterials
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.raw import regular_descriptor

__all__ = ["MessageWriter", "RotationTarget", "plaintext_length"]

_KEPT: Final = 1000
"""Encryption contexts of which it is remembered which keys wrap for them, and names of keys that do not."""


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
    names: Counter[WrappingKeyName]
    materials: frozenset[bytes]


_Asked = tuple[bool, EncryptionContext, frozenset[str]]
"""What decides what a writer makes: whether the old message is signed, the pairs, and the keys of those not stored."""


class RotationTarget:
    """What new messages are like."""

    def __init__(
        self,
        writer: MessageWriter,
        signing_writer: MessageWriter,
        verifier: MachineSource | None,
        reader: Callable[[], MessageDecryptor],
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
        self._reader = reader
        self._reproduced = dict(reproduced)
        self._new = dict(new)
        self._dropped = dropped
        self._unstored = unstored
        self._frame_length = frame_length
        self._verify = verify
        self._made: OrderedDict[_Asked, _Made] = OrderedDict()
        self._others: set[WrappingKeyName] = set()
        self._lock = threading.Lock()

    def encryptor_for(
        self, old: UnverifiedHeader, context: EncryptionContext, length: int | None, bound: int | None = None
    ) -> MessageEncryptor:
        """Return a machine for the new message.

        Args:
            old: the old one's header as it stands there.
            context: every pair that the old one authenticates.
            length: bytes of plaintext, where known.
            bound: the most bytes of plaintext, where only that is known.
        """
        pairs, unstored = self._context(old, context)
        machine = self._writers[old.body.algorithm_suite.signed].encryptor(
            encryption_context=pairs,
            plaintext_length=length,
            **({} if length is not None or bound is None else {"plaintext_bound": bound}),
            frame_length=self._frame_length or old.body.frame_length or None,
            required_context_keys=unstored,
        )
        self._note((old.body.algorithm_suite.signed, pairs, unstored), _names_of(old.body), _names_of(machine.header))
        return machine

    def has(self, old: UnverifiedHeader, *, ask_less: bool = False) -> bool:
        """Return whether a message is as its new one would be, by its header.

        Args:
            old: the message's.
            ask_less: take a message for undone, without asking the writer, where its keys are those of messages that
                this was used to rotate.
        """
        body = old.body
        names = _names_of(body)
        if not self._is_cut_as_wanted(body) or (ask_less and names.keys() <= self._others):
            return False
        given = body.encryption_context.merged(self._reproduced)
        pairs, unstored = self._context(old, given)
        stored = body.encryption_context.without((PUBLIC_KEY_FIELD,))
        if pairs.reserved_keys or (stored is not body.encryption_context) is not body.algorithm_suite.signed:
            # Nobody writes such a message; whoever reads it will find out what is wrong with it.
            return False
        made = self._made_of(body.algorithm_suite.signed, pairs, unstored)
        if (body.algorithm_suite, stored) != made[:2] or not _covers(names, made.names):
            return False
        doubtful = [
            key
            for key in dict.fromkeys(body.encrypted_data_keys)
            if not wrapping_key_name(key).unique or wrapping_key_material(key) not in made.materials
        ]
        return self._opens_as_wanted(old, pairs, doubtful, given)

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

    def _is_cut_as_wanted(self, body: HeaderBody) -> bool:
        wanted = self._frame_length
        return wanted is None or (body.content_type is ContentType.FRAMED and body.frame_length == wanted)

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
        body = parse_header(machine.start()).body
        stored = body.encryption_context.without((PUBLIC_KEY_FIELD,))
        materials = frozenset(map(wrapping_key_material, body.encrypted_data_keys))
        made = _Made(body.algorithm_suite, stored, _names_of(body), materials)
        with self._lock:
            self._made[asked] = made
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made

    def _note(self, asked: _Asked, old: Counter[WrappingKeyName], new: Counter[WrappingKeyName]) -> None:
        """Remember whose messages are not as wanted, and forget what an alias or a branch key was before."""
        with self._lock:
            if (made := self._made.get(asked)) is not None and made.names != new:
                del self._made[asked]
            if len(self._others) > _KEPT:
                self._others.clear()
            self._others |= old.keys()
            self._others -= new.keys()

    def _opens_as_wanted(
        self,
        old: UnverifiedHeader,
        pairs: EncryptionContext,
        doubtful: Sequence[EncryptedDataKey],
        given: EncryptionContext,
    ) -> bool:
        """Return whether the new keys open a message whose header is as wanted, as far as that leaves it in doubt.

        Args:
            old: its header.
            pairs: those that the new message is to have.
            doubtful: its wrapped data keys of whose wrapping keys the names say too little.
            given: the pairs that it has, as far as is known.
        """
        stored = old.body.encryption_context
        if self._verify:
            # A pair that was given and is not stored may be among those that open the message, wanted or not.
            doubt = given.keys() != stored.keys() or not pairs.keys() <= stored.keys()
            unstored = pairs.without(stored)
            return all(self._opens(old, unstored, key) for key in doubtful or _alone(doubt))
        doubt = given.without((PUBLIC_KEY_FIELD,)) != pairs
        return not any(self._is_old(old, key) for key in doubtful or _alone(doubt))

    def _opens(self, old: UnverifiedHeader, unstored: EncryptionContext, key: EncryptedDataKey | None) -> bool:
        """Return whether the new keys open a message, with just these pairs that it does not store."""
        try:
            _open(self._verifier.decryptor(encryption_context=unstored), old, key)
        except (AuthenticationError, NoMatchingKeyError, PolicyError):
            return False
        return True

    def _is_old(self, old: UnverifiedHeader, key: EncryptedDataKey | None) -> bool:
        """Return whether a message that looks as wanted may be one to rotate, since the old keys open it."""
        try:
            _open(self._reader(), old, key)
        except (AuthenticationError, NoMatchingKeyError, ContextMismatchError, KeyringError):
            return False
        except PolicyError:
            # It is not known, and rotating it says why.
            return True
        return True


def _open(machine: MessageDecryptor, old: UnverifiedHeader, key: EncryptedDataKey | None) -> None:
    """Authenticate a header, by one of its wrapped data keys alone where one is given.

    Raises:
        As :meth:`envelope_sdk.message.decryptor.MessageDecryptor.read_header`.
    """
    if key is not None:
        materials_for, alone = machine.materials_for, old._replace(body=old.body._replace(encrypted_data_keys=(key,)))

        def of_it_alone(_header: UnverifiedHeader) -> DecryptionMaterials:
            return materials_for(alone)

        machine.materials_for = of_it_alone
    machine.read_header(old.raw + encode_authentication(old.body.algorithm_suite, old.iv, old.tag))


def _alone(doubt: bool) -> list[None]:
    return [None] if doubt else []


def _names_of(header: HeaderBody | Header) -> Counter[WrappingKeyName]:
    return Counter(map(wrapping_key_name, header.encrypted_data_keys))


def _covers(found: Counter[WrappingKeyName], wanted: Counter[WrappingKeyName]) -> bool:
    """Return whether just the wanted keys are there; as often as they are wanted, where several may have one name."""
    return found.keys() == wanted.keys() and all(name.unique or found[name] >= wanted[name] for name in wanted)


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
