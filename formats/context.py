"""The encryption context: what it may hold and how it is written (framework/structures.md, "encryption context").

Serialized, its pairs are sorted by the unsigned bytes of their UTF-8 keys. Some writers in the field sorted
otherwise, so a parsed context keeps the bytes it came in, which are what the header's tag covers, beside the canonical
ones, which are what wrapped data keys are bound to.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping
from typing import Any, Final, TypeVar, overload

from envelope_sdk.errors import EncryptionContextError
from envelope_sdk.formats.cursor import Cursor, NeedMoreBytes

__all__ = ["MAX_LENGTH", "PUBLIC_KEY_FIELD", "RESERVED_PREFIX", "EncryptionContext"]

MAX_LENGTH: Final = 0xFFFF
"""Bytes that a serialized context, its pair count included, may take: its length field has 16 bits."""

RESERVED_PREFIX: Final = "aws-crypto-"
"""Keys that begin so belong to the message format; callers may not use them."""

PUBLIC_KEY_FIELD: Final = "aws-crypto-public-key"
"""The key under which a signed message carries its verification key."""

_SECTION: Final = "encryption context"
_RESERVED_BYTES: Final = RESERVED_PREFIX.encode()

_T = TypeVar("_T")


class EncryptionContext(Mapping[str, str]):
    """An immutable mapping of text to text, checked when it is made, that knows its serialized form.

    It equals any mapping with the same pairs. It is public: it is stored in clear and may appear in logs.
    """

    __slots__ = ("_canonical", "_field", "_pairs", "_wire")

    def __init__(self, pairs: Mapping[str, str] | None = None) -> None:
        """Copy and check ``pairs``.

        Raises:
            TypeError: ``pairs`` is not a mapping, or a key or value is not ``str``.
            EncryptionContextError: a key or value is not encodable as UTF-8, or all together take more than 65,535
                bytes.
        """
        # Most often it is a dict, and abstract classes take their time to say so.
        kind = type(pairs)
        if pairs is not None and kind is not dict and not isinstance(pairs, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an encryption context is a mapping of text to text, not {type(pairs).__name__}")
        self._pairs: dict[str, str] = dict(pairs) if pairs else {}
        self._canonical = _encode_pairs(self._pairs) if self._pairs else b""
        self._wire = self._canonical
        self._field: bytes | None = None

    @classmethod
    def of(cls, pairs: Mapping[str, str] | None) -> EncryptionContext:
        """Return ``pairs`` itself where it is a context already, else a context made from it."""
        if pairs is None:
            return _EMPTY
        kind = type(pairs)
        if kind is not dict and isinstance(pairs, EncryptionContext):
            return pairs
        # All empty contexts are one object. Other things that are empty are refused as ever.
        return _EMPTY if pairs == {} else cls(pairs)

    @property
    def canonical(self) -> bytes:
        """The pair count and the sorted pairs; empty for an empty context. Keyrings bind data keys to this."""
        return self._canonical

    @property
    def reserved_keys(self) -> tuple[str, ...]:
        """The keys in it that belong to the message format."""
        if self._canonical.find(_RESERVED_BYTES) < 0:
            return ()
        return tuple(key for key in self._pairs if key.startswith(RESERVED_PREFIX))

    def only(self, keys: Iterable[str]) -> EncryptionContext:
        """Return a context of just those of ``keys`` that are in this one."""
        return EncryptionContext({key: self._pairs[key] for key in keys if key in self._pairs})

    def without(self, keys: Iterable[str]) -> EncryptionContext:
        """Return a context of all pairs but those of ``keys``; this one itself where it has none of them."""
        left_out = self._pairs.keys() & set(keys)
        if not left_out:
            return self
        return EncryptionContext({key: value for key, value in self._pairs.items() if key not in left_out})

    def merged(self, other: Mapping[str, str]) -> EncryptionContext:
        """Return a context with the pairs of both; those of ``other`` win. This one itself where nothing changes."""
        if not other or other.items() <= self._pairs.items():
            return self
        return EncryptionContext({**self._pairs, **other})

    def sorted(self) -> EncryptionContext:
        """Return a context that writes its pairs sorted; this one itself where it does so already."""
        return self if self._wire == self._canonical else EncryptionContext(self._pairs)

    def encode(self) -> bytes:
        """Return the header's field: a 16-bit length, then the pairs as parsed, or sorted where made by a caller."""
        field = self._field
        if field is None:
            field = self._field = len(self._wire).to_bytes(2, "big") + self._wire
        return field

    @classmethod
    def parse(cls, cursor: Cursor) -> EncryptionContext:
        """Read the header's field.

        Raises:
            MessageError: a pair reaches past the field, bytes are left in it, a key stands twice, or a key or value
                is not UTF-8.
        """
        cursor.section = _SECTION
        length = cursor.u16()
        if length == 0:
            return _EMPTY
        wire = cursor.take(length)
        context = cls()
        context._pairs = pairs = _parse_pairs(wire, cursor)
        context._wire = wire
        context._canonical = wire if _is_sorted(pairs) else _encode_pairs(pairs)
        return context

    # Mapping's own are built from __iter__ and __getitem__; a dictionary's cost a tenth.
    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._pairs.keys()

    def items(self) -> ItemsView[str, str]:
        """Return the pairs."""
        return self._pairs.items()

    @overload
    def get(self, key: str, /) -> str | None: ...
    @overload
    def get(self, key: str, /, default: str) -> str: ...
    @overload
    def get(self, key: str, /, default: _T) -> str | _T: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` where there is none."""
        return self._pairs.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._pairs

    def __getitem__(self, key: str) -> str:
        return self._pairs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __repr__(self) -> str:
        return f"EncryptionContext({self._pairs!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (EncryptionContext, (self._pairs,))


def _encode_pairs(pairs: Mapping[str, str]) -> bytes:
    encoded = [(_encode_text(key), _encode_text(value)) for key, value in pairs.items()]
    encoded.sort()
    size = 2
    parts = [b""]
    for key, value in encoded:
        size += 4 + len(key) + len(value)
        parts += (len(key).to_bytes(2, "big"), key, len(value).to_bytes(2, "big"), value)
    if size > MAX_LENGTH:
        raise EncryptionContextError(
            f"the encryption context takes {size} bytes serialized; the message format allows {MAX_LENGTH}"
        )
    parts[0] = len(encoded).to_bytes(2, "big")
    return b"".join(parts)


def _encode_text(text: str) -> bytes:
    # Anything may arrive here at run time, and bytes would otherwise pass for text further down.
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"encryption context keys and values are str, not {type(text).__name__}")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise EncryptionContextError(f"encryption context text is not encodable as UTF-8: {text!r}") from None
    if len(encoded) > MAX_LENGTH:
        raise EncryptionContextError(
            f"an encryption context key or value takes {len(encoded)} bytes; the message format allows {MAX_LENGTH}"
        )
    return encoded


def _is_sorted(pairs: Mapping[str, str]) -> bool:
    # Text orders by code points, and UTF-8 keeps their order.
    return len(pairs) < 2 or list(pairs) == sorted(pairs)


def _parse_pairs(wire: bytes, outer: Cursor) -> dict[str, str]:
    start = outer.position - len(wire)
    inner = Cursor(wire, _SECTION)
    pairs: dict[str, str] = {}
    try:
        count = inner.u16()
        if count == 0:
            raise outer.error("the context has a length but no pairs", back=len(wire))
        for _ in range(count):
            key = _parse_text(inner, outer, start)
            if key in pairs:
                back = len(wire) - inner.position + len(key.encode())
                raise outer.error(f"the context key {key!r} stands twice", back=back)
            pairs[key] = _parse_text(inner, outer, start)
    except NeedMoreBytes:
        raise outer.error("a context pair reaches past the context", back=len(wire) - inner.position) from None
    if inner.position != len(wire):
        raise outer.error("bytes are left over after the context's last pair", back=len(wire) - inner.position)
    return pairs


def _parse_text(inner: Cursor, outer: Cursor, start: int) -> str:
    raw = inner.take_counted()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        back = outer.position - (start + inner.position - len(raw))
        raise outer.error("a context key or value is not UTF-8", back=back) from None


_EMPTY: Final = EncryptionContext()
