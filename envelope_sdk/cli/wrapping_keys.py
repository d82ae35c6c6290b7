"""``-w``: keys as aws-encryption-cli names them.

``--wrapping-keys key=ARN key=ARN region=eu-west-1`` is one option followed by words. Every key in it wraps, and
the option may be repeated. It means what it means there; what cannot be meant here is told with what to write instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from envelope_sdk.cli.words import WRAPPING_KEY_WORDS, words_of
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.uri import KeyringUri

__all__ = ["uris_of_wrapping_keys"]

_SINGLE: Final = ("provider", "region", "profile", "discovery", "discovery-partition")
_PROVIDERS: Final = ("aws-kms", "aws-encryption-sdk-cli::aws-kms")


def uris_of_wrapping_keys(options: Sequence[str], *, encrypting: bool) -> list[KeyringUri]:
    """Return the keys that ``-w`` names, in order.

    Args:
        options: what follows each ``-w``, as :class:`~envelope_sdk.cli.words.WordsCommand` joins it.
        encrypting: whether they are to encrypt.

    Raises:
        click.UsageError: the words do not go together, or name something that is not here.
    """
    return [uri for option in options for uri in _uris(_parsed(option), encrypting=encrypting)]


def _parsed(option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    words = words_of(option, WRAPPING_KEY_WORDS)
    if isinstance(words, str):
        names = ", ".join(f"{each}=" for each in WRAPPING_KEY_WORDS)
        raise click.UsageError(
            f"-w takes words of the form key=ARN, not {words!r} (there are {names}); "
            f"for any other kind of key, write --key URI"
        )
    for name, value in words:
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
