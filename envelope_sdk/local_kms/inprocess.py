"""``LocalKms``: the KMS in this process, with boto3's methods, answers and errors."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.methods.access import AccessMethods
from envelope_sdk.local_kms.methods.agreement import AgreementMethods
from envelope_sdk.local_kms.methods.aliases import AliasMethods
from envelope_sdk.local_kms.methods.custom_key_stores import CustomKeyStoreMethods
from envelope_sdk.local_kms.methods.encryption import EncryptionMethods
from envelope_sdk.local_kms.methods.grants import GrantMethods
from envelope_sdk.local_kms.methods.imports import ImportMethods
from envelope_sdk.local_kms.methods.keys import KeyMethods
from envelope_sdk.local_kms.methods.multi_region import MultiRegionMethods
from envelope_sdk.local_kms.methods.policies import PolicyMethods
from envelope_sdk.local_kms.methods.rotation import RotationMethods
from envelope_sdk.local_kms.methods.signing import SigningMethods
from envelope_sdk.local_kms.methods.tags import TagMethods
from envelope_sdk.local_kms.methods.upkeep import UpkeepMethods
from envelope_sdk.local_kms.options import DEFAULT_ACCOUNT, DEFAULT_REGION, Options, open_service
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.service import system_clock
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.local_kms.store.sources import RootKeySource
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

__all__ = ["LocalKms"]


class LocalKms(
    KeyMethods,
    PolicyMethods,
    GrantMethods,
    RotationMethods,
    ImportMethods,
    AliasMethods,
    TagMethods,
    MultiRegionMethods,
    EncryptionMethods,
    SigningMethods,
    AgreementMethods,
    AccessMethods,
    UpkeepMethods,
    CustomKeyStoreMethods,
):
    """A key management service in a file, or in memory, called like ``boto3.client("kms")``.

    Methods, keyword parameters, answers and errors are boto3's (API version 2014-11-01); an error is
    :class:`~envelope_sdk.errors.KmsServiceError` with AWS's code and text and a ``response`` like that of botocore's
    ``ClientError``. The caller is the root user of the account, for whom key policies hold as on AWS; :meth:`acting_as`
    shows what others meet. Whoever can read the file and its root key can use every key in it, whatever policies say.

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

    def __init__(self, store: Store, **options: Unpack[Options]) -> None:
        """Put a KMS over any store; :meth:`open` and :meth:`in_memory` are the usual ways in.

        Args:
            store: where the keys are; closed with the KMS.
            options: see :class:`~envelope_sdk.local_kms.Options`.

        Raises:
            UsageError: an option cannot be so.
            KeyStoreError, OSError: the audit log cannot be opened.
        """
        scope = _scope(options)
        with ExitStack() as opened:
            self._service = open_service(store, options, opened)
            _plant(store, options, scope)
            self._owned: ExitStack | None = opened.pop_all()
        self._latency = options.get("latency")
        self._stand(scope, _root(scope), {})

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, root_key: RootKeySource = None, **options: Unpack[Options]
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
            options: see :class:`~envelope_sdk.local_kms.Options`.

        Raises:
            UsageError: the path, the root key or an option cannot be one.
            TypeError: the root key is none of these kinds; a plain string could be a path or a passphrase.
            KeyStoreError: the file is damaged, of another program or a later version, or cannot be written; the root
                key is missing, not this file's, or open to others.
            KmsServiceError: DependencyTimeoutException: another process kept the file locked.
        """
        _scope(options)
        # Absolute, so that a later change of folder does no harm, and that SQLite's special names are names of files.
        store = SqliteStore.open(Path(path).absolute(), root_key, options.get("random", system_random))
        return cls._over(store, options)

    @classmethod
    def open_postgresql(
        cls, url: str, *, root_key: RootKeySource, schema: str = "envelope_kms", **options: Unpack[Options]
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
            options: see :class:`~envelope_sdk.local_kms.Options`.

        Raises:
            UsageError: the URL, the schema, the root key or an option cannot be one, or there is no root key.
            TypeError: the root key or the URL is of another kind.
            KeyStoreError: the database cannot be reached or used, its schema is of another program or a later version,
                the root key is missing or not its own, or psycopg is not installed.
            KmsServiceError: DependencyTimeoutException: another process kept the store locked. Later calls that do not
                reach the database end in the same.
        """
        from envelope_sdk.local_kms.store.postgresql.store import PostgresqlStore

        _scope(options)
        store = PostgresqlStore.open(url, root_key, options.get("random", system_random), schema=schema)
        return cls._over(store, options)

    @classmethod
    def in_memory(cls, **options: Unpack[Options]) -> LocalKms:
        """Make an empty KMS whose keys are gone when it is closed: for tests. Parameters as in :meth:`open`."""
        return cls._over(SqliteStore.in_memory(options.get("random", system_random)), options)

    def in_region(self, region: str, *, account: str | None = None) -> Self:
        """Return the same KMS as it is called in another Region: what one replicates there, the other finds.

        Keys, clock and store are shared; it needs no closing of its own, and is closed with this one.

        Args:
            region: the Region to be in.
            account: twelve digits; left out, the account of this one.

        Raises:
            UsageError: the Region or account cannot be one.
        """
        scope = Scope(self.account if account is None else account, region)
        return self._seen_by(_root(scope), scope, {})

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

        whole = self._owned is not None
        who = Anybody(self.account, self.region) if whole else Always(self._caller, self.account, self.region)
        gateway = Gateway(self._service, who)
        return boto3_client(gateway, self.account, region_name or self.region, service, **options)

    def close(self) -> None:
        """Close the store and forget all keys, as well as Python can. Closing twice is no error.

        What :meth:`acting_as` and :meth:`in_region` returned closes nothing: it is closed with the KMS it was made
        from.
        """
        if self._owned is not None:
            self._owned.close()

    @classmethod
    def _over(cls, store: Store, options: Options) -> LocalKms:
        try:
            return cls(store, **options)
        except BaseException:
            # The audit log cannot be opened, for instance.
            store.close()
            raise

    def _seen_by(self, caller: Caller, scope: Scope, way: Mapping[str, Any]) -> Self:
        view = type(self).__new__(type(self))
        view._service, view._latency, view._owned = self._service, self._latency, None
        view._stand(scope, caller, way)
        return view

    def _stand(self, scope: Scope, caller: Caller, way: Mapping[str, Any]) -> None:
        self.region = scope.region
        self.account = scope.account
        self._scope = scope
        self._caller = caller
        self._way = way

    def _call(self, operation: str, **parameters: object) -> dict[str, Any]:
        request_id = str(uuid.uuid4())
        if self._latency is not None:
            self._latency.wait()
        try:
            requester = Requester(self._scope, self._caller, request_id, **self._way)
            answer = self._service.call(operation, parameters, requester)
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


def _plant(store: Store, options: Options, scope: Scope) -> None:
    seed = options.get("seed")
    if seed is None:
        return
    from envelope_sdk.local_kms.seeding import Seed, plant

    clock, random = options.get("clock", system_clock), options.get("random", system_random)
    plant(store, Seed.load(seed, scope), clock=clock, random=random)


def _root(scope: Scope) -> Caller:
    return Caller.parse(f"arn:{scope.partition}:iam::{scope.account}:root")


def _scope(options: Options) -> Scope:
    return Scope(options.get("account", DEFAULT_ACCOUNT), options.get("region", DEFAULT_REGION))
