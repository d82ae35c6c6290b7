"""The access keys of a store, for whoever verifies signatures."""

from __future__ import annotations

import json

from envelope_sdk.local_kms.access.credentials import damaged_key, key_document
from envelope_sdk.local_kms.access.identity_documents import document_of
from envelope_sdk.local_kms.access_keys import AccessKey
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store
from envelope_sdk.primitives.aead import wipe

__all__ = ["StoredCredentials"]

_CAPACITY = 4096


class StoredCredentials:
    """Fulfils :class:`~envelope_sdk.local_kms.access_keys.Credentials`. Safe to share between threads.

    What is found is kept until anybody changes the store.
    """

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._kept: tuple[object, dict[str, AccessKey]] = (None, {})

    def __repr__(self) -> str:
        return f"StoredCredentials({self._store!r}, <secret>)"

    def find(self, access_key_id: str) -> AccessKey | None:
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

    def _load(self, access_key_id: str) -> AccessKey | None:
        with self._store.read() as look:
            key = look.access_key(access_key_id)
            if key is None:
                return None
            try:
                document = key_document(key)
                secrets = json.loads(key.secret)
                role = document["role"]
                if not document["active"] or (role and not _is_there(look, role, document.get("role_id"))):
                    return None
                caller = Caller.parse(
                    key.arn,
                    role_path=_path_of(role) if role else "/",
                    tags=document["tags"],
                    session_policies=document["session_policies"],
                )
                return AccessKey(access_key_id, secrets["secret"], caller, secrets["token"], key.expiry)
            except (ValueError, TypeError, KeyError):
                raise damaged_key(access_key_id) from None
            finally:
                wipe(memoryview(key.secret))


def _is_there(look: ReadTransaction, role_arn: str, role_id: str | None) -> bool:
    """Return whether the role of a session is still the one that it is of: another of the same name is not.

    The keys of a user go with it. Sessions begun by earlier versions do not say which role they are of.
    """
    role = look.identity(role_arn)
    return role is not None and role_id in (None, "", document_of(role).unique_id)


def _path_of(role_arn: str) -> str:
    """Return the path in a role's ARN: what stands between ``role`` and its name, with both slashes."""
    resource = role_arn.split(":", 5)[5]
    return resource.removeprefix("role").rpartition("/")[0] + "/"
