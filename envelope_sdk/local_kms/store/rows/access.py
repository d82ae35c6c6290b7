"""Grants, identities and access keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import AccessKey, GrantRecord, Identity
from envelope_sdk.local_kms.store.rows.columns import (
    Rows,
    number_of,
    number_or_none,
    scope_of,
    text,
    text_or_none,
    time,
    time_or_none,
)

__all__ = ["AccessRows"]

_GRANT: Final = (
    "SELECT key_id, grant_id, token, created, effective, issuing_account, grantee, retiring, document FROM grants"
    " WHERE account = ? AND region = ?"
)
_GRANTS: Final = f"{_GRANT} AND key_id = ? ORDER BY grant_id"
_RETIRABLE: Final = (
    "SELECT key_id, grant_id, token, created, effective, issuing_account, grantee, retiring, document, account"
    " FROM grants WHERE region = ? AND retiring = ? AND (account, key_id, grant_id) > (?, ?, ?)"
    " ORDER BY account, key_id, grant_id LIMIT ?"
)
_PUT_GRANT: Final = (
    "INSERT INTO grants (account, region, key_id, grant_id, token, created, effective, issuing_account, grantee,"
    " retiring, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, region, key_id, grant_id)"
    " DO UPDATE SET token = excluded.token, document = excluded.document"
)
_REMOVE_GRANT: Final = "DELETE FROM grants WHERE account = ? AND region = ? AND key_id = ? AND grant_id = ?"
_IDENTITY: Final = "SELECT account, arn, created, document FROM identities"
_PUT_IDENTITY: Final = (
    "INSERT INTO identities (account, arn, created, document) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (account, arn) DO UPDATE SET document = excluded.document"
)
_ACCESS_KEY: Final = "SELECT access_key_id, account, arn, created, expiry, document, wrapped FROM access_keys"
_PUT_ACCESS_KEY: Final = (
    "INSERT INTO access_keys (access_key_id, account, arn, created, expiry, document, wrapped)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (access_key_id) DO UPDATE SET account = excluded.account,"
    " arn = excluded.arn, expiry = excluded.expiry, document = excluded.document, wrapped = excluded.wrapped"
)


class AccessRows(Rows):
    """The tables ``grants``, ``identities`` and ``access_keys``."""

    __slots__ = ()

    def grants(self, scope: Scope, key_id: str) -> Sequence[GrantRecord]:
        """Return the grants of a key."""
        rows = self._connection.execute(_GRANTS, (scope.account, scope.region, key_id))
        return [_grant(scope, row) for row in rows]

    def retirable(self, region: str, retiring: str, after: tuple[str, str, str], limit: int) -> Sequence[GrantRecord]:
        """Return up to ``limit`` grants that ``retiring`` may retire."""
        rows = self._connection.execute(_RETIRABLE, (region, retiring, *after, limit))
        return [_grant(scope_of(row[-1], region), row[:-1]) for row in rows]

    def put_grant(self, grant: GrantRecord) -> None:
        """Add or replace a grant."""
        name = (grant.scope.account, grant.scope.region, grant.key_id, grant.grant_id)
        times = (number_of(grant.created), number_of(grant.effective))
        terms = (grant.issuing_account, grant.grantee, grant.retiring, grant.document)
        self._connection.execute(_PUT_GRANT, (*name, grant.token, *times, *terms))

    def remove_grant(self, scope: Scope, key_id: str, grant_id: str) -> None:
        """Remove a grant."""
        self._connection.execute(_REMOVE_GRANT, (scope.account, scope.region, key_id, grant_id))

    def identity(self, arn: str) -> Identity | None:
        """Return the identity of that ARN."""
        row = self._connection.execute(f"{_IDENTITY} WHERE account = ? AND arn = ?", (_account(arn), arn)).fetchone()
        return None if row is None else _identity(row)

    def identities(self, account: str) -> Sequence[Identity]:
        """Return all identities of an account."""
        rows = self._connection.execute(f"{_IDENTITY} WHERE account = ? ORDER BY arn", (account,))
        return [_identity(row) for row in rows]

    def put_identity(self, identity: Identity) -> None:
        """Add or replace an identity."""
        row = (identity.account, identity.arn, number_of(identity.created), identity.document)
        self._connection.execute(_PUT_IDENTITY, row)

    def remove_identity(self, arn: str) -> None:
        """Remove an identity and its access keys."""
        self._connection.execute("DELETE FROM access_keys WHERE arn = ?", (arn,))
        self._connection.execute("DELETE FROM identities WHERE account = ? AND arn = ?", (_account(arn), arn))

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """Return an access key."""
        row = self._connection.execute(f"{_ACCESS_KEY} WHERE access_key_id = ?", (access_key_id,)).fetchone()
        return None if row is None else self._access_key(row)

    def access_keys(self, arn: str) -> Sequence[AccessKey]:
        """Return the access keys of one principal."""
        rows = self._connection.execute(f"{_ACCESS_KEY} WHERE arn = ? ORDER BY access_key_id", (arn,))
        return [self._access_key(row) for row in rows]

    def put_access_key(self, key: AccessKey) -> None:
        """Wrap and add, or replace, an access key."""
        wrapped = self._wrapper.wrap_access_key(key.access_key_id, key.secret)
        times = (number_of(key.created), number_or_none(key.expiry))
        row = (key.access_key_id, key.account, key.arn, *times, key.document, wrapped)
        self._connection.execute(_PUT_ACCESS_KEY, row)

    def remove_access_key(self, access_key_id: str) -> None:
        """Remove an access key."""
        self._connection.execute("DELETE FROM access_keys WHERE access_key_id = ?", (access_key_id,))

    def _access_key(self, row: tuple[Any, ...]) -> AccessKey:
        access_key_id, account, arn, created, expiry, document, wrapped = row
        return AccessKey(
            access_key_id=text(access_key_id),
            account=text(account),
            arn=text(arn),
            created=time(created),
            expiry=time_or_none(expiry),
            document=text(document),
            secret=self._wrapper.unwrap_access_key(text(access_key_id), wrapped),
        )


def _account(arn: str) -> str:
    # ARNs of IAM and STS have the account as their fifth part.
    return arn.split(":", 5)[4] if arn.count(":") >= 5 else ""


def _grant(scope: Scope, row: tuple[Any, ...]) -> GrantRecord:
    key_id, grant_id, token, created, effective, issuing_account, grantee, retiring, document = row
    return GrantRecord(
        scope=scope,
        key_id=text(key_id),
        grant_id=text(grant_id),
        token=text(token),
        created=time(created),
        effective=time(effective),
        issuing_account=text(issuing_account),
        grantee=text(grantee),
        retiring=text_or_none(retiring),
        document=text(document),
    )


def _identity(row: tuple[Any, ...]) -> Identity:
    account, arn, created, document = row
    return Identity(text(account), text(arn), time(created), text(document))
