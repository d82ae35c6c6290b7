"""Methods that make, describe, switch and delete keys."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from envelope_sdk.local_kms.methods.base import Methods, Tokens

__all__ = ["KeyMethods"]


class KeyMethods(Methods):
    """Keys and their states."""

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
        """Make a key (CreateKey), symmetric unless ``KeySpec`` and ``KeyUsage`` ask for another; it is on disk then.

        A key of RSA takes a while: a tenth of a second for 2048 bits, a second or several for 4096. With
        ``Origin="EXTERNAL"`` nothing is made: the key waits for
        :meth:`~envelope_sdk.local_kms.LocalKms.import_key_material`.

        Raises:
            KmsServiceError: ValidationException, TagException, MalformedPolicyDocumentException,
                UnsupportedOperationException (a KeySpec that cannot be made here, or a custom key store).
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

    def describe_key(self, *, KeyId: str, GrantTokens: Tokens = None) -> dict[str, Any]:
        """Return a key's metadata (DescribeKey), by id, ARN, alias or alias ARN.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException.
        """
        return self._call("DescribeKey", KeyId=KeyId, GrantTokens=GrantTokens)

    def get_key_last_usage(self, *, KeyId: str) -> dict[str, Any]:
        """Return how and when a key, named by id or ARN, was last used for cryptography (GetKeyLastUsage).

        Uses from before a file was opened by a version that notes them are not known; ``TrackingStartDate`` says so.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException.
        """
        return self._call("GetKeyLastUsage", KeyId=KeyId)

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

        For a multi-Region primary key these days begin when the last of its replicas is erased.

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
