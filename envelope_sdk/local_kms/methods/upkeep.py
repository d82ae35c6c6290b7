"""Looking after the store of a KMS: other root keys, backups, and what its use would have cost."""

from __future__ import annotations

import os
from pathlib import Path

from envelope_sdk.local_kms.metering.costs import Costs
from envelope_sdk.local_kms.service import Service
from envelope_sdk.local_kms.store.backup import restore_backup
from envelope_sdk.local_kms.store.sources import RootKeySource
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["UpkeepMethods"]


class UpkeepMethods:
    """What is done to the store as a whole: nothing that boto3 has."""

    _service: Service

    def rotate_root_key(self, root_key: RootKeySource = None) -> None:
        """Put all keys under another root key, while they are used; ciphertexts are not touched.

        The keys are wrapped anew in one transaction: a process that is killed leaves a store that opens with the old
        root key or with the new one. Other processes that have the store open go on if they find the new root key
        where they had the old one: a file that was replaced, a key of the same token. Otherwise their next call that
        needs a key they do not have at hand is a :class:`~envelope_sdk.errors.KeyStoreError`, until they open the
        store again.

        Backups made before still need the old root key. Its file next to the database is kept, by the name
        ``<path>.rootkey.1`` (``.2`` after the next rotation, and so on); so is a file named here that is replaced. To
        remove it when no backup needs it any more is up to you.

        Args:
            root_key: where the new root key comes from, as in ``LocalKms.open``. Left out, with no environment variable
                set: a new one in the file ``<path>.rootkey``.

        Raises:
            UsageError: the new root key is the old one.
            TypeError: the root key is of another kind.
            KeyStoreError: the new root key cannot be had, or a key in the store is damaged. Nothing is changed then.
            KmsServiceError: DependencyTimeoutException: another process kept the store locked.
        """
        self._service.store.rotate_root_key(root_key)

    def backup(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write a copy of the store to a file, while it is used; whatever was answered before is in it.

        **The root key is not in it.** Keep a copy of that as well, in another place: without it the backup opens
        nothing, and together they open everything.

        Args:
            path: the file to be; readable by its owner only. It appears once it is complete and on disk.
            replace: whether a file that is there is replaced.

        Raises:
            UsageError: the file is there, or the store is one whose backups are made elsewhere: PostgreSQL, or memory.
            KeyStoreError: the store cannot be read, or the file cannot be written.
        """
        self._service.store.backup(Path(path).absolute(), replace=replace)

    @staticmethod
    def restore(
        backup: str | os.PathLike[str],
        path: str | os.PathLike[str],
        *,
        root_key: RootKeySource = None,
        replace: bool = False,
        random: RandomSource = system_random,
    ) -> Path | None:
        """Make a backup the key store in the file ``path``; ``LocalKms.open`` opens it then, with the same root key.

        Before it takes its place, the backup is read from end to end and every key in it unwrapped.

        Args:
            backup: what :meth:`backup` wrote; it is left as it is.
            path: where the store is to be.
            root_key: that which the store was under when the backup was made; left out, as in ``LocalKms.open``.
            replace: whether a store that is there is put aside. No process must have it open.
            random: as in ``LocalKms.open``.

        Returns:
            The new name of the file that was put aside, if one was.

        Raises:
            UsageError: there is a file already, or a path cannot be one.
            TypeError: the root key is of another kind.
            KeyStoreError: the backup is damaged, of another program or a later version; the root key is not its own;
                or the store that is there is open. Nothing is changed then.
        """
        return restore_backup(Path(backup).absolute(), Path(path).absolute(), root_key, random, replace=replace)

    def costs(self, month: str, *, free_tier: bool = False) -> Costs:
        """Return what the keys of the store, and the requests made of it in a month, would have cost on AWS.

        All accounts and Regions of the store are in it.

        Args:
            month: for instance ``2026-11``, UTC.
            free_tier: whether each account has the requests that AWS gives away.

        Raises:
            UsageError: the month cannot be one.
            KeyStoreError, KmsServiceError: the store cannot be used, or is busy.
        """
        return self._service.costs(month, free_tier=free_tier)
