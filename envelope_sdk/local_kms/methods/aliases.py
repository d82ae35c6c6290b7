"""Methods for aliases."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["AliasMethods"]


class AliasMethods(Methods):
    """Other names of keys."""

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

        Without ``KeyId`` that includes ``alias/aws/...``, those of AWS managed keys; they have a ``TargetKeyId`` once
        there is a key, which is made when somebody first describes or uses it.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidMarkerException, ValidationException.
        """
        return self._call("ListAliases", KeyId=KeyId, Limit=Limit, Marker=Marker)
