"""Methods for public keys, signatures and message authentication codes."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

from envelope_sdk.local_kms.methods.base import Methods, Tokens

__all__ = ["SigningMethods"]


class SigningMethods(Methods):
    """Public keys, signatures, and message authentication codes."""

    def get_public_key(
        self,
        *,
        KeyId: str,
        GrantTokens: Tokens = None,
    ) -> dict[str, Any]:
        """Return the public half of a key pair (GetPublicKey): ``PublicKey`` is a SubjectPublicKeyInfo in DER.

        Raises:
            KmsServiceError: UnsupportedOperationException (a key without a public half), NotFoundException,
                DisabledException, KMSInvalidStateException, InvalidArnException.
        """
        return self._call(
            "GetPublicKey",
            KeyId=KeyId,
            GrantTokens=GrantTokens,
        )

    def sign(
        self,
        *,
        KeyId: str,
        Message: bytes,
        SigningAlgorithm: str,
        MessageType: str | None = None,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Sign 1 to 4096 bytes (Sign).

        ``MessageType`` says what they are: the message itself (``RAW``, the default), its digest (``DIGEST``), or, for
        ML-DSA, its 64-byte representative (``EXTERNAL_MU``). ECDSA signatures are DER; the salt of
        PSS is as long as the digest.

        Raises:
            KmsServiceError: ValidationException, UnsupportedOperationException (``ED25519_PH_SHA_512``),
                NotFoundException, DisabledException, KMSInvalidStateException, InvalidKeyUsageException.
        """
        return self._call(
            "Sign",
            KeyId=KeyId,
            Message=Message,
            SigningAlgorithm=SigningAlgorithm,
            MessageType=MessageType,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def verify(
        self,
        *,
        KeyId: str,
        Message: bytes,
        Signature: bytes,
        SigningAlgorithm: str,
        MessageType: str | None = None,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Verify a signature (Verify); ``SignatureValid`` is never false, as one that does not hold is an error.

        Raises:
            KmsServiceError: KMSInvalidSignatureException, and the errors of :meth:`sign`.
        """
        return self._call(
            "Verify",
            KeyId=KeyId,
            Message=Message,
            Signature=Signature,
            SigningAlgorithm=SigningAlgorithm,
            MessageType=MessageType,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def generate_mac(
        self,
        *,
        KeyId: str,
        Message: bytes,
        MacAlgorithm: str,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Return the HMAC of 1 to 4096 bytes (GenerateMac).

        Raises:
            KmsServiceError: ValidationException, NotFoundException, DisabledException, KMSInvalidStateException,
                InvalidKeyUsageException.
        """
        return self._call(
            "GenerateMac",
            KeyId=KeyId,
            Message=Message,
            MacAlgorithm=MacAlgorithm,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def verify_mac(
        self,
        *,
        KeyId: str,
        Message: bytes,
        MacAlgorithm: str,
        Mac: bytes,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Compare an HMAC with that of 1 to 4096 bytes (VerifyMac); ``MacValid`` is never false: another is an error.

        Raises:
            KmsServiceError: KMSInvalidMacException, and the errors of :meth:`generate_mac`.
        """
        return self._call(
            "VerifyMac",
            KeyId=KeyId,
            Message=Message,
            MacAlgorithm=MacAlgorithm,
            Mac=Mac,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )
