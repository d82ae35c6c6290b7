"""Methods for secrets shared with others, and key pairs to use elsewhere."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envelope_sdk.local_kms.methods.base import Context, Methods, Tokens

__all__ = ["AgreementMethods"]


class AgreementMethods(Methods):
    """Shared secrets and data key pairs."""

    def derive_shared_secret(
        self,
        *,
        KeyId: str,
        KeyAgreementAlgorithm: str,
        PublicKey: bytes,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
        Recipient: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Agree on a secret with the holder of another key of the same curve (DeriveSharedSecret).

        ``PublicKey`` is theirs, a SubjectPublicKeyInfo in DER. ``SharedSecret`` is the x coordinate of the shared
        point: derive keys from it, it is not fit to be one.

        Raises:
            KmsServiceError: ValidationException (a public key that is none, or of another curve), NotFoundException,
                DisabledException, KMSInvalidStateException, InvalidKeyUsageException.
        """
        return self._call(
            "DeriveSharedSecret",
            KeyId=KeyId,
            KeyAgreementAlgorithm=KeyAgreementAlgorithm,
            PublicKey=PublicKey,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
            Recipient=Recipient,
        )

    def encapsulate(
        self,
        *,
        KeyId: str,
        EncapsulationAlgorithm: str,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a secret of 32 bytes and enclose it for the holder of an ML-KEM key (Encapsulate).

        Raises:
            KmsServiceError: NotFoundException, DisabledException, KMSInvalidStateException, InvalidKeyUsageException,
                ValidationException.
        """
        return self._call(
            "Encapsulate",
            KeyId=KeyId,
            EncapsulationAlgorithm=EncapsulationAlgorithm,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def decapsulate(
        self,
        *,
        KeyId: str,
        SharedSecretCiphertextBlob: bytes,
        EncapsulationAlgorithm: str,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Return the secret that was enclosed (Decapsulate).

        A ciphertext that was altered, or made for another key, gives 32 other bytes and no error (FIPS 203).

        Raises:
            KmsServiceError: InvalidCiphertextException (another length), and the errors of :meth:`encapsulate`.
        """
        return self._call(
            "Decapsulate",
            KeyId=KeyId,
            SharedSecretCiphertextBlob=SharedSecretCiphertextBlob,
            EncapsulationAlgorithm=EncapsulationAlgorithm,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def generate_data_key_pair(
        self,
        *,
        KeyId: str,
        KeyPairSpec: str,
        EncryptionContext: Context = None,
        GrantTokens: Tokens = None,
        Recipient: Mapping[str, object] | None = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a key pair to use outside of the KMS (GenerateDataKeyPair).

        ``PrivateKeyPlaintext`` is PKCS#8 in DER, ``PublicKey`` a SubjectPublicKeyInfo, and
        ``PrivateKeyCiphertextBlob`` the private key encrypted under the symmetric key ``KeyId``, to keep and decrypt
        later.

        Raises:
            KmsServiceError: UnsupportedOperationException (a spec that cannot be made here), and those of
                GenerateDataKey.
        """
        return self._call(
            "GenerateDataKeyPair",
            KeyId=KeyId,
            KeyPairSpec=KeyPairSpec,
            EncryptionContext=EncryptionContext,
            GrantTokens=GrantTokens,
            Recipient=Recipient,
            DryRun=DryRun,
        )

    def generate_data_key_pair_without_plaintext(
        self,
        *,
        KeyId: str,
        KeyPairSpec: str,
        EncryptionContext: Context = None,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a key pair whose private key is returned encrypted only (GenerateDataKeyPairWithoutPlaintext).

        Raises:
            KmsServiceError: those of :meth:`generate_data_key_pair`.
        """
        return self._call(
            "GenerateDataKeyPairWithoutPlaintext",
            KeyId=KeyId,
            KeyPairSpec=KeyPairSpec,
            EncryptionContext=EncryptionContext,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )
