"""Methods for key policies."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["PolicyMethods"]


class PolicyMethods(Methods):
    """Who may do what with a key."""

    def get_key_policy(self, *, KeyId: str, PolicyName: str | None = None) -> dict[str, Any]:
        """Return a key's policy (GetKeyPolicy), by id or ARN; its name is always ``default``.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, AccessDeniedException.
        """
        return self._call("GetKeyPolicy", KeyId=KeyId, PolicyName=PolicyName)

    def put_key_policy(
        self,
        *,
        KeyId: str,
        Policy: str,
        PolicyName: str | None = None,
        BypassPolicyLockoutSafetyCheck: bool | None = None,
    ) -> dict[str, Any]:
        """Replace a key's policy (PutKeyPolicy), up to 32 KiB of JSON; it is in force at the next call, everywhere.

        A policy under which the caller could not call this again is refused, unless
        ``BypassPolicyLockoutSafetyCheck`` says that this is meant.

        Raises:
            KmsServiceError: MalformedPolicyDocumentException, LimitExceededException, NotFoundException,
                InvalidArnException, AccessDeniedException, ValidationException.
        """
        return self._call(
            "PutKeyPolicy",
            KeyId=KeyId,
            PolicyName=PolicyName,
            Policy=Policy,
            BypassPolicyLockoutSafetyCheck=BypassPolicyLockoutSafetyCheck,
        )

    def list_key_policies(self, *, KeyId: str, Limit: int | None = None, Marker: str | None = None) -> dict[str, Any]:
        """List the names of a key's policies (ListKeyPolicies): ``default``.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidMarkerException, AccessDeniedException.
        """
        return self._call("ListKeyPolicies", KeyId=KeyId, Limit=Limit, Marker=Marker)
