"""Methods for keys of several Regions."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["MultiRegionMethods"]


class MultiRegionMethods(Methods):
    """Multi-Region keys: a primary key and its replicas."""

    def replicate_key(
        self,
        *,
        KeyId: str,
        ReplicaRegion: str,
        Policy: str | None = None,
        BypassPolicyLockoutSafetyCheck: bool | None = None,
        Description: str | None = None,
        Tags: Sequence[Mapping[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Make a replica of a multi-Region primary key, named by id or ARN, in another Region (ReplicateKey).

        It has the same id and key material; policy, description, tags, aliases and state are its own. The answer says
        ``Creating``, as AWS's does; the replica is ready at the next call.

        Raises:
            KmsServiceError: UnsupportedOperationException (no primary key, or a Region of another partition),
                AlreadyExistsException, NotFoundException, InvalidArnException, DisabledException,
                KMSInvalidStateException, MalformedPolicyDocumentException, TagException, ValidationException.
        """
        return self._call(
            "ReplicateKey",
            KeyId=KeyId,
            ReplicaRegion=ReplicaRegion,
            Policy=Policy,
            BypassPolicyLockoutSafetyCheck=BypassPolicyLockoutSafetyCheck,
            Description=Description,
            Tags=Tags,
        )

    def update_primary_region(self, *, KeyId: str, PrimaryRegion: str) -> dict[str, Any]:
        """Make the replica in ``PrimaryRegion`` the primary key, and the primary a replica (UpdatePrimaryRegion).

        ``KeyId`` names the primary key in this Region, by id or ARN.

        Raises:
            KmsServiceError: UnsupportedOperationException, NotFoundException (also where that Region has no replica),
                InvalidArnException, DisabledException, KMSInvalidStateException, ValidationException.
        """
        return self._call("UpdatePrimaryRegion", KeyId=KeyId, PrimaryRegion=PrimaryRegion)
