"""``-w``: keys as aws-encryption-cli names them.

``--wrapping-keys key=ARN key=ARN region=eu-west-1`` is one option followed by words. Every key in it wraps, and
the option may be repeated. It means what it means there; what cannot be meant here is told with what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import click

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.uri import KeyringUri

__all__ = ["WrappingKeysCommand", "uris_of_wrapping_keys"]

_LONG: Final = "--wrapping-keys="
# The short name may follow those of options without a value.
_SHORT: Final = re.compile("-[fqr]*w")
_OPTION: Final = re.compile(f"{_SHORT.pattern}|{_LONG[:-1]}")
_SINGLE: Final = ("provider", "region", "profile", "discovery", "discovery-partition")
_WORDS: Final = (*_SINGLE, "key", "discovery-account")
_PROVIDERS: Final = ("aws-kms", "aws-encryption-sdk-cli::aws-kms")
# No argument of a program can hold this one.
_BETWEEN: Final = "\0"


class WrappingKeysCommand(click.Command):
    """A command with an option that several words follow, which click does not have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the words that follow the option, then have click read all."""
        return super().parse_args(ctx, _joined(args))


def _joined(args: Sequence[str]) -> list[str]:
    joined: list[str] = []
    words: list[str] | None = None
    for at, arg in enumerate(args):
        if words is not None and _is_word(arg):
            words.append(arg)
            continue
        if words:
            joined.append(_BETWEEN.join(words))
        words = None
        if arg == "--":
            return [*joined, *args[at:]]
        option, words = _begun(arg)
        joined.append(option)
    return [*joined, _BETWEEN.join(words)] if words else joined


def _begun(arg: str) -> tuple[str, list[str] | None]:
    """Return the option without its first word, and the words so far; ``None`` where it is no such option."""
    if _OPTION.fullmatch(arg):
        return arg, []
    long = arg.removeprefix(_LONG)
    if long != arg:
        return _LONG[:-1], [long]
    short = _SHORT.match(arg)
    if short is not None and _is_word(arg[short.end() :]):
        return short[0], [arg[short.end() :]]
    return arg, None


def _is_word(arg: str) -> bool:
    name, equals, _ = arg.partition("=")
    return bool(equals) and name in _WORDS


def uris_of_wrapping_keys(options: Sequence[str], *, encrypting: bool) -> list[KeyringUri]:
    """Return the keys that ``-w`` names, in order.

    Args:
        options: what follows each ``-w``, as :class:`WrappingKeysCommand` joins it.
        encrypting: whether they are to encrypt.

    Raises:
        click.UsageError: the words do not go together, or name something that is not here.
    """
    return [uri for option in options for uri in _uris(_parsed(option), encrypting=encrypting)]


def _parsed(option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in option.split(_BETWEEN):
        name, _, value = word.partition("=")
        if not _is_word(word):
            words = ", ".join(f"{each}=" for each in _WORDS)
            raise click.UsageError(
                f"-w takes words of the form key=ARN, not {word!r} (there are {words}); "
                f"for any other kind of key, write --key URI"
            )
        if not value:
            raise click.UsageError(f"{name}= has no value in -w")
        found.setdefault(name, []).append(value)
    for name in _SINGLE:
        if len(found.get(name, ())) > 1:
            raise click.UsageError(f"{name}= stands twice in one -w: write a -w for each")
    return found


def _uris(words: dict[str, list[str]], *, encrypting: bool) -> list[KeyringUri]:
    provider = words.get("provider", ["aws-kms"])[0]
    if provider not in _PROVIDERS:
        raise click.UsageError(
            f"provider={provider} is for plug-ins of aws-encryption-cli: here, write --key SCHEME://... "
            "('envelope keyrings' lists the schemes)"
        )
    discovery = words.get("discovery", ["false"])[0].lower()
    if discovery not in ("true", "false"):
        raise click.UsageError(f"discovery={discovery} is neither discovery=true nor discovery=false")
    if discovery == "true":
        return [_discovery(words, encrypting=encrypting)]
    for name in ("discovery-account", "discovery-partition"):
        if name in words:
            raise click.UsageError(f"{name}= goes with discovery=true")
    if "key" not in words:
        also = "" if encrypting else ", or discovery=true"
        raise click.UsageError(f"-w needs key=ARN{also}")
    return [_strict(key, words, encrypting=encrypting) for key in words["key"]]


def _strict(key: str, words: dict[str, list[str]], *, encrypting: bool) -> KeyringUri:
    parameters: dict[str, tuple[str, ...]] = {
        name: tuple(words[name]) for name in ("region", "profile") if name in words
    }
    if key.startswith("arn:"):
        from envelope_sdk.keyrings.kms.arn import KmsArn

        # There, the Region is for keys that do not name theirs.
        parameters.pop("region", None)
        try:
            arn = KmsArn.parse(key)
        except UsageError as error:
            raise click.UsageError(f"key= in -w: {error}") from None
        is_key = arn.resource_type == "key"
    else:
        is_key = False
    if not (is_key or encrypting):
        raise click.UsageError(f"to decrypt, key= is the ARN of a key, which {key!r} is not; or write discovery=true")
    return KeyringUri("aws-kms", key, parameters)


def _discovery(words: dict[str, list[str]], *, encrypting: bool) -> KeyringUri:
    if encrypting:
        raise click.UsageError("discovery=true is for decrypting: to encrypt, name each key with key=")
    if "key" in words:
        raise click.UsageError("key= and discovery=true do not go together: write a -w for each")
    if ("discovery-account" in words) != ("discovery-partition" in words):
        raise click.UsageError("discovery-account= and discovery-partition= go together")
    names = {
        "region": "region",
        "profile": "profile",
        "discovery-partition": "partition",
        "discovery-account": "account",
    }
    return KeyringUri("aws-kms-discovery", "", {names[name]: tuple(words[name]) for name in names if name in words})
