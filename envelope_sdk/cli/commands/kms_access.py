"""``envelope kms users``, ``groups``, ``roles`` and ``access-keys``: who may call the local KMS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import UsageError

if TYPE_CHECKING:
    from envelope_sdk.local_kms.access.identities import Identities, LocalIdentity

__all__ = ["access_keys", "groups", "policy_text", "roles", "users"]

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_MAX_POLICY: Final = 2**20


def _account_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--account", metavar="ACCOUNT", help="Twelve digits; the usual account without.")(command)


def _identities(store: LocalStore, account: str | None, *, make: bool = False) -> Identities:
    kms = store.kms(make=make)
    if account is None:
        return kms.identities
    return kms.acting_as(f"arn:aws:iam::{account}:root").identities


def _arn_of(identities: Identities, kind: str, name: str) -> str:
    """Return the ARN of a user, group or role that is named by its name or ARN.

    Raises:
        UsageError: there is none of that name.
    """
    if name.startswith("arn:"):
        return name
    for identity in identities.list(kind):
        if identity.name == name:
            return identity.arn
    raise UsageError(f"there is no {kind} called {name!r}")


def policy_text(path: Path) -> str:
    """Return the policy in a file.

    Raises:
        UsageError: it is not text.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_POLICY)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no policy: it is not text") from None


def _pairs(values: Sequence[str], what: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, separator, text = value.partition("=")
        if not name or not separator or name in pairs:
            raise UsageError(f"{what} are NAME=VALUE, each name once: {value!r}")
        pairs[name] = text
    return pairs


def _print(fields: dict[str, Any]) -> None:
    click.echo(json.dumps(fields, indent=2, default=_as_json))


def _as_json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _show(identity: LocalIdentity) -> None:
    _print(asdict(identity))


def _group(kind: str) -> click.Group:
    """Return the commands for users, groups or roles: all but those that only one of them has."""

    @click.group(f"{kind}s")
    def group() -> None:
        pass

    group.help = f"Look after local {kind}s and their policies. NAME is a name or an ARN."

    @group.command("list", help=f"List all {kind}s.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @_account_option
    @click.pass_obj
    def listing(store: LocalStore, as_json: bool, account: str | None) -> None:
        found = _identities(store, account).list(kind)
        if as_json:
            _print({f"{kind}s": [asdict(identity) for identity in found]})
            return
        for identity in found:
            click.echo(f"{identity.arn}  {' '.join(identity.policies)}".rstrip())

    @group.command("show", help=f"Show a {kind} with its policies.")
    @click.argument("name")
    @_account_option
    @click.pass_obj
    def show(store: LocalStore, name: str, account: str | None) -> None:
        identities = _identities(store, account)
        _show(identities.get(_arn_of(identities, kind, name)))

    @group.command("delete", help=f"Remove a {kind}. Key policies and grants that name it stay as they are.")
    @click.argument("name")
    @_account_option
    @click.pass_obj
    def delete(store: LocalStore, name: str, account: str | None) -> None:
        identities = _identities(store, account)
        identities.delete(_arn_of(identities, kind, name))

    @group.command(
        "attach-policy",
        help=f"Give a {kind} the policy in FILE, or replace the one called POLICY.",
        short_help=f"Give a {kind} a policy, or replace it.",
    )
    @click.argument("name")
    @click.argument("policy")
    @click.argument("file", type=_FILE)
    @_account_option
    @click.pass_obj
    def attach_policy(store: LocalStore, name: str, policy: str, file: Path, account: str | None) -> None:
        identities = _identities(store, account)
        identities.attach_policy(_arn_of(identities, kind, name), policy, policy_text(file))

    @group.command("detach-policy", help=f"Take the policy called POLICY away from a {kind}.")
    @click.argument("name")
    @click.argument("policy")
    @_account_option
    @click.pass_obj
    def detach_policy(store: LocalStore, name: str, policy: str, account: str | None) -> None:
        identities = _identities(store, account)
        identities.detach_policy(_arn_of(identities, kind, name), policy)

    return group


users = _group("user")
groups = _group("group")
roles = _group("role")

_policy_option = click.option(
    "--policy", "policies", multiple=True, metavar="NAME=FILE", help="An identity policy, JSON; may be repeated."
)
_path_option = click.option("--path", default="/", show_default=True, help="What its ARN has before the name.")
_tag_option = click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag; may be repeated.")
_boundary_option = click.option("--boundary", type=_FILE, metavar="FILE", help="The permissions boundary, JSON.")


def _named_policies(values: Sequence[str]) -> dict[str, str]:
    return {name: policy_text(Path(file)) for name, file in _pairs(values, "policies").items()}


@users.command("create")
@click.argument("name")
@_path_option
@_policy_option
@_boundary_option
@_tag_option
@click.option("--group", "in_groups", multiple=True, metavar="NAME", help="A group it is in; may be repeated.")
@_account_option
@click.pass_obj
def _create_user(
    store: LocalStore,
    name: str,
    path: str,
    policies: Sequence[str],
    boundary: Path | None,
    tags: Sequence[str],
    in_groups: Sequence[str],
    account: str | None,
) -> None:
    """Make a user."""
    identities = _identities(store, account, make=True)
    made = identities.create_user(
        name,
        path=path,
        policies=_named_policies(policies),
        boundary=None if boundary is None else policy_text(boundary),
        tags=_pairs(tags, "tags"),
        groups=[_arn_of(identities, "group", group) for group in in_groups],
    )
    _show(made)


@groups.command("create")
@click.argument("name")
@_path_option
@_policy_option
@_account_option
@click.pass_obj
def _create_group(store: LocalStore, name: str, path: str, policies: Sequence[str], account: str | None) -> None:
    """Make a group of users."""
    _show(_identities(store, account, make=True).create_group(name, path=path, policies=_named_policies(policies)))


@roles.command("create")
@click.argument("name")
@_path_option
@_policy_option
@_boundary_option
@_tag_option
@_account_option
@click.pass_obj
def _create_role(
    store: LocalStore,
    name: str,
    path: str,
    policies: Sequence[str],
    boundary: Path | None,
    tags: Sequence[str],
    account: str | None,
) -> None:
    """Make a role."""
    made = _identities(store, account, make=True).create_role(
        name,
        path=path,
        policies=_named_policies(policies),
        boundary=None if boundary is None else policy_text(boundary),
        tags=_pairs(tags, "tags"),
    )
    _show(made)


@roles.command("assume", short_help="Begin a session, and print its credentials.")
@click.argument("name")
@click.argument("session")
@click.option("--session-policy", "policies", multiple=True, type=_FILE, metavar="FILE", help="May be repeated.")
@_tag_option
@click.option("--seconds", type=int, default=3600, show_default=True, help="Until the credentials expire.")
@_account_option
@click.pass_obj
def _assume(
    store: LocalStore,
    name: str,
    session: str,
    policies: Sequence[Path],
    tags: Sequence[str],
    seconds: int,
    account: str | None,
) -> None:
    """Begin a session of a role, and print its credentials as the AWS CLI's credential_process takes them."""
    identities = _identities(store, account)
    issued = identities.assume_role(
        _arn_of(identities, "role", name),
        session,
        policies=[policy_text(path) for path in policies],
        tags=_pairs(tags, "tags"),
        duration=timedelta(seconds=seconds),
    )
    _print(
        {
            "Version": 1,
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "SessionToken": issued.session_token,
            "Expiration": issued.expiry,
        }
    )


@click.group("access-keys")
def access_keys() -> None:
    """Look after the access keys of local users. USER is a name or an ARN."""


@access_keys.command("create", short_help="Make an access key, and print it.")
@click.argument("user")
@_account_option
@click.pass_obj
def _create_access_key(store: LocalStore, user: str, account: str | None) -> None:
    """Make an access key, and print it as the AWS CLI's credential_process takes it. It is not shown again."""
    identities = _identities(store, account)
    issued = identities.create_access_key(_arn_of(identities, "user", user))
    _print({"Version": 1, "AccessKeyId": issued.access_key_id, "SecretAccessKey": issued.secret_access_key})
    say("hint: the secret is not shown again")


@access_keys.command("list")
@click.argument("user")
@_account_option
@click.pass_obj
def _list_access_keys(store: LocalStore, user: str, account: str | None) -> None:
    """List the ids of a user's access keys."""
    identities = _identities(store, account)
    for access_key_id in identities.list_access_keys(_arn_of(identities, "user", user)):
        click.echo(access_key_id)


@access_keys.command("delete")
@click.argument("access_key_id")
@click.pass_obj
def _delete_access_key(store: LocalStore, access_key_id: str) -> None:
    """Remove an access key."""
    store.kms().identities.delete_access_key(access_key_id)


@access_keys.command("deactivate")
@click.argument("access_key_id")
@click.pass_obj
def _deactivate(store: LocalStore, access_key_id: str) -> None:
    """Let an access key not be used until it is activated."""
    store.kms().identities.set_access_key_active(access_key_id, False)


@access_keys.command("activate")
@click.argument("access_key_id")
@click.pass_obj
def _activate(store: LocalStore, access_key_id: str) -> None:
    """Let an access key be used again."""
    store.kms().identities.set_access_key_active(access_key_id, True)
