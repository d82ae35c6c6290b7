"""``LocalKms``: the KMS in this process, with boto3's methods, answers and errors."""

# Parameters have AWS's names, so that a call reads the same for boto3's client and for this one.
# ruff: noqa: N803

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.call import Caller
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.service import Clock, Service, system_clock
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.local_kms.store.opening import RootKeySource
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_REGION", "LocalKms"]

DEFAULT_REGION: Final = "us-east-1"
"""The Region a local KMS is in unless told otherwise, as with other local emulators."""

DEFAULT_ACCOUNT: Final = "000000000000"
"""The account a local KMS belongs to unless told otherwise, as with other local emulators. AWS gives it to nobody, so
that local ARNs are told from real ones at sight."""

_Context = Mapping[str, str] | None
_Tokens = Sequence[str] | None


class LocalKms:
    """A key management service in a file, or in memory, called like ``boto3.client("kms")``.

    Methods, keyword parameters, answers and errors are boto3's (API version 2014-11-01); an error is
    :class:`~envelope_sdk.errors.KmsServiceError` with AWS's code and text and a ``response`` like that of botocore's
    ``ClientError``. What is not built yet answers ``UnsupportedOperationException`` and says so. Key policies are kept
    but not enforced: whoever can read the file and its root key can use every key in it.

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
    ) -> None:
        """Put a KMS over any store; :meth:`open` and :meth:`in_memory` are the usual ways in.

        Args:
            store: where the keys are; closed with the KMS.
            region: the Region to be in.
            account: twelve digits.
            clock: returns the time, tz-aware.
            random: the source of keys, ids and nonces; anything but the default is for tests.

        Raises:
            UsageError: the Region or account cannot be one.
        """
        scope = Scope(account, region)
        self.region = region
        self.account = account
        self._caller = Caller(scope, f"{scope.arn_prefix.split(':kms:')[0]}:iam::{account}:root")
        self._service = Service(store, clock=clock, random=random)

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
    ) -> LocalKms:
        """Open the key store in the SQLite file ``path``; on first use the file and its root key are made.

        Args:
            path: the file. Its folder has to exist. One file serves several Regions and accounts.
            root_key: what the keys in the file are encrypted under: 32 bytes, the path of a root key file, or a
                :class:`~envelope_sdk.local_kms.Passphrase`. Left out: the environment variable
                ``ENVELOPE_KMS_ROOT_KEY`` (base64 of 32 bytes) if it is set, and otherwise the file ``<path>.rootkey``
                next to the database. Keep a copy of it apart from that of the database: either alone is of no use.
            region: the Region to be in.
            account: twelve digits.
            clock: returns the time, tz-aware.
            random: the source of keys, ids and nonces; anything but the default is for tests.

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
        return cls(store, region=region, account=account, clock=clock, random=random)

    @classmethod
    def in_memory(
        cls,
        *,
        region: str = DEFAULT_REGION,
        account: str = DEFAULT_ACCOUNT,
        clock: Clock = system_clock,
        random: RandomSource = system_random,
    ) -> LocalKms:
        """Make an empty KMS whose keys are gone when it is closed: for tests. Parameters as in :meth:`open`."""
        store = SqliteStore.in_memory(random)
        return cls(store, region=region, account=account, clock=clock, random=random)

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

    def close(self) -> None:
        """Close the store and forget all keys, as well as Python can. Closing twice is no error."""
        self._service.close()

    # --- keys --------------------------------------------------------------------------------------------------------

    def create_key(
        self,
        *,
        Policy: str | None = None,
        Description: str | None = None,
        KeyUsage: str | None = None,
        CustomerMasterKeySpec: str | None = None,
        KeySpec: str | None = None,
        Origin: str | None = None,
        CustomKeyStoreId: str | None = None,
        BypassPolicyLockoutSafetyCheck: bool | None = None,
        Tags: Sequence[Mapping[str, str]] | None = None,
        MultiRegion: bool | None = None,
        XksKeyId: str | None = None,
    ) -> dict[str, Any]:
        """Make a symmetric key (CreateKey); it is on disk when this returns.

        Raises:
            KmsServiceError: ValidationException, TagException, MalformedPolicyDocumentException,
                UnsupportedOperationException (another KeySpec or Origin, or a custom key store).
        """
        return self._call(
            "CreateKey",
            Policy=Policy,
            Description=Description,
            KeyUsage=KeyUsage,
            CustomerMasterKeySpec=CustomerMasterKeySpec,
            KeySpec=KeySpec,
            Origin=Origin,
            CustomKeyStoreId=CustomKeyStoreId,
            BypassPolicyLockoutSafetyCheck=BypassPolicyLockoutSafetyCheck,
            Tags=Tags,
            MultiRegion=MultiRegion,
            XksKeyId=XksKeyId,
        )

    def describe_key(self, *, KeyId: str, GrantTokens: _Tokens = None) -> dict[str, Any]:
        """Return a key's metadata (DescribeKey), by id, ARN, alias or alias ARN.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException.
        """
        return self._call("DescribeKey", KeyId=KeyId, GrantTokens=GrantTokens)

    def list_keys(
        self, *, Limit: int | None = None, Marker: str | None = None, ResourceOwners: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """List ids and ARNs of the keys (ListKeys), 100 a page unless ``Limit`` (1 to 1000) says otherwise.

        Raises:
            KmsServiceError: InvalidMarkerException, ValidationException.
        """
        return self._call("ListKeys", Limit=Limit, Marker=Marker, ResourceOwners=ResourceOwners)

    def enable_key(self, *, KeyId: str) -> dict[str, Any]:
        """Let a key be used again (EnableKey), by id or ARN.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException.
        """
        return self._call("EnableKey", KeyId=KeyId)

    def disable_key(self, *, KeyId: str) -> dict[str, Any]:
        """Stop a key's use for cryptography (DisableKey), by id or ARN; all processes heed it at once.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException.
        """
        return self._call("DisableKey", KeyId=KeyId)

    def schedule_key_deletion(self, *, KeyId: str, PendingWindowInDays: int | None = None) -> dict[str, Any]:
        """Have a key erased, for good, in 7 to 30 days (ScheduleKeyDeletion; 30 unless told otherwise).

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException, ValidationException.
        """
        return self._call("ScheduleKeyDeletion", KeyId=KeyId, PendingWindowInDays=PendingWindowInDays)

    def cancel_key_deletion(self, *, KeyId: str) -> dict[str, Any]:
        """Keep a key that was to be erased (CancelKeyDeletion); it comes back disabled.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException.
        """
        return self._call("CancelKeyDeletion", KeyId=KeyId)

    def update_key_description(self, *, KeyId: str, Description: str) -> dict[str, Any]:
        """Replace a key's description (UpdateKeyDescription), at most 8192 characters.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException, ValidationException.
        """
        return self._call("UpdateKeyDescription", KeyId=KeyId, Description=Description)

    # --- cryptography ------------------------------------------------------------------------------------------------

    def encrypt(
        self,
        *,
        KeyId: str,
        Plaintext: bytes,
        EncryptionContext: _Context = None,
        GrantTokens: _Tokens = None,
        EncryptionAlgorithm: str | None = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Encrypt 1 to 4096 bytes (Encrypt).

        Raises:
            KmsServiceError: NotFoundException, DisabledException, KMSInvalidStateException, InvalidKeyUsageException,
                ValidationException; DryRunOperationException where ``DryRun`` is set and all else is well.
        """
        return self._call(
            "Encrypt",
            KeyId=KeyId,
            Plaintext=Plaintext,
            EncryptionContext=EncryptionContext,
            GrantTokens=GrantTokens,
            EncryptionAlgorithm=EncryptionAlgorithm,
            DryRun=DryRun,
        )

    def decrypt(
        self,
        *,
        CiphertextBlob: bytes,
        EncryptionContext: _Context = None,
        GrantTokens: _Tokens = None,
        KeyId: str | None = None,
        EncryptionAlgorithm: str | None = None,
        Recipient: Mapping[str, object] | None = None,
        DryRun: bool | None = None,
        DryRunModifiers: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Decrypt a blob (Decrypt), given the encryption context it was made with.

        Raises:
            KmsServiceError: InvalidCiphertextException, IncorrectKeyException, and the errors of :meth:`encrypt`.
        """
        return self._call(
            "Decrypt",
            CiphertextBlob=CiphertextBlob,
            EncryptionContext=EncryptionContext,
            GrantTokens=GrantTokens,
            KeyId=KeyId,
            EncryptionAlgorithm=EncryptionAlgorithm,
            Recipient=Recipient,
            DryRun=DryRun,
            DryRunModifiers=DryRunModifiers,
        )

    def re_encrypt(
        self,
        *,
        CiphertextBlob: bytes,
        DestinationKeyId: str,
        SourceEncryptionContext: _Context = None,
        SourceKeyId: str | None = None,
        DestinationEncryptionContext: _Context = None,
        SourceEncryptionAlgorithm: str | None = None,
        DestinationEncryptionAlgorithm: str | None = None,
        GrantTokens: _Tokens = None,
        DryRun: bool | None = None,
        DryRunModifiers: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Decrypt a blob and encrypt its content anew (ReEncrypt); the content is not shown.

        Raises:
            KmsServiceError: those of :meth:`decrypt`.
        """
        return self._call(
            "ReEncrypt",
            CiphertextBlob=CiphertextBlob,
            DestinationKeyId=DestinationKeyId,
            SourceEncryptionContext=SourceEncryptionContext,
            SourceKeyId=SourceKeyId,
            DestinationEncryptionContext=DestinationEncryptionContext,
            SourceEncryptionAlgorithm=SourceEncryptionAlgorithm,
            DestinationEncryptionAlgorithm=DestinationEncryptionAlgorithm,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
            DryRunModifiers=DryRunModifiers,
        )

    def generate_data_key(
        self,
        *,
        KeyId: str,
        EncryptionContext: _Context = None,
        NumberOfBytes: int | None = None,
        KeySpec: str | None = None,
        GrantTokens: _Tokens = None,
        Recipient: Mapping[str, object] | None = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a data key (GenerateDataKey): exactly one of ``KeySpec`` and ``NumberOfBytes`` (1 to 1024) is given.

        Raises:
            KmsServiceError: those of :meth:`encrypt`.
        """
        return self._call(
            "GenerateDataKey",
            KeyId=KeyId,
            EncryptionContext=EncryptionContext,
            NumberOfBytes=NumberOfBytes,
            KeySpec=KeySpec,
            GrantTokens=GrantTokens,
            Recipient=Recipient,
            DryRun=DryRun,
        )

    def generate_data_key_without_plaintext(
        self,
        *,
        KeyId: str,
        EncryptionContext: _Context = None,
        KeySpec: str | None = None,
        NumberOfBytes: int | None = None,
        GrantTokens: _Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a data key and return it encrypted only (GenerateDataKeyWithoutPlaintext).

        Raises:
            KmsServiceError: those of :meth:`encrypt`.
        """
        return self._call(
            "GenerateDataKeyWithoutPlaintext",
            KeyId=KeyId,
            EncryptionContext=EncryptionContext,
            KeySpec=KeySpec,
            NumberOfBytes=NumberOfBytes,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def generate_random(
        self,
        *,
        NumberOfBytes: int | None = None,
        CustomKeyStoreId: str | None = None,
        Recipient: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Return 1 to 1024 random bytes (GenerateRandom).

        Raises:
            KmsServiceError: ValidationException, UnsupportedOperationException.
        """
        return self._call(
            "GenerateRandom", NumberOfBytes=NumberOfBytes, CustomKeyStoreId=CustomKeyStoreId, Recipient=Recipient
        )

    # --- aliases -----------------------------------------------------------------------------------------------------

    def create_alias(self, *, AliasName: str, TargetKeyId: str) -> dict[str, Any]:
        """Give a key, named by id or ARN, an alias (CreateAlias), which begins with ``alias/``.

        Raises:
            KmsServiceError: AlreadyExistsException, NotFoundException, InvalidAliasNameException,
                NotAuthorizedException (``alias/aws/`` is reserved), KMSInvalidStateException, ValidationException.
        """
        return self._call("CreateAlias", AliasName=AliasName, TargetKeyId=TargetKeyId)

    def update_alias(self, *, AliasName: str, TargetKeyId: str) -> dict[str, Any]:
        """Point an alias at another key, named by id or ARN (UpdateAlias).

        Raises:
            KmsServiceError: NotFoundException, KMSInvalidStateException, ValidationException.
        """
        return self._call("UpdateAlias", AliasName=AliasName, TargetKeyId=TargetKeyId)

    def delete_alias(self, *, AliasName: str) -> dict[str, Any]:
        """Remove an alias; its key stays (DeleteAlias).

        Raises:
            KmsServiceError: NotFoundException, ValidationException.
        """
        return self._call("DeleteAlias", AliasName=AliasName)

    def list_aliases(
        self, *, KeyId: str | None = None, Limit: int | None = None, Marker: str | None = None
    ) -> dict[str, Any]:
        """List aliases (ListAliases), 50 a page unless ``Limit`` says otherwise, at most 100.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidMarkerException, ValidationException.
        """
        return self._call("ListAliases", KeyId=KeyId, Limit=Limit, Marker=Marker)

    def _call(self, operation: str, **parameters: object) -> dict[str, Any]:
        request_id = str(uuid.uuid4())
        try:
            answer = self._service.call(operation, parameters, self._caller)
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
