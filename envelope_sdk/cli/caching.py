"""Data keys for many files, and figures of what was asked of keys: ``--cache-seconds``, ``--caching``, ``--stats``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from envelope_sdk.cli.amounts import Amount
from envelope_sdk.cli.terminal import say
from envelope_sdk.cli.words import CACHING_WORDS, words_of
from envelope_sdk.keyrings.kms.calls import CountedCalls, counted_calls
from envelope_sdk.managers.default import DefaultMaterialsManager
from envelope_sdk.materials import Keyring, MaterialsManager

if TYPE_CHECKING:
    from envelope_sdk.managers.usage import MaterialsUsage

__all__ = [
    "Caching",
    "caching_of",
    "caching_options",
    "materials_manager",
    "stats_of",
    "stats_options",
    "tell_calls",
    "tell_usage",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MAX_MESSAGES = 2**32
_MAX_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Caching:
    """What the options say.

    Attributes:
        seconds: how long a data key is used; ``None`` where each file has its own.
        messages: files that one data key encrypts.
        bytes: bytes of plaintext that it encrypts.
        capacity: data keys that are kept; ``None`` for as many as usual.
        stats: whether figures are printed, and how: ``"text"`` or ``"json"``.
    """

    seconds: float | None = None
    messages: int = _MAX_MESSAGES
    bytes: int = _MAX_BYTES
    capacity: int | None = None
    stats: str | None = None


_STATS: Final = (
    click.option("--stats", is_flag=True, help="Print to standard error what was asked of keys, and its price."),
    click.option("--stats-json", is_flag=True, help="Print that as a line of JSON."),
)


def stats_options(command: _Command) -> _Command:
    """Add ``--stats`` and ``--stats-json``."""
    for option in reversed(_STATS):
        command = option(command)
    return command


def caching_options(*, encrypting: bool) -> Callable[[_Command], _Command]:
    """Return what adds the options to a command."""
    options = [
        click.option(
            "--cache-seconds",
            type=Amount(min=0, min_open=True),
            metavar="N",
            help="Use a data key for all files of N seconds. Each has its own without, which is safest."
            if encrypting
            else "Have a data key that several files share unwrapped once in N seconds.",
        ),
        click.option(
            "--caching",
            multiple=True,
            metavar="WORD=VALUE...",
            help="The same as aws-encryption-cli takes it: capacity=N max_age=SECONDS max_messages_encrypted=N ...",
        ),
        *_STATS,
    ]
    if encrypting:
        options[1:1] = [
            click.option(
                "--cache-messages",
                type=click.IntRange(1, _MAX_MESSAGES),
                metavar="N",
                help="Files that one data key encrypts at most.",
            ),
            click.option(
                "--cache-bytes",
                type=click.IntRange(1, _MAX_BYTES),
                metavar="N",
                help="Bytes that one data key encrypts at most; a file counts twice and 64 KiB, as it may grow.",
            ),
        ]

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def stats_of(options: Mapping[str, Any]) -> str | None:
    """Return how figures are printed: ``"text"``, ``"json"`` or ``None``."""
    return "json" if options["stats_json"] else "text" if options["stats"] else None


def caching_of(options: Mapping[str, Any]) -> Caching:
    """Return what a command's options say.

    Raises:
        click.UsageError: they do not go together, or a value cannot be one.
    """
    stats = stats_of(options)
    own = {name: options.get(f"cache_{name}") for name in ("seconds", "messages", "bytes")}
    given = {name: value for name, value in own.items() if value is not None}
    if len(options["caching"]) > 1:
        raise click.UsageError("--caching stands twice")
    if options["caching"]:
        if given:
            raise click.UsageError(f"--cache-{next(iter(given))} and --caching do not go together")
        given = _worded(options["caching"][0])
    elif given and "seconds" not in given:
        raise click.UsageError(f"--cache-{next(iter(given))} goes with --cache-seconds N")
    seconds = given.get("seconds")
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError(f"{seconds} is no number of seconds to use a data key for")
    return Caching(stats=stats, **given)


def _worded(option: str) -> dict[str, Any]:
    words = words_of(option, CACHING_WORDS)
    names = ", ".join(f"{name}=" for name in CACHING_WORDS)
    if isinstance(words, str):
        raise click.UsageError(f"--caching takes words of the form max_age=60, not {words!r} (there are {names})")
    found = dict(words)
    if len(found) < len(words):
        raise click.UsageError("a word stands twice in --caching")
    for name in ("capacity", "max_age"):
        if name not in found:
            raise click.UsageError(f"--caching needs {name}=")
    given: dict[str, Any] = {
        "capacity": _number(found, "capacity", int, 2**63 - 1),
        "seconds": _number(found, "max_age", float, math.inf),
    }
    for name, ours, most in (
        ("max_messages_encrypted", "messages", _MAX_MESSAGES),
        ("max_bytes_encrypted", "bytes", _MAX_BYTES),
    ):
        if name in found:
            given[ours] = _number(found, name, int, most)
    return given


def _number(found: Mapping[str, str], name: str, kind: Callable[[str], float], most: float) -> float:
    try:
        number = kind(found[name])
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        raise click.UsageError(f"{name}={found[name]} in --caching is not a number more than 0, or too large a one")
    return number


@contextmanager
def materials_manager(
    make_source: Callable[[], Keyring | MaterialsManager], caching: Caching
) -> Generator[MaterialsManager]:
    """Lend what the options make of a source of materials.

    Its figures, where they are wanted, are printed when the block has ended without an exception. Calls of KMS that
    making the source takes, as for the public key of a key agreement key, are among them.
    """
    with counted_calls() as making:
        source = make_source()
    if caching.seconds is not None:
        from envelope_sdk.cache.local import DEFAULT_MAX_ENTRIES
        from envelope_sdk.managers.caching import CachingMaterialsManager

        with CachingMaterialsManager(
            source,
            max_age_seconds=caching.seconds,
            max_messages=caching.messages,
            max_bytes=caching.bytes,
            max_entries=caching.capacity or DEFAULT_MAX_ENTRIES,
        ) as manager:
            yield manager
            tell_usage(manager.usage(), caching.stats, making)
    elif caching.stats is not None:
        from envelope_sdk.managers.counting import CountingMaterialsManager

        counting = CountingMaterialsManager(source)
        yield counting
        tell_usage(counting.usage(), caching.stats, making)
    elif isinstance(source, MaterialsManager):
        yield source
    else:
        yield DefaultMaterialsManager(source)


def tell_usage(usage: MaterialsUsage, stats: str | None, making: CountedCalls | None = None) -> None:
    """Print figures: as ``"text"``, as ``"json"``, or for ``None`` not at all; with the calls made beforehand."""
    if stats is None:
        return
    calls = CountedCalls() if making is None else making
    calls.update(usage.kms_calls)
    calls.by_price.update(usage.kms_calls_by_price)
    made = calls.so_far()
    usage = usage._replace(kms_calls=dict(made.by_operation), kms_calls_by_price=dict(made.by_price))
    of = [sum(counts) for counts in zip(usage.encrypt, usage.decrypt, strict=True)]
    reused, loaded, bypassed, failed, _ = of
    figures = {
        "messages": reused + loaded + bypassed + failed,
        "without_data_key": failed,
        "data_keys": loaded + bypassed,
        "reused": reused,
    }
    money = {"dollars": f"{usage.dollars():.6f}", "dollars_saved": f"{usage.dollars_saved():.6f}"}
    if stats == "json":
        counts = {"kms_calls": dict(usage.kms_calls), "kms_calls_saved": dict(usage.kms_calls_saved)}
        say(json.dumps({**figures, **counts, **money}))
        return
    for name, count in figures.items():
        say(f"{name.replace('_', ' '):<17}{count:>11}")
    _say_calls("KMS calls", usage.kms_calls)
    _say_calls("KMS calls saved", usage.kms_calls_saved)
    _say_price("price on AWS", money["dollars"])
    _say_price("saved on AWS", money["dollars_saved"])


def tell_calls(calls: Mapping[str, int], by_price: Mapping[str, int], stats: str | None) -> None:
    """Print how many calls of KMS there were, and their price: as ``"text"``, as ``"json"``, or for ``None`` not."""
    if stats is None:
        return
    from envelope_sdk.managers.usage import MaterialsUsage

    dollars = f"{MaterialsUsage(kms_calls_by_price=by_price).dollars():.6f}"
    made = dict(sorted(calls.items()))
    if stats == "json":
        say(json.dumps({"kms_calls": made, "dollars": dollars}))
        return
    _say_calls("KMS calls", made)
    _say_price("price on AWS", dollars)


def _say_calls(name: str, by_operation: Mapping[str, int]) -> None:
    parts = ", ".join(f"{count} {operation}" for operation, count in by_operation.items())
    say(f"{name:<17}{sum(by_operation.values()):>11}" + (f"  ({parts})" if parts else ""))


def _say_price(name: str, dollars: str) -> None:
    say(f"{name:<17}{dollars:>11} USD")
