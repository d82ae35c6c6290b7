"""``envelope kms audit`` and ``envelope kms cost``: what was done with the keys of the local KMS, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.terminal import ExitCode, say

if TYPE_CHECKING:
    from envelope_sdk.local_kms.metering.costs import Charge, Costs

__all__ = ["audit", "cost"]

_PARTS: Final = ("key", "operation")


@click.group("audit")
def audit() -> None:
    """Look at audit logs."""


@audit.command("verify")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--head", "heads", multiple=True, metavar="NUMBER:HASH", help="A head noted earlier; may be repeated.")
@click.option(
    "--first", type=click.IntRange(1), default=1, metavar="NUMBER", help="The first event, if older files are removed."
)
@click.pass_context
def _verify(ctx: click.Context, files: Sequence[str], heads: Sequence[str], first: int) -> None:
    """See whether a log is as it was written. The files it was rotated to count as named.

    Prints the log's head. Whoever could write the files could have made all of the chain anew, which only shows where
    heads were noted elsewhere: give one back with --head. Ends with 3 where anything is not as it was.
    """
    from envelope_sdk.local_kms.audit import Head, verify

    known = [Head.parse(text) for text in heads]
    if None in known:
        raise click.UsageError(f"a head looks like the one that this command prints, not {heads[known.index(None)]!r}")
    found = verify(files, heads=[head for head in known if head is not None], first=first)
    for problem in found.problems:
        say(f"envelope: {problem}")
    if found.torn:
        say("hint: the last line is cut off: it is being written, or whoever wrote it was killed; the next removes it")
    if found.problems:
        ctx.exit(ExitCode.INTEGRITY)
    click.echo(f"{found.events} events, head {found.head}" if found.head else "0 events")


@audit.command("show")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--key", metavar="KEY", help="Of this key: id, ARN or alias.")
@click.option("--principal", metavar="NAME", help="By this principal: ARN, or its last part.")
@click.option("--event", metavar="NAME", help="Of this name, for instance Decrypt.")
@click.option("--since", metavar="TIME", help="From this time on: 2026-11-22 or 2026-11-22T09:00, UTC.")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--errors", is_flag=True, help="That failed.")
@click.option("--json", "as_json", is_flag=True, help="Print whole events, a line of JSON each.")
def _show(files: Sequence[str], as_json: bool, since: str | None, until: str | None, **wanted: Any) -> None:
    """Print events, oldest first."""
    from envelope_sdk.local_kms.audit import Query, read_events

    for event in read_events(files, Query(since=_time(since), until=_time(until), **wanted)):
        click.echo(json.dumps(event) if as_json else _line(event))


@click.command("cost", short_help="Show what a month would have cost on AWS.")
@click.option("--month", metavar="MONTH", help="For instance 2026-11; the current one without.")
@click.option("--by", type=click.Choice(_PARTS), default="key", show_default=True, help="What to add up by.")
@click.option("--free-tier", is_flag=True, help="Take off the requests that AWS gives each account for free.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def cost(store: LocalStore, month: str | None, by: str, free_tier: bool, as_json: bool) -> None:
    """Show what the keys and their use in a month would have cost on AWS, in US dollars.

    Erased keys, and those that wait for it, cost nothing; other keys up to now.
    """
    kms = store.kms()
    costs = kms.costs(month or f"{datetime.now(UTC):%Y-%m}", free_tier=free_tier)
    lines = _grouped(costs, by)
    if as_json:
        click.echo(json.dumps({"Month": costs.month, "Currency": "USD", "Charges": lines, "Total": str(costs.total)}))
        return
    width = max((len(line["Name"]) for line in lines), default=0)
    for line in lines:
        click.echo(f"{line['Name']:<{width}}  {line['Requests']:>12} requests  {line['Dollars']:>12} USD")
    click.echo(f"{'total':<{width}}  {sum(line['Requests'] for line in lines):>12} requests  {costs.total:>12} USD")
    say(f"hint: prices from {costs.prices.source}, {costs.prices.date}")


def _grouped(costs: Costs, by: str) -> list[dict[str, Any]]:
    sums: dict[str, tuple[int, Decimal]] = {}
    for charge in costs.charges:
        name = charge.item if by == "operation" else _key_name(charge)
        requests, dollars = sums.get(name, (0, Decimal(0)))
        sums[name] = (requests + charge.requests, dollars + charge.dollars)
    return [{"Name": name, "Requests": sums[name][0], "Dollars": str(sums[name][1])} for name in sorted(sums)]


def _key_name(charge: Charge) -> str:
    if not charge.key_id:
        return f"{charge.scope.arn_prefix}(no key)"
    return charge.key_id if charge.key_id.startswith("arn:") else charge.scope.key_arn(charge.key_id)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"a time looks like 2026-11-22 or 2026-11-22T09:00, not {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _line(event: Mapping[str, Any]) -> str:
    identity: dict[str, Any] = event.get("userIdentity") or {}
    who = identity.get("arn") or identity.get("invokedBy") or "-"
    what: list[str] = [resource.get("ARN", "") for resource in event.get("resources") or ()]
    parts: tuple[Any, ...] = (event.get("eventTime"), event.get("eventName"), who, *what, event.get("errorCode", ""))
    return _printable("  ".join(str(part) for part in parts if part))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
