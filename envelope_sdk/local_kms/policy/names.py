"""ARNs as policies match them: part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from envelope_sdk.local_kms.policy.patterns import Glob, Lookup, Token, Variable, Wildcard, resolved

__all__ = ["ARN_PARTS", "ArnPattern", "arn_parts", "split_at_colons"]

ARN_PARTS: Final = 6
"""``arn``, partition, service, Region, account, and a rest that may hold colons of its own."""


def arn_parts(text: str) -> list[str]:
    """Return the parts of an ARN; other texts have fewer than six."""
    return text.split(":", ARN_PARTS - 1)


def split_at_colons(tokens: Sequence[Token]) -> list[list[Token]]:
    """Return the tokens of each part of an ARN with wildcards and variables."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            parts[-1].append(token)
            continue
        head, *rest = token.split(":", ARN_PARTS - len(parts))
        parts[-1].append(head)
        parts.extend([text] for text in rest)
    return parts


class ArnPattern:
    """Matches ARNs part by part: a wildcard does not reach over a colon, save in the last part.

    An asterisk that ends the pattern before its sixth part stands for all that follow, as in ``arn:aws:kms:*``.
    """

    __slots__ = ("_globs", "_rest", "_whole")

    def __init__(self, tokens: Sequence[Token]) -> None:
        """Compile ``tokens``. Variables are resolved for each request, wherever they stand."""
        parts = split_at_colons(tokens)
        if tokens and tokens[-1] is Wildcard.ANY:
            parts += [[Wildcard.ANY] for _ in range(ARN_PARTS - len(parts))]
        self._whole = len(parts) == ARN_PARTS
        self._globs = [_glob(part) for part in parts]
        self._rest = [part if glob is None else () for part, glob in zip(parts, self._globs, strict=True)]

    def matches(self, parts: Sequence[str], lookup: Lookup) -> bool:
        """Return whether an ARN, taken apart by :func:`arn_parts`, matches."""
        if not self._whole or len(parts) != ARN_PARTS:
            return False
        for glob, part, tokens in zip(self._globs, parts, self._rest, strict=True):
            if glob is None:
                known = resolved(tokens, lookup)
                if known is None or not Glob(known)(part):
                    return False
            elif not glob(part):
                return False
        return True


def _glob(tokens: Sequence[Token]) -> Glob | None:
    known = [token for token in tokens if not isinstance(token, Variable)]
    return Glob(known) if len(known) == len(tokens) else None
