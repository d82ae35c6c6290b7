"""The seed file: read, and checked as far as that goes without a store."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms.identifiers import ALIAS_PREFIX, Scope, is_key_id
from envelope_sdk.local_kms.key_pairs import secret_from
from envelope_sdk.local_kms.kinds import ENCRYPT, KEY_SPECS, SYMMETRIC, usages
from envelope_sdk.local_kms.seeding.people import SeedIdentity, read_identities
from envelope_sdk.local_kms.seeding.tables import Table

__all__ = ["Seed", "SeedKey"]

_PEM: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----\s([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----")
_MAX_FILE: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedKey:
    """One key that has to be there.

    Attributes:
        where: its place in the file, for errors.
        scope: the account and Region it lives in; of a multi-Region key, of the primary.
        key_id: its id; empty where any will do, and its first alias tells whether it is there.
        spec: its kind.
        usage: what it is for.
        description: free text.
        aliases: its names, each with ``alias/``.
        tags: by name.
        policy: the key policy; ``None`` for the default.
        enabled: whether it can be used.
        secret: its material, as the store keeps it; ``None`` for a fresh one. Its repr does not show it.
        replicas: the other Regions of a multi-Region key.
        multi_region: whether it is one.
        rotation_days: days between automatic rotations; ``None`` for none.
    """

    where: str
    scope: Scope
    key_id: str
    spec: str
    usage: str
    description: str
    aliases: Sequence[str]
    tags: Mapping[str, str]
    policy: str | None
    enabled: bool
    secret: bytes | None = field(repr=False)
    replicas: Sequence[str]
    multi_region: bool
    rotation_days: int | None


@dataclass(frozen=True, slots=True)
class Seed:
    """Everything that has to be there.

    Attributes:
        source: what the file is called, for errors.
        keys: the keys.
        identities: groups, users and roles.
    """

    source: str
    keys: Sequence[SeedKey]
    identities: Sequence[SeedIdentity]

    @classmethod
    def load(cls, path: str | os.PathLike[str], scope: Scope) -> Seed:
        """Read a seed file.

        Args:
            path: the file, TOML. Files that it names are looked for from its folder on.
            scope: the account and Region of keys for which the file says none.

        Raises:
            UsageError: it cannot be read, or says what cannot be; the text tells where.
        """
        file = Path(path)
        try:
            with file.open("rb") as opened:
                content = opened.read(_MAX_FILE + 1)
        except OSError as error:
            raise UsageError(f"the seed file {file} cannot be read: {error.strerror}") from None
        except ValueError:
            raise UsageError(f"no file can be called {os.fspath(path)!r}") from None
        if len(content) > _MAX_FILE:
            raise UsageError(f"the seed file {file} is longer than {_MAX_FILE} bytes")
        return cls.parse(content, scope, str(file), file.parent)

    @classmethod
    def parse(cls, content: bytes, scope: Scope, source: str = "the seed", folder: Path | None = None) -> Seed:
        """Read a seed from memory; parameters as for :meth:`load`, and the folder for files that it names."""
        try:
            document = tomllib.loads(content.decode())
        except UnicodeDecodeError:
            raise UsageError(f"{source} is not UTF-8") from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(f"{source} is not TOML: {error}") from None
        table = Table(document, source)
        home = _scope(table, scope)
        keys = [_key(each, home, folder) for each in table.tables("keys")]
        identities = read_identities(table, home.account)
        table.done()
        _check_unique(table, keys)
        return cls(source, keys, identities)


def _scope(table: Table, usual: Scope) -> Scope:
    account, region = table.text("account", usual.account), table.text("region", usual.region)
    try:
        return Scope(account, region)
    except UsageError as error:
        table.refuse(str(error))


def _key(table: Table, usual: Scope, folder: Path | None) -> SeedKey:
    scope = _scope(table, usual)
    spec, usage = _kind(table)
    key_id, multi_region = _identity(table)
    rotation_days = table.number("rotation_days")
    if rotation_days is not None and spec != SYMMETRIC:
        table.refuse("only symmetric keys rotate by themselves", "rotation_days")
    key = SeedKey(
        where=table.text("id") or ", ".join(table.texts("aliases")),
        scope=scope,
        key_id=key_id,
        spec=spec,
        usage=usage,
        description=table.text("description"),
        aliases=_aliases(table),
        tags=table.strings("tags"),
        policy=_policy(table, folder),
        enabled=table.flag("enabled", default=True),
        secret=_secret(table, spec, folder),
        replicas=_replicas(table, scope, multi_region),
        multi_region=multi_region,
        rotation_days=rotation_days,
    )
    table.done()
    return key


def _kind(table: Table) -> tuple[str, str]:
    spec = table.text("spec", SYMMETRIC)
    if spec not in KEY_SPECS:
        table.refuse(f"has to be one of {', '.join(KEY_SPECS)}", "spec")
    if not table.has("usage") and spec == SYMMETRIC:
        return spec, ENCRYPT
    usage = table.text("usage")
    if usage not in usages(spec):
        table.refuse(f"of a key {spec} has to be one of {', '.join(usages(spec))}", "usage")
    return spec, usage


def _identity(table: Table) -> tuple[str, bool]:
    key_id = table.text("id")
    if not key_id and not table.texts("aliases"):
        table.refuse("a key needs an id or an alias: else it would be made anew each time")
    multi_region = key_id.startswith("mrk-") or bool(table.texts("replicas"))
    multi_region = table.flag("multi_region", default=multi_region)
    if key_id and not is_key_id(key_id):
        table.refuse("has to be a UUID, or mrk- and 32 hexadecimal digits, in lower case", "id")
    if key_id and multi_region != key_id.startswith("mrk-"):
        table.refuse("of a multi-Region key, and of no other, begins with mrk-", "id")
    return key_id, multi_region


def _aliases(table: Table) -> Sequence[str]:
    names = table.texts("aliases")
    for name in names:
        if not name.startswith(ALIAS_PREFIX):
            table.refuse(f"{name} has to begin with {ALIAS_PREFIX}", "aliases")
    return names


def _replicas(table: Table, scope: Scope, multi_region: bool) -> Sequence[str]:
    regions = table.texts("replicas")
    if regions and not multi_region:
        table.refuse("only a multi-Region key has them", "replicas")
    for region in regions:
        try:
            replica = Scope(scope.account, region)
        except UsageError as error:
            table.refuse(str(error), "replicas")
        if replica == scope:
            table.refuse(f"{region} is the Region of the key itself", "replicas")
    return regions


def _policy(table: Table, folder: Path | None) -> str | None:
    if table.has("policy") and table.has("policy_file"):
        table.refuse("give policy or policy_file, not both")
    if table.has("policy_file"):
        return _file(table, "policy_file", folder).decode("utf-8", "replace")
    if not table.has("policy"):
        return None
    try:
        return json.dumps(table.table("policy"), indent=2)
    except (TypeError, ValueError):
        table.refuse("has something in it that JSON has not, such as a date without quotes", "policy")


def _secret(table: Table, spec: str, folder: Path | None) -> bytes | None:
    if table.has("material") and table.has("material_file"):
        table.refuse("give material or material_file, not both")
    if table.has("material_file"):
        name, content = "material_file", _unarmoured(_file(table, "material_file", folder))
    elif table.has("material"):
        name, content = "material", _base64(table, "material")
    else:
        return None
    try:
        return bytes(secret_from(spec, content))
    except (ValueError, KmsServiceError) as error:
        # The text says what was expected, and nothing of what was given.
        table.refuse(str(error), name)


def _base64(table: Table, name: str) -> bytes:
    try:
        return base64.b64decode(table.text(name), validate=True)
    except (binascii.Error, ValueError):
        table.refuse("has to be base64", name)


def _unarmoured(content: bytes) -> bytes:
    """Return what is between the lines of a PEM file; any other as it is."""
    found = _PEM.search(content)
    return content if found is None else base64.b64decode(found[1])


def _file(table: Table, name: str, folder: Path | None) -> bytes:
    named = Path(table.text(name))
    file = named if folder is None else folder / named
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_FILE)
    except OSError as error:
        table.refuse(f"{file} cannot be read: {error.strerror}", name)
    except ValueError:
        table.refuse("no file can be called so", name)


def _check_unique(table: Table, keys: Sequence[SeedKey]) -> None:
    seen: set[tuple[str, str, str]] = set()
    for key in keys:
        for region in (key.scope.region, *key.replicas):
            for name in (key.key_id, *key.aliases):
                called = (key.scope.account, region, name)
                if name and called in seen:
                    table.refuse(f"two keys are called {name} in {region}", "keys")
                seen.add(called)
