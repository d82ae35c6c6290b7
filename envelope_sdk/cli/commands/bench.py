"""``envelope bench``: what caching data keys saves, measured here and now."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from envelope_sdk.cli.amounts import Amount
from envelope_sdk.cli.terminal import ExitCode, say
from envelope_sdk.errors import UsageError

if TYPE_CHECKING:
    from envelope_sdk.bench.engine import Budget
    from envelope_sdk.bench.plan import Choice
    from envelope_sdk.bench.result import Run, Scenario

__all__ = ["command"]

_KMS: Final = {"in-process": "in process", "served": "served", "moto": "moto server"}
_NOT_REPEATED: Final = frozenset({"output", "json", "earlier", "quiet"})
_ALONE: Final = frozenset({"output", "json", "quiet"})
_SECONDS: Final = 1.0
_SMALL: Final[Mapping[str, Any]] = {"size": (256,), "threads": (2,), "seconds": 0.2, "rounds": 2}


@click.command("bench")
@click.option("--small", is_flag=True, help="A few seconds; shows that it works, the figures mean little.")
@click.option("--full", is_flag=True, help="Every combination, rather than those that tell the story.")
@click.option(
    "--size",
    metavar="BYTES",
    type=click.IntRange(0, 2**30),
    multiple=True,
    default=(1024, 65_536),
    show_default=True,
    help="Bytes in a message; repeatable, as are the next four.",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 1024),
    multiple=True,
    default=(1, 8),
    show_default=True,
    help="That work at once.",
)
@click.option("--kms", type=click.Choice(list(_KMS)), multiple=True, help="Where calls go [default: all].")
@click.option(
    "--latency",
    type=Amount(0, 60_000),
    multiple=True,
    metavar="MS",
    help="Milliseconds on each call [default: 10 where it is served].",
)
@click.option(
    "--quota",
    type=Amount(0),
    multiple=True,
    metavar="RATE",
    help="Calls a second; 0 for any number [default: any, and 50 where it is served].",
)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=Amount(0, min_open=True),
    help=f"For each scenario, three times that with a quota [default: {_SECONDS:g}; none with --messages].",
)
@click.option("--messages", metavar="N", type=click.IntRange(1), help="In each scenario, at most.")
@click.option(
    "--rounds", metavar="N", type=click.IntRange(1), default=3, show_default=True, help="In which they take turns."
)
@click.option(
    "--max-age",
    metavar="SECONDS",
    type=Amount(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds that a cached data key is used.",
)
@click.option(
    "--max-messages",
    metavar="N",
    type=click.IntRange(1, 2**32),
    default=1000,
    show_default=True,
    help="That it encrypts.",
)
@click.option(
    "--retry-mode",
    type=click.Choice(["standard", "adaptive", "legacy"]),
    default="standard",
    show_default=True,
    help="How botocore repeats requests.",
)
@click.option(
    "--max-attempts",
    metavar="N",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Requests it sends for a call.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Amount(0.001, 3600),
    default=10.0,
    show_default=True,
    help="Seconds it waits for an answer.",
)
@click.option(
    "--peers/--no-peers", default=True, help="With aws-encryption-sdk beside it, where it is installed [default: yes]."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write JSON, Markdown, a picture and a page there.",
)
@click.option("--json", is_flag=True, help="Print JSON rather than Markdown.")
@click.option(
    "--from",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Show the JSON of an earlier run again; nothing is measured.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing of what is under way.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Measure what caching data keys saves.

    Messages are encrypted and decrypted with data keys cached and not, by a local KMS in this process, by one that is
    served with a latency and a quota, and by moto's server, side by side with other libraries where they are installed:
    messages a second, how long they take, calls of KMS, throttles, cost, processor and memory. It takes a minute or
    two.

    The exit code is 1 where something could not be measured, or figures contradict each other.
    """
    earlier: Path | None = options["earlier"]
    folder: Path | None = options["output"]
    given = {
        name: value for name, value in options.items() if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if earlier is not None:
        if given.keys() - _ALONE - {"earlier"}:
            raise click.UsageError("--from measures nothing: only --output, --json and --quiet go with it")
        return _show(_read(earlier), [], folder, options)
    choice, budget = _wanted(options, given)
    if folder is not None:
        # Before a minute is spent on what cannot be kept.
        folder.mkdir(parents=True, exist_ok=True)
    run, broken = _measured(choice, budget, _words(ctx, given), quiet=options["quiet"])
    return _show(run, broken, folder, options)


def _wanted(options: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Choice, Budget]:
    """Return what is to be measured, and how much of it.

    Raises:
        UsageError: it cannot be.
    """
    from envelope_sdk.bench.engine import Budget
    from envelope_sdk.bench.plan import KMS_KINDS, Choice

    named = {**options, **(_SMALL if options["small"] else {}), **given}
    quotas, latencies = named["quota"], named["latency"]
    choice = Choice(
        sizes=tuple(dict.fromkeys(named["size"])),
        threads=tuple(dict.fromkeys(named["threads"])),
        kms=tuple(_KMS[word] for word in dict.fromkeys(named["kms"])) or KMS_KINDS,
        latencies=tuple(dict.fromkeys(each / 1000 for each in latencies)) or None,
        quotas=tuple(dict.fromkeys(each or None for each in quotas)) or None,
        max_age_seconds=named["max_age"],
        max_messages=named["max_messages"],
        retry_mode=named["retry_mode"],
        max_attempts=named["max_attempts"],
        timeout_seconds=named["timeout"],
        peers=named["peers"],
        thorough=named["full"],
    )
    seconds = named["seconds"]
    if "seconds" not in given and named["messages"] is not None:
        seconds = None
    elif seconds is None:
        seconds = _SECONDS
    return choice, Budget(seconds=seconds, messages=named["messages"], rounds=named["rounds"])


def _measured(choice: Choice, budget: Budget, command: str, *, quiet: bool) -> tuple[Run, list[str]]:
    from envelope_sdk.bench.engine import in_words, measure
    from envelope_sdk.bench.plan import not_installed, plan

    def tell(number: int, of: int, group: Sequence[Scenario]) -> None:
        if not quiet:
            _, what = in_words(group[0]).split(", ", 1)
            say(f"{number} of {of}: {what}, {len(group)} side by side")

    planned = plan(choice, not_installed())
    if not quiet:
        for name, why in planned.absent.items():
            say(f"left out: {name}: {why}")
    outcome = measure(planned, budget, command=command, on_group=tell)
    return outcome.run, [f"{name}: {why}" for name, why in outcome.broken.items()]


def _read(path: Path) -> Run:
    from envelope_sdk.bench.result import from_json

    try:
        return from_json(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no result of 'envelope bench': it is not text") from None


def _show(run: Run, broken: Sequence[str], folder: Path | None, options: Mapping[str, Any]) -> int:
    """Print and write a run; return the code to end with."""
    from envelope_sdk.bench.consistency import check
    from envelope_sdk.bench.report import as_markdown
    from envelope_sdk.bench.result import to_json

    click.echo(to_json(run) if options["json"] else as_markdown(run), nl=not options["json"])
    if folder is not None:
        _write(run, folder, quiet=options["quiet"])
    wrong = [*(f"not measured: {line}" for line in broken), *(f"contradiction: {line}" for line in check(run))]
    for line in wrong:
        say(f"envelope: {line}")
    return ExitCode.SOME_FAILED if wrong else ExitCode.DONE


def _write(run: Run, folder: Path, *, quiet: bool) -> None:
    """Write a run's files and tell which; what is missing for want of a package is told of even quietly."""
    from envelope_sdk.bench.report import write_report

    written = write_report(run, folder)
    for path in written:
        if not quiet:
            say(f"wrote {path}")
    if run.measurements and not any(path.suffix == ".svg" for path in written):
        say("envelope: no picture was made: matplotlib is not installed")
        say("hint: pip install 'envelope-sdk[bench]', and --from result.json draws this run")


def _words(ctx: click.Context, given: Mapping[str, Any]) -> str:
    """Return the command that measures the same again."""
    words = ["envelope", "bench"]
    for option in ctx.command.params:
        name = option.name or ""
        if name not in given or name in _NOT_REPEATED or not isinstance(option, click.Option):
            continue
        value = given[name]
        if option.is_flag:
            words.append(option.opts[0] if value or not option.secondary_opts else option.secondary_opts[0])
        else:
            for each in value if option.multiple else (value,):
                words += [option.opts[0], f"{each:g}" if isinstance(each, float) else str(each)]
    return shlex.join(words)
