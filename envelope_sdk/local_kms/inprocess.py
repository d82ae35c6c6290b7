"""``LocalKms``: the KMS in this process, with boto3's methods, answers and errors."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms.audit.log import AuditLog
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.methods.access import AccessMethods
from envelope_sdk.local_kms.methods.agreement import AgreementMethods
from envelope_sdk.local_kms.methods.aliases import AliasMethods
from envelope_sdk.local_kms.methods.encryption import EncryptionMethods
from envelope_sdk.local_kms.methods.grants import GrantMethods
from envelope_sdk.local_kms.methods.keys import KeyMethods
from envelope_sdk.local_kms.methods.policies import PolicyMethods
from envelope_sdk.local_kms.methods.signing import SigningMethods
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.quotas import Latency, RequestQuotas, Throttle
from envelope_sdk.local_kms.service import Clock, Service, system_clock
from envelope_sdk.local_kms.store.backup import restore_backup
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.local_kms.store.sources import RootKeySource
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_REGION", "Audit", "LocalKms"]

Audit = AuditLog | str | os.PathLike[str] | None
"""An audit log, the path of one, or none."""

DEFAULT_REGION: Final = "us-east-1"
"""The Region a local KMS is in unless told otherwise, as with other local emulators."""

DEFAULT_ACCOUNT: Final = "000000000000"
"""The account a local KMS belongs to unless told otherwise, as with other local emulators. AWS gives it to nobody, so
that local ARNs are told from real ones at sight."""

_LONGEST_PROPAGATION: Final = timedelta(days=1)


class LocalKms(
    KeyMethods,
    PolicyMethods,
    GrantMethods,
    AliasMethods,
    EncryptionMethods,
    SigningMethods,
    AgreementMethods,
    AccessMethods,
):
    """A key management service in a file, or in memory, called like ``boto3.client("kms")``.

    Methods, keyword parameters, answers and errors are boto3's (API version 2014-11-01); an error is
    :class:`~envelope_sdk.errors.KmsServiceError` with AWS's code and text and a ``response`` like that of botocore's
    ``ClientError``. What is not built yet answers ``UnsupportedOperationException`` and says so.

    The caller is the root user of the account, whom key policies bind as on AWS; :meth:`acting_as` calls as others do,
    and :meth:`simulate` says why they may or may not. Whoever can read the file and its root key can be whom they like.

    Keys are of every kind that AWS KMS has outside of China, and each is for one thing:

    - ``ENCRYPT_DECRYPT``: ``SYMMETRIC_DEFAULT``, which also wraps data keys and key pairs, and ``RSA_2048`` to
      ``RSA_4096`` (RSAES-OAEP with SHA-1 or SHA-256);
    - ``SIGN_VERIFY``: RSA (PSS and PKCS #1 v1.5), ``ECC_NIST_P256``, ``P384`` and ``P521``, ``ECC_SECG_P256K1``,
      ``ECC_NIST_EDWARDS25519`` (Ed25519, but not its prehashed form), ``ML_DSA_44``, ``65`` and ``87``;
    - ``GENERATE_VERIFY_MAC``: ``HMAC_224`` to ``HMAC_512``;
    - ``KEY_AGREEMENT``: the NIST curves (ECDH);
    - ``ENCAPSULATE_DECAPSULATE``: ``ML_KEM_768`` and ``ML_KEM_1024``.

    ML-DSA and ML-KEM need a ``cryptography`` that has them; with an older one they are
    ``UnsupportedOperationException``, as ``ML_KEM_512`` is with any.

    Safe to share between threads; several processes may open the same file. Not to be carried across ``fork``: open it
    again in the child.

    A signal handler may use keys, whatever call it interrupts. It cannot change them in the middle of another change,
    which can only end after the handler: that is a :class:`~envelope_sdk.errors.UsageError`, as is any use of a KMS in
    memory in the middle of a change. Better let the handler take note, and do the work outside of it.

    Attributes:
        region: the Region its ARNs name.
        account: the account its ARNs name.
    """

    def __init__(
        self,
        store: Store,
        *,
        region: str = DEFAULT_REGION,
        account: str = DEFAULT_ACCOUNT,
        clock: Clock = system_clock,
        random: RandomSource = system_random,
        quotas: RequestQuotas | None = None,
        limits: ResourceQuotas | None = None,
        latency: Latency | None = None,
        audit: Audit = None,
        grant_propagation: float = 0,
    ) -> None:
        """Put a KMS over any store; :meth:`open` and :meth:`in_memory` are the usual ways in.

        Args:
            store: where the keys are; closed with the KMS.
            region: the Region to be in.
            account: twelve digits.
            clock: returns the time, tz-aware.
            random: the source of keys, ids and nonces; anything but the default is for tests.
            quotas: how many requests a second there may be; as many as there are without.
            limits: how many keys, aliases and so on there may be; as on AWS without.
            latency: how much longer each call takes; it sleeps in the calling thread.
            audit: the audit log that takes down every call: the path of one, or an open one, which stays open.
            grant_propagation: seconds until a new grant counts for callers who do not give its token: up to five
                minutes with AWS, none here unless told otherwise.

        Raises:
            UsageError: the Region, account or time cannot be one.
        """
        scope = Scope(account, region)
        self.region = region
        self.account = account
        self._scope = scope
        self._caller = Caller.parse(f"{scope.arn_prefix.split(':kms:')[0]}:iam::{account}:root")
        self._way: dict[str, Any] = {}
        self._whole = True
        self._clock = clock
        self._random = random
        throttle = None if quotas is None else Throttle(quotas)
        self._latency = latency
        self._own_log: AuditLog | None = None
        if isinstance(audit, AuditLog):
            journal: AuditLog | None = audit
        else:
            journal = self._own_log = None if audit is None else AuditLog(audit)
        self._service = Service(
            store,
            clock=clock,
            random=random,
            quotas=throttle,
            limits=limits,
            journal=journal,
            grant_propagation=_propagation(grant_propagation),
        )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        root_key: RootKeySource = None,
        region: str = DEFAULT_REGION,
        account: str = DEFAULT_ACCOUNT,
        clock: Clock = system_clock,
        random: RandomSource = system_random,
        quotas: RequestQuotas | None = None,
        limits: ResourceQuotas | None = None,
        latency: Latency | None = None,
        audit: Audit = None,
        grant_propagation: float = 0,
    ) -> LocalKms:
        """Open the key store in the SQLite file ``path``; on first use the file and its root key are made.

        Args:
            path: the file. Its folder has to exist. One file serves several Regions and accounts.
            root_key: what the keys in the file are encrypted under: 32 bytes, the path of a root key file, a
                :class:`~envelope_sdk.local_kms.Passphrase`, or a
                :class:`~envelope_sdk.local_kms.RootKeyWrapper`, such as
                :class:`~envelope_sdk.keyrings.Pkcs11RootKey`. Left out: the environment variable
                ``ENVELOPE_KMS_ROOT_KEY`` (base64 of 32 bytes) if it is set, and otherwise the file ``<path>.rootkey``
                next to the database. Keep a copy of it apart from that of the database: either alone is of no use.
            region: the Region to be in.
            account: twelve digits.
            clock: returns the time, tz-aware.
            random: the source of keys, ids and nonces; anything but the default is for tests.
            quotas: how many requests a second there may be; as many as there are without.
            limits: how many keys, aliases and so on there may be; as on AWS without.
            latency: how much longer each call takes; it sleeps in the calling thread.
            audit: the audit log that takes down every call: the path of one, or an open one, which stays open.
            grant_propagation: seconds until a new grant counts for callers who do not give its token.

        Raises:
            UsageError: the Region, account, path or root key cannot be one.
            TypeError: the root key is none of these kinds; a plain string could be a path or a passphrase.
            KeyStoreError: the file is damaged, of another program or a later version, or cannot be written; the root
                key is missing, not this file's, or open to others.
            KmsServiceError: DependencyTimeoutException: another process kept the file locked.
        """
        Scope(account, region)
        # Absolute, so that a later change of folder does no harm, and that SQLite's special names are names of files.
        store = SqliteStore.open(Path(path).absolute(), root_key, random)
        try:
            return cls(
                store,
                region=region,
                account=account,
                clock=clock,
                random=random,
                quotas=quotas,
                limits=limits,
                latency=latency,
                audit=audit,
                grant_propagation=grant_propagation,
            )
        except BaseException:
            # The audit log cannot be opened.
            store.close()
            raise

    @classmethod
    def open_postgresql(
        cls,
        url: str,
        *,
        root_key: RootKeySource,
        schema: str = "envelope_kms",
        region: str = DEFAULT_REGION,
        account: str = DEFAULT_ACCOUNT,
        clock: Clock = system_clock,
        random: RandomSource = system_random,
        grant_propagation: float = 0,
    ) -> LocalKms:
        """Open the key store in a PostgreSQL database, which servers on several hosts may share.

        What is changed through one of them is in force on all at their next call. Needs psycopg 3:
        ``pip install 'envelope-sdk[postgresql]'``.

        Args:
            url: ``postgresql://user@host/database``, as libpq takes it. Several hosts may be named: the one that takes
                writes is used. A password in it is never shown; better keep it in a password file (``~/.pgpass``).
            root_key: as in :meth:`open`, but nothing is next to a database: ``None`` is the environment variable
                ``ENVELOPE_KMS_ROOT_KEY`` alone. Every host needs the same one. A file that is not there is made on
                first use.
            schema: the schema that the tables are in; made on first use.
            region: the Region to be in.
            account: twelve digits.
            clock: returns the time, tz-aware.
            random: the source of keys, ids and nonces; anything but the default is for tests.
            grant_propagation: seconds until a new grant counts for callers who do not give its token.

        Raises:
            UsageError: the Region, account, URL, schema or root key cannot be one, or there is no root key.
            TypeError: the root key or the URL is of another kind.
            KeyStoreError: the database cannot be reached or used, its schema is of another program or a later version,
                the root key is missing or not its own, or psycopg is not installed.
            KmsServiceError: DependencyTimeoutException: another process kept the store locked. Later calls that do not
                reach the database end in the same.
        """
        from envelope_sdk.local_kms.store.postgresql.store import PostgresqlStore

        Scope(account, region)
        store = PostgresqlStore.open(url, root_key, random, schema=schema)
        return cls(
            store, region=region, account=account, clock=clock, random=random, grant_propagation=grant_propagation
        )

    @classmethod
    def in_memory(
        cls,
        *,
        region: str = DEFAULT_REGION,
        account: str = DEFAULT_ACCOUNT,
        clock: Clock = system_clock,
        random: RandomSource = system_random,
        quotas: RequestQuotas | None = None,
        limits: ResourceQuotas | None = None,
        latency: Latency | None = None,
        audit: Audit = None,
        grant_propagation: float = 0,
    ) -> LocalKms:
        """Make an empty KMS whose keys are gone when it is closed: for tests. Parameters as in :meth:`open`."""
        store = SqliteStore.in_memory(random)
        return cls(
            store,
            region=region,
            account=account,
            clock=clock,
            random=random,
            quotas=quotas,
            limits=limits,
            latency=latency,
            audit=audit,
            grant_propagation=grant_propagation,
        )

    def __enter__(self) -> Self:
        """Return the KMS itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"LocalKms({self._service!r}, region={self.region!r}, account={self.account!r})"

    def __reduce__(self) -> str:
        raise TypeError("an open key management service cannot be pickled or copied: open it again")

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
            root_key: where the new root key comes from, as in :meth:`open`. Left out, with no environment variable set:
                a new one in the file ``<path>.rootkey``.

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
        """Make a backup the key store in the file ``path``; :meth:`open` opens it then, with the same root key.

        Before it takes its place, the backup is read from end to end and every key in it unwrapped.

        Args:
            backup: what :meth:`backup` wrote; it is left as it is.
            path: where the store is to be.
            root_key: that which the store was under when the backup was made; left out, as in :meth:`open`.
            replace: whether a store that is there is put aside. No process must have it open.
            random: as in :meth:`open`.

        Returns:
            The new name of the file that was put aside, if one was.

        Raises:
            UsageError: there is a file already, or a path cannot be one.
            TypeError: the root key is of another kind.
            KeyStoreError: the backup is damaged, of another program or a later version; the root key is not its own;
                or the store that is there is open. Nothing is changed then.
        """
        return restore_backup(Path(backup).absolute(), Path(path).absolute(), root_key, random, replace=replace)

    def boto3_client(self, service: str = "kms", *, region_name: str | None = None, **options: Any) -> Any:
        """Return a real boto3 client whose requests are answered here, without a socket.

        For code that takes a client, paginators and botocore's own checks included. Credentials do not matter: the
        caller is the root of this KMS's account, or of the account whose twelve digits are ``aws_access_key_id``. The
        client works as long as this KMS is open; boto3's own cost is 15 to 50 times that of a call here.

        Args:
            service: ``kms``, or ``sts`` for GetCallerIdentity.
            region_name: another Region than this KMS's, with keys of its own in the same store.
            options: whatever else ``boto3.client`` takes.

        Raises:
            UsageError: another service.
        """
        from envelope_sdk.local_kms.authentication import Always, Anybody
        from envelope_sdk.local_kms.boto3_client import boto3_client
        from envelope_sdk.local_kms.gateway import Gateway

        who = Anybody(self.account, self.region) if self._whole else Always(self._caller, self.account, self.region)
        gateway = Gateway(self._service, who)
        return boto3_client(gateway, self.account, region_name or self.region, service, **options)

    def close(self) -> None:
        """Close the store and forget all keys, as well as Python can. Closing twice is no error.

        What :meth:`acting_as` returned closes nothing.
        """
        if not self._whole:
            return
        self._service.close()
        if self._own_log is not None:
            self._own_log.close()

    def _call(self, operation: str, **parameters: object) -> dict[str, Any]:
        request_id = str(uuid.uuid4())
        if self._latency is not None:
            self._latency.wait()
        try:
            answer = self._service.call(
                operation, parameters, Requester(self._scope, self._caller, request_id, **self._way)
            )
        except KmsServiceError as error:
            error.response["ResponseMetadata"]["RequestId"] = request_id
            raise
        answer["ResponseMetadata"] = {
            "RequestId": request_id,
            "HTTPStatusCode": 200,
            "HTTPHeaders": {},
            "RetryAttempts": 0,
        }
        return answer


def _propagation(seconds: float) -> timedelta:
    try:
        delay = timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        delay = timedelta(-1)
    if not timedelta() <= delay <= _LONGEST_PROPAGATION:
        raise UsageError(f"grants take from 0 seconds to a day to spread, not {seconds!r}")
    return delay
