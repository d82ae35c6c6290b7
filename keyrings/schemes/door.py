"""How the local KMS comes to keyrings, which do not import it: through a door that somebody opens for them."""

from __future__ import annotations

from typing import Any, Protocol

from envelope_sdk.keyrings.kms.api import BranchKeyKmsApi, KmsApi

__all__ = ["LocalKmsApi", "LocalKmsDoor"]


class LocalKmsApi(KmsApi, BranchKeyKmsApi, Protocol):
    """What keyrings need of the local KMS, which is not theirs to import."""

    @property
    def region(self) -> str:
        """The Region its ARNs name."""
        ...

    @property
    def account(self) -> str:
        """The account its ARNs name."""
        ...

    def describe_key(self, *, KeyId: str) -> dict[str, Any]:  # noqa: N803
        """Return ``KeyMetadata`` of a key that an id, ARN or alias names."""
        ...


class LocalKmsDoor(Protocol):
    """Opens local KMSs for the schemes that use one."""

    def path(self, store: str | None) -> str:
        """Return the file of the store that a URI names; of the usual one for ``None``."""
        ...

    def kms(self, store: str | None) -> LocalKmsApi:
        """Open that store.

        Raises:
            KeyStoreError: it is not there or cannot be used.
        """
        ...
