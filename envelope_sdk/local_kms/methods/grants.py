"""Methods for grants."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from envelope_sdk.local_kms.methods.base import Methods, Tokens

__all__ = ["GrantMethods"]


class GrantMethods(Methods):
    """Permissions that come with a key instead of a policy, and can be given back."""

    def create_grant(
        self,
        *,
        KeyId: str,
        Operations: Sequence[str],
        GranteePrincipal: str | None = None,
        RetiringPrincipal: str | None = None,
        Constraints: Mapping[str, Any] | None = None,
        GrantTokens: Tokens = None,
        Name: str | None = None,
        DryRun: bool | None = None,
        GranteeServicePrincipal: str | None = None,
        RetiringServicePrincipal: str | None = None,
    ) -> dict[str, Any]:
        """Let a principal use a key, by id or ARN, for some operations (CreateGrant).

        The same again under the same ``Name`` answers the same grant with another token.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException (also: there is no such principal),
                DisabledException, KMSInvalidStateException, InvalidGrantTokenException, LimitExceededException,
                AccessDeniedException, ValidationException, DryRunOperationException.
        """
        return self._call(
            "CreateGrant",
            KeyId=KeyId,
            GranteePrincipal=GranteePrincipal,
            RetiringPrincipal=RetiringPrincipal,
            Operations=Operations,
            Constraints=Constraints,
            GrantTokens=GrantTokens,
            Name=Name,
            DryRun=DryRun,
            GranteeServicePrincipal=GranteeServicePrincipal,
            RetiringServicePrincipal=RetiringServicePrincipal,
        )

    def list_grants(
        self,
        *,
        KeyId: str,
        Limit: int | None = None,
        Marker: str | None = None,
        GrantId: str | None = None,
        GranteePrincipal: str | None = None,
        GranteeServicePrincipal: str | None = None,
    ) -> dict[str, Any]:
        """List a key's grants (ListGrants), 50 a page unless ``Limit`` (1 to 100) says otherwise.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidGrantIdException, InvalidMarkerException,
                AccessDeniedException, ValidationException.
        """
        return self._call(
            "ListGrants",
            Limit=Limit,
            Marker=Marker,
            KeyId=KeyId,
            GrantId=GrantId,
            GranteePrincipal=GranteePrincipal,
            GranteeServicePrincipal=GranteeServicePrincipal,
        )

    def list_retirable_grants(
        self,
        *,
        Limit: int | None = None,
        Marker: str | None = None,
        RetiringPrincipal: str | None = None,
        RetiringServicePrincipal: str | None = None,
    ) -> dict[str, Any]:
        """List the grants that a principal of this account may retire (ListRetirableGrants), 50 a page, at most 100.

        Raises:
            KmsServiceError: InvalidMarkerException, AccessDeniedException, ValidationException.
        """
        return self._call(
            "ListRetirableGrants",
            Limit=Limit,
            Marker=Marker,
            RetiringPrincipal=RetiringPrincipal,
            RetiringServicePrincipal=RetiringServicePrincipal,
        )

    def retire_grant(
        self,
        *,
        GrantToken: str | None = None,
        KeyId: str | None = None,
        GrantId: str | None = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Give a grant back (RetireGrant), named by its token or its key and id, as whom the grant lets do so.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidGrantTokenException,
                InvalidGrantIdException, AccessDeniedException, ValidationException, DryRunOperationException.
        """
        return self._call("RetireGrant", GrantToken=GrantToken, KeyId=KeyId, GrantId=GrantId, DryRun=DryRun)

    def revoke_grant(self, *, KeyId: str, GrantId: str, DryRun: bool | None = None) -> dict[str, Any]:
        """Take a grant away (RevokeGrant); all processes heed it at once.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidGrantIdException, AccessDeniedException,
                DryRunOperationException.
        """
        return self._call("RevokeGrant", KeyId=KeyId, GrantId=GrantId, DryRun=DryRun)
