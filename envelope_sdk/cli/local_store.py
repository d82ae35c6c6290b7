"""The local KMS that the command uses: where its file is, and the key it makes when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from envelope_sdk.bulk.folders import make_folders
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.keyrings.places import local_store_path, status_of_store

if TYPE_CHECKING:
    from envelope_sdk.local_kms import LocalKms, Options, RootKeySource
    from envelope_sdk.local_kms.store.contract import Store

__all__ = ["DEFAULT_ALIAS", "LocalStore", "StoreDoor"]

DEFAULT_ALIAS: Final = "alias/envelope-default"
"""The alias of the key that 'envelope encrypt' makes on first use."""


_KEEP_COPIES: Final = (
    "hint: keep copies of that file and of its root key beside it: what the key encrypts opens with both only"
)
_DATABASES: Final = ("postgresql://", "postgres://")
_ENDINGS: Final = ("", "-wal", "-shm", "-journal", ".rootkey", ".rootkey.new")


class LocalStore:
    """The file of a local KMS, found and opened when it is first needed."""

    def __init__(self, path: str | None, root_key: str | None = None) -> None:
        """Take where it is.

        Args:
            path: the file, or the URL of a PostgreSQL database; ``None`` for the usual file: ``envelope/kms.db`` under
                ``$XDG_DATA_HOME``.
            root_key: where the root key is, as :func:`~envelope_sdk.cli.root_keys.root_key_source` takes it; ``None``
                for what ``$ENVELOPE_KMS_ROOT_KEY_FROM`` says.
        """
        self._url = path if path and path.startswith(_DATABASES) else None
        self._path = Path(path) if path and not self._url else None
        self._root_key = root_key
        self._scope: Options = {}
        self._kms: LocalKms | None = None
        self._others: dict[str, LocalStore] = {}

    @property
    def path(self) -> Path:
        """The file.

        Raises:
            UsageError: none was named, and there is no home folder to look in; or there is none, but a database.
        """
        if self._url is not None:
            raise UsageError("the keys are in a PostgreSQL database: that is looked after with its own tools")
        if self._path is None:
            self._path = local_store_path()
        return self._path

    @property
    def name(self) -> str:
        """What to call it in messages: the file, or that it is a database, whose URL may hold a password."""
        return str(self.path) if self._url is None else "the PostgreSQL database"

    @property
    def words(self) -> str:
        """What names it to another process: the file, absolute, or the URL, which may hold a password."""
        return self._url or str(self.path.absolute())

    def may_be_there(self) -> bool:
        """Return whether there is a store, as far as can be told without opening it."""
        return self._url is not None or self.path.exists()

    def files(self) -> list[Path]:
        """Return every file that the local KMS may consist of, or nothing where nobody knows where it would be."""
        try:
            path = self.path
        except UsageError:
            return []
        return [Path(f"{path}{ending}") for ending in _ENDINGS]

    def has(self, name: str) -> bool:
        """Return whether a name leads to one of the files of the local KMS."""
        return os.path.realpath(name) in {os.path.realpath(file) for file in self.files()}

    def choose(self, what: str, value: str) -> None:
        """Say which ``"region"`` or ``"account"`` the keys are of, before the local KMS is opened."""
        if what == "region":
            self._scope["region"] = value
        else:
            self._scope["account"] = value

    def kms(self, *, make: bool = False) -> LocalKms:
        """Return the local KMS.

        Args:
            make: whether its file and folder are made where there are none.

        Raises:
            KeyStoreError: the file or its root key cannot be used, or is not there.
        """
        if self._kms is None:
            from envelope_sdk.local_kms import LocalKms

            if self._url is not None:
                self._kms = LocalKms.open_postgresql(self._url, root_key=self.root_key(), **self._scope)
                return self._kms
            if make:
                self.make_folder()
            else:
                status_of_store(self.path)
            self._kms = LocalKms.open(self.path, root_key=self.root_key(), **self._scope)
        return self._kms

    def open_store(self) -> Store:
        """Open the store alone, for a server; it is the caller's to close. What is not there is made.

        Raises:
            KeyStoreError, KmsServiceError: it or its root key cannot be used.
            UsageError: a database is named, but no root key.
        """
        from envelope_sdk.primitives.entropy import system_random

        if self._url is not None:
            from envelope_sdk.local_kms.store.postgresql.store import PostgresqlStore

            return PostgresqlStore.open(self._url, self.root_key(), system_random)
        from envelope_sdk.local_kms.store.sqlite import SqliteStore

        self.make_folder()
        return SqliteStore.open(self.path.absolute(), self.root_key(), system_random)

    def root_key(self) -> RootKeySource:
        """Return where the root key comes from.

        Raises:
            UsageError, KeyStoreError, KeyringError: what was said of it cannot be followed.
        """
        from envelope_sdk.cli.root_keys import SOURCE_VARIABLE

        return self._named_root_key(self.root_key_words(), f"--root-key or in {SOURCE_VARIABLE}")

    def new_root_key(self, words: str | None) -> RootKeySource:
        """Return where another root key comes from. Raises as :meth:`root_key` does."""
        return self._named_root_key(words, "--new-root-key")

    def _named_root_key(self, words: str | None, how: str) -> RootKeySource:
        from envelope_sdk.cli.root_keys import root_key_source
        from envelope_sdk.local_kms import ROOT_KEY_VARIABLE

        if self._url is not None and not words and ROOT_KEY_VARIABLE not in os.environ:
            raise UsageError(f"nothing lies beside {self.name}, which needs a root key: name it with {how}")
        return root_key_source(words)

    def root_key_words(self) -> str | None:
        """Return what was said of the root key, by option or environment variable."""
        from envelope_sdk.cli.root_keys import SOURCE_VARIABLE

        return self._root_key or os.environ.get(SOURCE_VARIABLE)

    def at(self, path: str | None) -> LocalStore:
        """Return the store in another file, which is closed with this one; this one for ``None``."""
        return self if path is None else self._others.setdefault(path, LocalStore(path, self._root_key))

    def close(self) -> None:
        """Close the local KMS if it was opened."""
        for other in self._others.values():
            other.close()
        if self._kms is not None:
            self._kms.close()
            self._kms = None

    def key_arn(self, key_id: str) -> str:
        """Return the ARN of the key that an id, ARN or alias names.

        Raises:
            KmsServiceError: there is no such key.
        """
        return str(self.kms().describe_key(KeyId=key_id)["KeyMetadata"]["Arn"])

    def default_key_arn(self) -> str:
        """Return the ARN of the default key, making it, and the local KMS, where there is none."""
        kms = self.kms(make=True)
        try:
            return self.key_arn(DEFAULT_ALIAS)
        except KmsServiceError as error:
            if error.code != "NotFoundException":
                raise
        made = kms.create_key(Description="made by 'envelope encrypt'")["KeyMetadata"]
        try:
            kms.create_alias(AliasName=DEFAULT_ALIAS, TargetKeyId=made["KeyId"])
        except KmsServiceError as error:
            if error.code != "AlreadyExistsException":
                raise
            # Another process was quicker: its key is the default, and this one has never been used.
            kms.schedule_key_deletion(KeyId=made["KeyId"], PendingWindowInDays=7)
            return self.key_arn(DEFAULT_ALIAS)
        say(f"created the key {made['Arn']} in {self.name}")
        if self._url is None:
            say(_KEEP_COPIES)
        return str(made["Arn"])

    def make_folder(self) -> None:
        """Make the folder that the file is in.

        Raises:
            KeyStoreError: it cannot be made.
        """
        folder = self.path.parent
        try:
            make_folders(folder)
        except FileExistsError:
            raise KeyStoreError(f"the key store {self.path} cannot be used: {folder} is not a folder") from None
        except OSError as error:
            reason = str(error.strerror).lower()
            raise KeyStoreError(f"the key store {self.path} cannot be used: {error.filename}: {reason}") from None


class StoreDoor:
    """The local KMSs of this command, for keyrings that are named by URI."""

    def __init__(self, usual: LocalStore) -> None:
        """Take the one that is meant where a URI names none."""
        self._usual = usual

    def path(self, store: str | None) -> str:
        """Return the file of a store."""
        return self._usual.at(store).name

    def kms(self, store: str | None) -> LocalKms:
        """Open a store, to be closed with the usual one."""
        return self._usual.at(store).kms()
