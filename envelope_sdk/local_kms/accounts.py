"""Which operations reach keys of other accounts, as data.

Source: the "Cross-account use" of each operation in the API reference.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CROSS_ACCOUNT"]

CROSS_ACCOUNT: Final = frozenset(
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
        "GetKeyRotationStatus",
        "GetPublicKey",
        "ListGrants",
        "ReEncrypt",
        "RetireGrant",
        "RevokeGrant",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)
"""Operations that take keys of other accounts. A permission for any other has no effect there."""
