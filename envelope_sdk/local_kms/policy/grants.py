"""Grants, as far as they decide what is allowed (API_CreateGrant, "Grants in AWS KMS")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["GRANT_OPERATIONS", "Grant"]

GRANT_OPERATIONS: Final = frozenset(
    {
        "CreateGrant",
        "Decapsulate",
        "Decrypt",
        "DeriveSharedSecret",
        "DescribeKey",
        "Encapsulate",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GetPublicKey",
        "ReEncryptFrom",
        "ReEncryptTo",
        "RetireGrant",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)
"""What a grant can allow: actions without ``kms:``."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a grant allows, and to whom. The key it is for is not said here.

    Attributes:
        grant_id: as ListGrants shows it.
        grantee: an ARN, an account, or the name of an AWS service.
        operations: some of :data:`GRANT_OPERATIONS`.
        context_equals: the ``EncryptionContextEquals`` constraint: exactly these pairs.
        context_subset: the ``EncryptionContextSubset`` constraint: at least these pairs.
        source_arn: the ``SourceArn`` constraint: what ``aws:SourceArn`` has to be.
    """

    grant_id: str
    grantee: str
    operations: frozenset[str]
    context_equals: Mapping[str, str] | None = None
    context_subset: Mapping[str, str] | None = None
    source_arn: str | None = None
    lower_actions: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare the operations for comparison."""
        object.__setattr__(self, "lower_actions", frozenset(f"kms:{name}".lower() for name in self.operations))

    def admits(self, encryption_context: Mapping[str, str]) -> bool:
        """Return whether the constraints on the encryption context are fulfilled."""
        if self.context_equals is not None and encryption_context != self.context_equals:
            return False
        return self.context_subset is None or self.context_subset.items() <= encryption_context.items()

    def covers(self, other: Grant) -> bool:
        """Return whether who has this grant may make ``other``: it allows no more, and is as strict or stricter."""
        if not other.operations <= self.operations or self.source_arn not in (None, other.source_arn):
            return False
        if self.context_equals is not None and other.context_equals != self.context_equals:
            return False
        promised = {**(other.context_subset or {}), **(other.context_equals or {})}
        return (self.context_subset or {}).items() <= promised.items()
