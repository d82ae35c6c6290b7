"""``envelope kms simulate``: why a call to the local KMS would be allowed or denied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from envelope_sdk.cli.commands.kms_access import policy_text
from envelope_sdk.cli.options import context_pairs
from envelope_sdk.cli.terminal import ExitCode
from envelope_sdk.errors import UsageError

__all__ = ["simulate"]

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("simulate", short_help="Say whether a call would be allowed, and why.")
@click.option("--principal", required=True, metavar="ARN", help="Who asks; also the name of an AWS service.")
@click.option("--action", required=True, metavar="ACTION", help="For instance kms:Decrypt.")
@click.option("--key", metavar="KEY", help="Key id, key ARN, alias/NAME or alias ARN; none for CreateKey and the like.")
@click.option("--context", multiple=True, metavar="KEY=VALUE", help="A pair of the encryption context.")
@click.option("--grant-token", "tokens", multiple=True, metavar="TOKEN", help="A grant token; may be repeated.")
@click.option("--via-service", metavar="NAME", help="For instance s3.us-east-1.amazonaws.com.")
@click.option("--source-ip", metavar="ADDRESS", help="Where the request comes from.")
@click.option("--condition", multiple=True, metavar="KEY=VALUE", help="Any other condition key; may be repeated.")
@click.option("--session-policy", "policies", multiple=True, type=_FILE, metavar="FILE", help="May be repeated.")
@click.option("--region", metavar="REGION", help="The Region called; the usual one without.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def simulate(
    ctx: click.Context,
    /,
    principal: str,
    action: str,
    key: str | None,
    context: Sequence[str],
    tokens: Sequence[str],
    condition: Sequence[str],
    policies: Sequence[Path],
    as_json: bool,
    **way: str | None,
) -> None:
    """Say whether a principal may do something with a key, and why: statement by statement, grant by grant.

    Nothing is done. The code it ends with is 0 where the call would be allowed, and 4 where it would be denied.
    """
    found = ctx.obj.kms().simulate(
        principal,
        action,
        key,
        encryption_context=context_pairs(context, bare_keys=False)[0],
        grant_tokens=tokens,
        conditions=_conditions(condition),
        session_policies=[policy_text(path) for path in policies],
        **way,
    )
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        click.echo(str(found))
    ctx.exit(ExitCode.DONE if found.allowed else ExitCode.KEY)


def _conditions(values: Sequence[str]) -> dict[str, list[str]]:
    """Return condition keys with all their values: one that is given twice has two."""
    found: dict[str, list[str]] = {}
    for value in values:
        name, separator, text = value.partition("=")
        if not name or not separator:
            raise UsageError(f"conditions are KEY=VALUE: {value!r}")
        found.setdefault(name, []).append(text)
    return found
