"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = ["SUITES", "context_pairs", "many_options", "store_option", "transfer_options"]

SUITES: Final = {f"0x{suite.suite_id:04x}": suite for suite in AlgorithmSuite}
"""Algorithm suites by what options call them."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def store_option(command: _Command) -> _Command:
    """Add ``--kms-store``."""
    return click.option(
        "--kms-store",
        metavar="FILE",
        envvar="ENVELOPE_KMS_STORE",
        help="File or postgresql:// URL of the local KMS"
        " (default: envelope/kms.db in $XDG_DATA_HOME or ~/.local/share).",
    )(command)


def transfer_options(command: _Command) -> _Command:
    """Add what ``encrypt``, ``decrypt`` and ``rotate`` have in common."""
    for option in reversed(
        (
            click.argument("inputs", nargs=-1, required=True, metavar="FILE..."),
            click.option("-o", "--output", metavar="PATH", help="File, folder, or '-' for standard output."),
            click.option("-k", "--key", "keys", multiple=True, metavar="KEY", help="Key to use; may be repeated."),
            click.option(
                "-w",
                "--wrapping-keys",
                multiple=True,
                metavar="WORD=VALUE...",
                help="Keys of AWS KMS as aws-encryption-cli takes them: key=ARN region= profile= discovery=true ...",
            ),
            click.option("-r", "--recursive", is_flag=True, help="Take everything in folders."),
            click.option("-f", "--force", is_flag=True, help="Replace existing files."),
            click.option(
                "--suffix",
                default=".enc",
                show_default=True,
                callback=_checked_suffix,
                help="Ending of encrypted files' names.",
            ),
            click.option("--metadata", metavar="FILE", help="Append a JSON line a message to FILE, or '-'."),
            click.option(
                "--threads",
                type=click.IntRange(1),
                metavar="N",
                help="Threads that one file may use (default: one a processor, up to 4).",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors, and no progress."),
            click.option(
                "--max-encrypted-data-keys",
                type=click.IntRange(1, 65535),
                default=100,
                show_default=True,
                help="Refuse messages with more wrapped keys.",
            ),
        )
    ):
        command = option(command)
    return store_option(command)


def many_options(command: _Command) -> _Command:
    """Add ``--jobs`` and ``--journal``."""
    journal = click.option(
        "--journal",
        metavar="FILE",
        help="Note in FILE what is done; the same command again does the rest.",
    )
    jobs = click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes that share many files. Pays for thousands, or hundreds that wait for keys.",
    )
    return jobs(journal(command))


def _checked_suffix(_ctx: click.Context, _parameter: click.Parameter, suffix: str) -> str:
    if not suffix or os.sep in suffix:
        raise click.BadParameter("an ending of file names has at least one character and no slash")
    return suffix


def context_pairs(values: Sequence[str], *, bare_keys: bool) -> tuple[dict[str, str], list[str]]:
    """Return the pairs of ``KEY=VALUE`` arguments and, where allowed, the keys given without a value.

    Raises:
        click.UsageError: one has no ``=``, an empty key, or a key stands twice.
    """
    pairs: dict[str, str] = {}
    keys: list[str] = []
    for value in values:
        key, separator, text = value.partition("=")
        if not key or not (separator or bare_keys):
            raise click.UsageError(f"encryption context {value!r} is not of the form key=value")
        if key in pairs or key in keys:
            raise click.UsageError(f"the encryption context key {key!r} stands twice")
        if separator:
            pairs[key] = text
        else:
            keys.append(key)
    return pairs, keys
