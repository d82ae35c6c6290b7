"""Texts with wildcards and variables, as actions, resources and conditions have them.

``*`` stands for any characters, none among them, and ``?`` for one. A pattern is compiled once, and matching is linear
in the text whatever the pattern: pieces between asterisks are searched for one after the other, never anew. Those with
question marks are searched for with one bit for each of their characters (the shift-and algorithm).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Glob", "Lookup", "Token", "Variable", "Wildcard", "glob_of", "resolved", "tokens_of"]

Lookup = Callable[[str], tuple[str, ...]]
"""Takes a condition key in lower case and returns its values in the request, none where it is not there."""


class Wildcard(Enum):
    """A character of a pattern that stands for others."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """``${key}`` or ``${key, 'default'}``.

    Attributes:
        key: in lower case.
        default: what stands for it where the request has no such key.
    """

    key: str
    default: str | None = None


Token = str | Wildcard | Variable
"""A part of a text: characters that stand for themselves, a wildcard or a variable."""

_SPECIAL: Final = re.compile(r"\$\{([^{}]*)\}|[*?]")
_WILDCARD: Final = re.compile(r"[*?]")
_ESCAPED: Final = frozenset("*?$")


def tokens_of(text: str, *, wildcards: bool, variables: bool) -> tuple[Token, ...]:
    """Take ``text`` apart.

    Args:
        text: as it stands in the document.
        wildcards: whether ``*`` and ``?`` are some.
        variables: whether ``${...}`` is one: not before version 2012-10-17 of the language. ``${*}``, ``${?}`` and
            ``${$}`` are the characters themselves.
    """
    tokens: list[Token] = []
    position = 0
    for found in _SPECIAL.finditer(text) if variables else _WILDCARD.finditer(text):
        token: Token = found[0]
        if token not in ("*", "?"):
            token = _variable(found[1])
        elif wildcards:
            token = Wildcard(token)
        tokens += [text[position : found.start()], token]
        position = found.end()
    tokens.append(text[position:])
    return tuple(_joined(tokens))


def resolved(tokens: Iterable[Token], lookup: Lookup) -> tuple[str | Wildcard, ...] | None:
    """Put values for variables; ``None`` where one has no value, or several.

    A wildcard in a value is no wildcard.
    """
    result: list[str | Wildcard] = []
    for token in tokens:
        if isinstance(token, Variable):
            values = lookup(token.key)
            if len(values) > 1:
                return None
            value = values[0] if values else token.default
            if value is None:
                return None
            result.append(value)
        else:
            result.append(token)
    return tuple(result)


class Glob:
    """A pattern without variables, compiled."""

    __slots__ = ("_first", "_last", "_middle", "_shortest")

    def __init__(self, tokens: Sequence[str | Wildcard]) -> None:
        """Compile ``tokens``."""
        pieces = [_piece(parts) for parts in _between_asterisks(tokens)]
        self._first = pieces[0]
        self._last = pieces[-1] if len(pieces) > 1 else None
        self._middle = tuple(piece for piece in pieces[1:-1] if piece.width)
        self._shortest = sum(piece.width for piece in pieces)

    def __call__(self, text: str) -> bool:
        """Return whether the whole of ``text`` matches."""
        first, last = self._first, self._last
        if len(text) < self._shortest or not first.stands_at(text, 0):
            return False
        if last is None:
            return len(text) == self._shortest
        end = len(text) - last.width
        if not last.stands_at(text, end):
            return False
        position = first.width
        for piece in self._middle:
            position = piece.find(text, position, end)
            if position < 0:
                return False
            position += piece.width
        return True


def glob_of(pattern: str) -> Glob:
    """Return ``pattern``, which has wildcards and no variables, compiled."""
    return Glob([Wildcard(part) if part in ("*", "?") else part for part in re.split(r"([*?])", pattern)])


class _Literal:
    __slots__ = ("_text", "width")

    def __init__(self, text: str) -> None:
        self._text = text
        self.width = len(text)

    def stands_at(self, text: str, position: int) -> bool:
        return text.startswith(self._text, position)

    def find(self, text: str, start: int, end: int) -> int:
        return text.find(self._text, start, end)


class _WithHoles:
    """A piece with question marks in it."""

    __slots__ = ("_characters", "_holes", "_masks", "width")

    def __init__(self, characters: Sequence[str | None]) -> None:
        self._characters = tuple(characters)
        self.width = len(self._characters)
        # Bit i of a character's mask says that the character may stand at place i.
        places: dict[str | None, list[int]] = {None: []}
        for place, character in enumerate(self._characters):
            places.setdefault(character, []).append(place)
        holes = _bits(places.pop(None))
        self._masks = {character: holes | _bits(found) for character, found in places.items()}
        self._holes = holes

    def stands_at(self, text: str, position: int) -> bool:
        found = text[position : position + self.width]
        return all(wanted in (None, character) for wanted, character in zip(self._characters, found, strict=False))

    def find(self, text: str, start: int, end: int) -> int:
        masks, holes, whole, state = self._masks, self._holes, 1 << (self.width - 1), 0
        for position in range(start, end):
            state = (state << 1 | 1) & masks.get(text[position], holes)
            if state & whole:
                return position + 1 - self.width
        return -1


def _bits(places: Iterable[int]) -> int:
    digits = bytearray(b"0")
    for place in places:
        digits.extend(b"0" * (place + 1 - len(digits)))
        digits[place] = ord("1")
    # By way of base 16 or 2 the conversion is linear.
    return int(digits[::-1], 2)


def _piece(parts: Sequence[str | Wildcard]) -> _Literal | _WithHoles:
    if all(isinstance(part, str) for part in parts):
        return _Literal("".join(str(part) for part in parts))
    characters: list[str | None] = []
    for part in parts:
        characters.extend(part if isinstance(part, str) else (None,))
    return _WithHoles(characters)


def _between_asterisks(tokens: Sequence[str | Wildcard]) -> list[list[str | Wildcard]]:
    pieces: list[list[str | Wildcard]] = [[]]
    for token in tokens:
        if token is Wildcard.ANY:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


def _variable(name: str) -> str | Variable:
    if name in _ESCAPED:
        return name
    key, comma, default = name.partition(",")
    default = default.strip()
    quoted = len(default) > 1 and default[0] == default[-1] == "'"
    return Variable(key.strip().lower(), default[1:-1] if comma and quoted else None)


def _joined(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yield the tokens with neighbouring texts made one, and without empty ones."""
    texts: list[str] = []
    for token in tokens:
        if isinstance(token, str):
            texts.append(token)
            continue
        if any(texts):
            yield "".join(texts)
        texts = []
        yield token
    if any(texts):
        yield "".join(texts)
