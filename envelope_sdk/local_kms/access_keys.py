"""Access keys: who a request's signature says that it comes from."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, cast

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.policy import Caller

__all__ = ["AccessKey", "AccessKeys", "Credentials", "read_access_keys"]

_ID: Final = re.compile(r"\w{16,128}", re.ASCII)
_MAX_FILE: Final = 2**20
_FIELDS: Final = frozenset({"secret", "arn", "session_token", "expires"})


@dataclass(frozen=True, slots=True, repr=False)
class AccessKey:
    """An access key and whose it is. Its repr shows no secret, and it cannot be pickled.

    Attributes:
        access_key_id: 16 to 128 letters, digits and underscores, as at AWS.
        secret: the secret access key.
        caller: the principal who signs with it; never a service.
        session_token: what has to come with every request; ``None`` for keys without.
        expires: when it ends, tz-aware; ``None`` for never.
    """

    access_key_id: str
    secret: str
    caller: Caller
    session_token: str | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` where the id cannot be one, or a request could not be signed with it."""
        if not _ID.fullmatch(self.access_key_id):
            raise UsageError(f"an access key id is 16 to 128 letters and digits, not {self.access_key_id!r}")
        if not self.secret or not self.caller.account:
            raise UsageError(
                f"the access key {self.access_key_id} needs a secret and the ARN of an account's principal"
            )
        if self.expires is not None and self.expires.tzinfo is None:
            raise UsageError(f"the date at which {self.access_key_id} expires needs a time zone")

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id!r}, {self.caller.arn!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("an access key cannot be pickled or copied")


class Credentials(Protocol):
    """Where access keys are looked up, once for every request: it has to be quick."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return the access key of that id, ``None`` where there is none that is in force.

        Whether it has expired is looked at by whoever asks.
        """
        ...


class AccessKeys:
    """Access keys in memory. Fulfils :class:`Credentials`."""

    def __init__(self, keys: Iterable[AccessKey]) -> None:
        """Take the keys.

        Raises:
            UsageError: two have one id.
        """
        self._keys: dict[str, AccessKey] = {}
        for key in keys:
            if self._keys.setdefault(key.access_key_id, key) is not key:
                raise UsageError(f"the access key {key.access_key_id} stands twice")

    def __repr__(self) -> str:
        return f"AccessKeys({sorted(self._keys)}, <secret>)"

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return the access key of that id."""
        return self._keys.get(access_key_id)


def read_access_keys(path: Path) -> AccessKeys:
    """Read a file of access keys: TOML, a table for each id.

    In a table are ``secret``, ``arn`` (of the account's root, a user or a role session) and, where they are wanted,
    ``session_token`` and ``expires`` (a date-time with its offset).

    Raises:
        KeyStoreError: it cannot be read, or others than its owner may read it.
        UsageError: it holds something else. The message never repeats what it holds.
    """
    try:
        tables = tomllib.loads(_read(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        place = re.search(r"at line \d+", str(error))
        problem = f"the access key file {path} is not TOML{' ' + place[0] if place else ''}"
    else:
        try:
            return AccessKeys(_access_key(key_id, table) for key_id, table in tables.items())
        except UsageError as error:
            raise UsageError(f"the access key file {path}: {error}") from None
    raise UsageError(problem)


def _access_key(key_id: str, table: object) -> AccessKey:
    fields = cast("dict[str, object]", table) if isinstance(table, dict) else {"": None}
    if not _FIELDS.issuperset(fields):
        raise UsageError(f"{key_id}: a table of {', '.join(sorted(_FIELDS))} is wanted")
    secret, arn, token, expires = (fields.get(name) for name in ("secret", "arn", "session_token", "expires"))
    if not isinstance(secret, str) or not isinstance(arn, str) or not isinstance(token, str | None):
        raise UsageError(f"{key_id}: secret and arn are needed, as text; session_token is text too")
    if expires is not None and not (isinstance(expires, datetime) and expires.tzinfo):
        raise UsageError(f"{key_id}: expires has to be a date-time with its offset, for instance 2027-01-01T00:00:00Z")
    ends = expires.astimezone(UTC) if isinstance(expires, datetime) else None
    return AccessKey(key_id, secret, Caller.parse(arn), token, ends)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise KeyStoreError(f"the access key file {path} cannot be read: {error.strerror}") from None
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyStoreError(f"the access key file {path} is open to others: run 'chmod 600' on it")
    if len(content) > _MAX_FILE:
        raise UsageError(f"the access key file {path} has more than {_MAX_FILE} bytes")
    return content
