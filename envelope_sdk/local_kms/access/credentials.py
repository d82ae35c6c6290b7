"""Access keys of users and sessions: issued, and kept wrapped."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.model import AccessKey
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource

__all__ = [
    "DEFAULT_SESSION",
    "IssuedKey",
    "KeyIssuer",
    "SessionCredentials",
    "damaged_key",
    "key_document",
]

DEFAULT_SESSION: Final = timedelta(hours=1)
"""How long a session lasts unless told otherwise (API_AssumeRole, ``DurationSeconds``)."""

_LONGEST: Final = timedelta(hours=36)


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


class KeyIssuer:
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

    def issue(self, caller: Caller, key_id: str | None = None, secret: str | None = None) -> IssuedKey:
        """Make a key for a user or root, of whatever is given."""
        key_id, secret = key_id or self.new_id("AKIA", 16), secret or self._new_secret()
        self._put(key_id, caller, secret, None, None)
        return IssuedKey(key_id, secret)

    def begin_session(self, caller: Caller, duration: timedelta) -> SessionCredentials:
        """Make the credentials of a session.

        Raises:
            UsageError: it is to last for less than a second, more than 36 hours, or longer than there are dates.
        """
        if not timedelta(seconds=1) <= duration <= _LONGEST:
            raise UsageError(f"a session lasts from one second to 36 hours, not {duration}")
        key_id, secret = self.new_id("ASIA", 16), self._new_secret()
        token = base64.b64encode(self._random(96)).decode()
        try:
            expiry = self.now() + duration
        except OverflowError:
            raise UsageError(f"there is no date {duration} from now") from None
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
                document = json.dumps({**key_document(key), "active": active}, sort_keys=True)
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
            "role_id": caller.unique_id if caller.role_arn else "",
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


def key_document(key: AccessKey) -> dict[str, Any]:
    """Return what is kept of an access key beside its secret. Raises KeyStoreError."""
    try:
        document: dict[str, Any] = json.loads(key.document)
    except ValueError:
        raise damaged_key(key.access_key_id) from None
    return document


def damaged_key(access_key_id: str) -> KeyStoreError:
    """Return the error for a record that cannot be read."""
    return KeyStoreError(f"the key store's record of access key {access_key_id} is damaged")


def _unknown(access_key_id: str) -> KmsServiceError:
    return faults.no_such_entity(f"The Access Key with id {access_key_id} cannot be found.")
