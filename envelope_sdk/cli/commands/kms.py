"""``envelope kms``: the keys of the local KMS."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any, Final

import click

from envelope_sdk.cli.commands import kms_access, kms_records, kms_upkeep
from envelope_sdk.cli.commands.kms_seed import seed
from envelope_sdk.cli.commands.kms_simulate import simulate
from envelope_sdk.cli.commands.serve import serve
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.options import store_option
from envelope_sdk.cli.root_keys import FORMS, SOURCE_VARIABLE
from envelope_sdk.errors import KmsServiceError

__all__ = ["command"]

_PEM_WIDTH: Final = 64
"""Characters in a line (RFC 7468 section 2)."""


class _InOrder(click.Group):
    """Lists its commands in the order they are added in: what is used first, first."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


@click.group("kms", cls=_InOrder)
@store_option
@click.option(
    "--root-key",
    metavar="SOURCE",
    help=f"Where its root key is: {FORMS} (default: ${SOURCE_VARIABLE}, $ENVELOPE_KMS_ROOT_KEY, the file beside it).",
)
@click.pass_context
def command(ctx: click.Context, kms_store: str | None, root_key: str | None) -> None:
    """Look after the keys of the local KMS.

    KEY is a key id, a key ARN or, where AWS KMS takes one, alias/NAME.
    """
    ctx.obj = ctx.with_resource(closing(LocalStore(kms_store, root_key)))


def _choose(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    store = ctx.find_object(LocalStore)
    if value is not None and store is not None:
        store.choose(str(parameter.name), value)


def _scope_options(function: Callable[..., None]) -> Callable[..., None]:
    region = click.option(
        "--region",
        metavar="REGION",
        expose_value=False,
        callback=_choose,
        help="Region of the keys; us-east-1 without.",
    )
    account = click.option(
        "--account", metavar="ACCOUNT", expose_value=False, callback=_choose, help="Account; 000000000000 without."
    )
    return region(account(function))


@command.command("create-key")
@_scope_options
@click.option("--description", default="", help="What it is for.")
@click.option("--alias", help="Also give it this name: alias/NAME or NAME.")
@click.option("--key-spec", help="Its kind, as AWS KMS calls it, for instance RSA_2048; symmetric without.")
@click.option("--key-usage", help="What it is for, for instance SIGN_VERIFY; needed unless it is symmetric.")
@click.pass_obj
def _create_key(
    store: LocalStore, description: str, alias: str | None, key_spec: str | None, key_usage: str | None
) -> None:
    """Make a key."""
    kms = store.kms(make=True)
    metadata = kms.create_key(Description=description, KeySpec=key_spec, KeyUsage=key_usage)["KeyMetadata"]
    if alias:
        try:
            kms.create_alias(AliasName=_alias_name(alias), TargetKeyId=metadata["KeyId"])
        except KmsServiceError:
            # Nobody has seen the key, so nobody will miss it.
            kms.schedule_key_deletion(KeyId=metadata["KeyId"], PendingWindowInDays=7)
            raise
    _print(metadata)


@command.command("list-keys")
@_scope_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def _list_keys(store: LocalStore, as_json: bool) -> None:
    """List all keys with their states and aliases."""
    kms = store.kms()
    aliases: dict[str, list[str]] = {}
    for alias in _pages(kms.list_aliases, "Aliases"):
        aliases.setdefault(alias.get("TargetKeyId", ""), []).append(alias["AliasName"])
    keys: list[dict[str, Any]] = [
        {**kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"], "Aliases": aliases.get(key["KeyId"], [])}
        for key in _pages(kms.list_keys, "Keys")
    ]
    if as_json:
        _print({"Keys": keys})
        return
    for key in keys:
        created = key["CreationDate"].strftime("%Y-%m-%d")
        click.echo(f"{key['KeyId']:<36}  {key['KeyState']:<15}  {created}  {' '.join(key['Aliases'])}".rstrip())


@command.command("describe-key")
@_scope_options
@click.argument("key")
@click.pass_obj
def _describe_key(store: LocalStore, key: str) -> None:
    """Show one key."""
    _print(store.kms().describe_key(KeyId=key)["KeyMetadata"])


@command.command("get-public-key")
@_scope_options
@click.argument("key")
@click.pass_obj
def _get_public_key(store: LocalStore, key: str) -> None:
    """Print the public half of an asymmetric key, as PEM."""
    encoded = base64.b64encode(store.kms().get_public_key(KeyId=key)["PublicKey"]).decode("ascii")
    lines = textwrap.wrap(encoded, _PEM_WIDTH)
    click.echo("\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----")))


@command.command("create-alias")
@_scope_options
@click.argument("alias")
@click.argument("key")
@click.pass_obj
def _create_alias(store: LocalStore, alias: str, key: str) -> None:
    """Give a key a name."""
    store.kms().create_alias(AliasName=_alias_name(alias), TargetKeyId=key)


@command.command("update-alias")
@_scope_options
@click.argument("alias")
@click.argument("key")
@click.pass_obj
def _update_alias(store: LocalStore, alias: str, key: str) -> None:
    """Move a name to another key."""
    store.kms().update_alias(AliasName=_alias_name(alias), TargetKeyId=key)


@command.command("delete-alias")
@_scope_options
@click.argument("alias")
@click.pass_obj
def _delete_alias(store: LocalStore, alias: str) -> None:
    """Take a name away; its key stays."""
    store.kms().delete_alias(AliasName=_alias_name(alias))


@command.command("list-aliases")
@_scope_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def _list_aliases(store: LocalStore, as_json: bool) -> None:
    """List all names."""
    # Those of AWS that have no key yet would be most of the list, and are of no use at a terminal.
    aliases = [alias for alias in _pages(store.kms().list_aliases, "Aliases") if "TargetKeyId" in alias]
    if as_json:
        _print({"Aliases": aliases})
        return
    for alias in aliases:
        click.echo(f"{alias['AliasName']}  {alias.get('TargetKeyId', '')}".rstrip())


@command.command("enable-key")
@_scope_options
@click.argument("key")
@click.pass_obj
def _enable_key(store: LocalStore, key: str) -> None:
    """Let a disabled key be used again."""
    store.kms().enable_key(KeyId=key)


@command.command("disable-key")
@_scope_options
@click.argument("key")
@click.pass_obj
def _disable_key(store: LocalStore, key: str) -> None:
    """Let a key not be used until it is enabled."""
    store.kms().disable_key(KeyId=key)


@command.command("schedule-key-deletion", short_help="Have a key deleted after some days.")
@_scope_options
@click.argument("key")
@click.option("--days", type=int, default=30, show_default=True, help="Days until then, 7 to 30.")
@click.pass_obj
def _schedule_key_deletion(store: LocalStore, key: str, days: int) -> None:
    """Have a key deleted, and everything under it become unreadable, after some days."""
    _print(store.kms().schedule_key_deletion(KeyId=key, PendingWindowInDays=days))


@command.command("cancel-key-deletion", short_help="Keep a key that was to be deleted.")
@_scope_options
@click.argument("key")
@click.pass_obj
def _cancel_key_deletion(store: LocalStore, key: str) -> None:
    """Keep a key that was to be deleted; it is disabled then."""
    _print(store.kms().cancel_key_deletion(KeyId=key))


for _other in (
    *(serve, seed),
    *(kms_access.users, kms_access.groups, kms_access.roles, kms_access.access_keys, simulate),
    *(kms_records.audit, kms_records.cost),
    *(kms_upkeep.backup, kms_upkeep.restore, kms_upkeep.rotate_root_key),
):
    command.add_command(_other)


def _alias_name(name: str) -> str:
    return name if name.startswith("alias/") else f"alias/{name}"


def _pages(operation: Callable[..., dict[str, Any]], field: str) -> Iterator[dict[str, Any]]:
    marker: dict[str, str] = {}
    while True:
        page = operation(**marker)
        yield from page[field]
        if not page.get("Truncated"):
            return
        marker = {"Marker": page["NextMarker"]}


def _print(answer: dict[str, Any]) -> None:
    shown = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    click.echo(json.dumps(shown, indent=2, default=_as_json))


def _as_json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
