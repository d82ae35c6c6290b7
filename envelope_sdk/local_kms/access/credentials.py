"""Access keys of users and sessions: issued, kept wrapped, and found again when a request is signed with one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.model import AccessKey
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource

__all__ = [
    "DEFAULT_SESSION",
    "AccessKeys",
    "IssuedKey",
    "SessionCredentials",
    "StoredCredentials",
    "StoredKey",
]

DEFAULT_SESSION: Final = timedelta(hours=1)
"""How long a session lasts unless told otherwise (API_AssumeRole, ``DurationSeconds``)."""

_LONGEST: Final = timedelta(hours=36)
_CAPACITY: Final = 4096


@dataclass(frozen=True, slots=True, repr=False)
class IssuedKey:
    """A new access key. Its repr shows no secret.

    Attributes:
        access_key_id: ``AKIA...``.
        secret_access_key: never shown again.
    """

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.access_key_id!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("an access key cannot be pickled or copied")


@dataclass(frozen=True, slots=True, repr=False)
class SessionCredentials:
    """What a session signs with. Its repr shows no secret.

    Attributes:
        access_key_id: ``ASIA...``.
        secret_access_key: never shown again.
        session_token: goes with every request.
        expiry: when the session ends, UTC.
        caller: the session, for :meth:`~envelope_sdk.local_kms.LocalKms.acting_as`.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiry: datetime
    caller: Caller

    def __repr__(self) -> str:
        return f"SessionCredentials({self.access_key_id!r}, {self.caller.arn!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("credentials cannot be pickled or copied")


class AccessKeys:
    """The access keys of a store. Who may have one is asked elsewhere."""

    def __init__(self, store: Store, clock: Callable[[], datetime], random: RandomSource) -> None:
        """Take the store, and where time and randomness come from."""
        self._store = store
        self._clock = clock
        self._random = random

    def now(self) -> datetime:
        """Return the time, UTC, to the millisecond as it is kept."""
        now = self._clock().astimezone(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def new_id(self, prefix: str, length: int) -> str:
        """Return ``prefix`` and ``length`` letters and digits."""
        return prefix + base64.b32encode(self._random(20)).decode()[:length]

    def issue(self, caller: Caller) -> IssuedKey:
        """Make a key for a user or root."""
        key_id, secret = self.new_id("AKIA", 16), self._new_secret()
        self._put(key_id, caller, secret, None, None)
        return IssuedKey(key_id, secret)

    def begin_session(self, caller: Caller, duration: timedelta) -> SessionCredentials:
        """Make the credentials of a session.

        Raises:
            UsageError: it is to last for less than a second, or more than 36 hours.
        """
        if not timedelta(seconds=1) <= duration <= _LONGEST:
            raise UsageError(f"a session lasts from one second to 36 hours, not {duration}")
        key_id, secret = self.new_id("ASIA", 16), self._new_secret()
        token = base64.b64encode(self._random(96)).decode()
        expiry = self.now() + duration
        self._put(key_id, caller, secret, token, expiry)
        return SessionCredentials(key_id, secret, token, expiry, caller)

    def ids(self, arn: str) -> Sequence[str]:
        """Return the ids of a principal's keys."""
        with self._store.read() as look:
            keys = look.access_keys(arn)
        for key in keys:
            wipe(memoryview(key.secret))
        return [key.access_key_id for key in keys]

    def set_active(self, access_key_id: str, active: bool) -> None:
        """Let a key be used or not. Raises NoSuchEntity."""
        with self._store.write() as transaction:
            key = transaction.access_key(access_key_id)
            if key is None:
                raise _unknown(access_key_id)
            try:
                document = json.dumps({**_read(key), "active": active}, sort_keys=True)
                transaction.put_access_key(replace(key, document=document))
            finally:
                wipe(memoryview(key.secret))

    def delete(self, access_key_id: str) -> None:
        """Remove a key. Raises NoSuchEntity."""
        with self._store.write() as transaction:
            key = transaction.access_key(access_key_id)
            if key is None:
                raise _unknown(access_key_id)
            wipe(memoryview(key.secret))
            transaction.remove_access_key(access_key_id)

    def _new_secret(self) -> str:
        return base64.b64encode(self._random(30)).decode()

    def _put(self, key_id: str, caller: Caller, secret: str, token: str | None, expiry: datetime | None) -> None:
        document = {
            "active": True,
            "role": caller.role_arn,
            "tags": dict(caller.tags),
            "session_policies": caller.session_policies,
        }
        wrapped = bytearray(json.dumps({"secret": secret, "token": token}).encode())
        try:
            with self._store.write() as transaction:
                transaction.put_access_key(
                    AccessKey(
                        access_key_id=key_id,
                        account=caller.account,
                        arn=caller.arn,
                        created=self.now(),
                        expiry=expiry,
                        document=json.dumps(document, sort_keys=True),
                        secret=wrapped,
                    )
                )
        finally:
            wipe(memoryview(wrapped))


@dataclass(frozen=True, slots=True, repr=False)
class StoredKey:
    """An access key as it is looked up. Its repr shows no secret.

    Attributes:
        access_key_id: its id.
        secret: the secret access key.
        caller: who signs with it.
        session_token: what has to come with every request; ``None`` for keys without.
        expires: when it ends, UTC; ``None`` for never.
    """

    access_key_id: str
    secret: str
    caller: Caller
    session_token: str | None = None
    expires: datetime | None = None

    def __repr__(self) -> str:
        return f"StoredKey({self.access_key_id!r}, {self.caller.arn!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("an access key cannot be pickled or copied")


class StoredCredentials:
    """The access keys of a store, looked up for each request. Safe to share between threads.

    What is found is kept until anybody changes the store.
    """

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._kept: tuple[object, dict[str, StoredKey]] = (None, {})

    def __repr__(self) -> str:
        return f"StoredCredentials({self._store!r}, <secret>)"

    def find(self, access_key_id: str) -> StoredKey | None:
        """Return the access key of that id, ``None`` where there is none that is active.

        Whether it has expired is looked at by whoever asks.

        Raises:
            KeyStoreError: its record is damaged.
        """
        version = self._store.version()
        kept_version, kept = self._kept
        if kept_version != version:
            kept = {}
            self._kept = (version, kept)
        found = kept.get(access_key_id)
        if found is None:
            found = self._load(access_key_id)
            if found is not None and len(kept) < _CAPACITY:
                kept[access_key_id] = found
        return found

    def _load(self, access_key_id: str) -> StoredKey | None:
        with self._store.read() as look:
            key = look.access_key(access_key_id)
            if key is None:
                return None
            try:
                document = _read(key)
                secrets = json.loads(key.secret)
                role = document["role"]
                # A session outlives neither its role nor, as the store sees to it, a key its user.
                gone = bool(role) and look.identity(role) is None
                if gone or not document["active"]:
                    return None
                caller = Caller.parse(
                    key.arn,
                    role_path=f"/{role.split('/', 1)[1].rpartition('/')[0]}/".replace("//", "/") if role else "/",
                    tags=document["tags"],
                    session_policies=document["session_policies"],
                )
                return StoredKey(access_key_id, secrets["secret"], caller, secrets["token"], key.expiry)
            except (ValueError, TypeError, KeyError, IndexError, AttributeError):
                raise _damaged(access_key_id) from None
            finally:
                wipe(memoryview(key.secret))


def _read(key: AccessKey) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(key.document)
    except ValueError:
        raise _damaged(key.access_key_id) from None
    return document


def _damaged(access_key_id: str) -> KeyStoreError:
    return KeyStoreError(f"the key store's record of access key {access_key_id} is damaged")


def _unknown(access_key_id: str) -> Exception:
    return faults.no_such_entity(f"The Access Key with id {access_key_id} cannot be found.")
