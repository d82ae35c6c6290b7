"""Options that several words follow, as those of aws-encryption-cli: ``--caching capacity=10 max_age=60``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import click

__all__ = ["CACHING_WORDS", "WRAPPING_KEY_WORDS", "WordsCommand", "words_of"]

WRAPPING_KEY_WORDS: Final = (
    *("provider", "region", "profile", "discovery", "discovery-partition"),
    *("key", "discovery-account"),
)
"""Names of the words that follow ``--wrapping-keys``, or ``-w``."""

CACHING_WORDS: Final = ("capacity", "max_age", "max_messages_encrypted", "max_bytes_encrypted")
"""Names of the words that follow ``--caching``."""

_NAMES: Final[Mapping[str, Sequence[str]]] = {"--wrapping-keys": WRAPPING_KEY_WORDS, "--caching": CACHING_WORDS}
# The short name may follow those of options without a value.
_SHORT: Final = re.compile("-[fnqr]*w")
# No argument of a program can hold this one.
_BETWEEN: Final = "\0"


class WordsCommand(click.Command):
    """A command with options that several words follow, which click does not have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the words that follow such an option, then have click read all."""
        return super().parse_args(ctx, _joined(args))


def words_of(option: str, names: Sequence[str]) -> list[tuple[str, str]] | str:
    """Return names and values of the words of an option, or the first that is none of them.

    Args:
        option: what follows the option, as :class:`WordsCommand` joins it.
        names: of the words there are.
    """
    words = option.split(_BETWEEN)
    for word in words:
        if not _is_word(word, names):
            return word
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _joined(args: Sequence[str]) -> list[str]:
    joined: list[str] = []
    words: list[str] = []
    names: Sequence[str] = ()
    for at, arg in enumerate(args):
        if _is_word(arg, names):
            words.append(arg)
            continue
        if words:
            joined.append(_BETWEEN.join(words))
        if arg == "--":
            return [*joined, *args[at:]]
        option, words, names = _begun(arg)
        joined.append(option)
    return [*joined, _BETWEEN.join(words)] if words else joined


def _begun(arg: str) -> tuple[str, list[str], Sequence[str]]:
    """Return the option without its first word, the words so far, and the names of those that may follow."""
    option, equals, word = arg.partition("=")
    if option in _NAMES:
        return option, [word] if equals else [], _NAMES[option]
    short = _SHORT.match(arg)
    if short is not None and (short[0] == arg or _is_word(arg[short.end() :], WRAPPING_KEY_WORDS)):
        return short[0], [arg[short.end() :]] if short[0] != arg else [], WRAPPING_KEY_WORDS
    return arg, [], ()


def _is_word(arg: str, names: Sequence[str]) -> bool:
    name, equals, _ = arg.partition("=")
    return bool(equals) and name in names
