"""``envelope branch-keys``: the keys that wrap data keys in between, for the hierarchical keyring."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from envelope_sdk.cli.local_store import LocalStore, StoreDoor
from envelope_sdk.cli.options import context_pairs, store_option
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.schemes import BUILT_IN
from envelope_sdk.keyrings.uri import KeyringUri

if TYPE_CHECKING:
    from envelope_sdk.keyrings.hierarchical import BranchKeyStore

__all__ = ["command"]

_SCHEME: Final = "hierarchical"


@click.group("branch-keys")
@store_option
@click.pass_context
def command(ctx: click.Context, kms_store: str | None) -> None:
    """Look after the branch keys of hierarchical keyrings.

    URI is hierarchical://BRANCH-KEY-ID?file=FILE&kms-key=KEY, or table=TABLE in place of file=FILE, and KEY an ARN or
    local-kms://KEY: what --key takes. Put it in quotes.
    """
    ctx.obj = ctx.with_resource(closing(LocalStore(kms_store)))


@command.command("create")
@click.argument("uri")
@click.option("-c", "--context", multiple=True, metavar="KEY=VALUE", help="Pair to bind it to; needed for an own id.")
@click.option("--create-table", "new_table", is_flag=True, help="Make the DynamoDB table where there is none.")
@click.pass_obj
def _create(local: LocalStore, uri: str, context: tuple[str, ...], new_table: bool) -> None:
    """Make a branch key, and print the URI to use it by.

    Without an id in URI, hierarchical://?file=..., it gets a random one. A file is made where there is none.
    """
    # Here, so that help does not wait for SQLite.
    from envelope_sdk.keyrings.schemes.hierarchical import branch_key_store, create_table

    parsed = _parsed(uri)
    pairs, _ = context_pairs(context, bare_keys=False)
    if new_table:
        create_table(parsed)
    store = branch_key_store(parsed, StoreDoor(local))
    made = store.create_key(parsed.rest or None, pairs)
    click.echo(str(parsed._replace(rest=made)))


@command.command("version", short_help="Give a branch key a new version.")
@click.argument("uri")
@click.pass_obj
def _version(local: LocalStore, uri: str) -> None:
    """Give a branch key a new version, which encrypts from now on; older ones still decrypt."""
    parsed, store = _opened(local, uri)
    store.version_key(parsed.rest)
    active = store.get_active(parsed.rest)
    active.wipe()
    say(f"{parsed.rest} encrypts with version {active.version} now")


@command.command("show")
@click.argument("uri")
@click.pass_obj
def _show(local: LocalStore, uri: str) -> None:
    """Show the version of a branch key that encrypts."""
    parsed, store = _opened(local, uri)
    active = store.get_active(parsed.rest)
    active.wipe()
    fields = {
        "BranchKeyId": parsed.rest,
        "Version": active.version,
        "EncryptionContext": dict(active.encryption_context),
        "LogicalKeyStoreName": store.logical_name,
    }
    click.echo(json.dumps(fields, indent=2))


def _opened(local: LocalStore, uri: str) -> tuple[KeyringUri, BranchKeyStore]:
    from envelope_sdk.keyrings.schemes.hierarchical import existing_store

    parsed = _parsed(uri)
    if not parsed.rest:
        raise UsageError(f"{_SCHEME}:// names no branch key: write {BUILT_IN[_SCHEME].form}?...")
    return parsed, existing_store(parsed, StoreDoor(local))


def _parsed(uri: str) -> KeyringUri:
    parsed = KeyringUri.parse(uri)
    if parsed.scheme != _SCHEME:
        raise UsageError(f"branch keys are named by {BUILT_IN[_SCHEME].form}?..., not by {parsed.scheme}://")
    parsed.check(single=BUILT_IN[_SCHEME].single)
    return parsed
