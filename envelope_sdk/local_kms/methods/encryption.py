"""Methods that encrypt, decrypt, and make data keys and random bytes."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from envelope_sdk.local_kms.methods.base import Context, Methods, Tokens

__all__ = ["EncryptionMethods"]


class EncryptionMethods(Methods):
    """Encryption, decryption and data keys."""

    def encrypt(
        self,
        *,
        KeyId: str,
        Plaintext: bytes,
        EncryptionContext: Context = None,
        GrantTokens: Tokens = None,
        EncryptionAlgorithm: str | None = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Encrypt 1 to 4096 bytes (Encrypt).

        Under an RSA key ``EncryptionAlgorithm`` has to be given, no encryption context can be, and the padding takes
        its share: 190 bytes are the most that ``RSAES_OAEP_SHA_256`` encrypts under ``RSA_2048``.

        Raises:
            KmsServiceError: NotFoundException, DisabledException, KMSInvalidStateException, InvalidKeyUsageException,
                ValidationException; DryRunOperationException where ``DryRun`` is set and all else is well.
        """
        return self._call(
            "Encrypt",
            KeyId=KeyId,
            Plaintext=Plaintext,
            EncryptionContext=EncryptionContext,
            GrantTokens=GrantTokens,
            EncryptionAlgorithm=EncryptionAlgorithm,
            DryRun=DryRun,
        )

    def decrypt(
        self,
        *,
        CiphertextBlob: bytes | None = None,
        EncryptionContext: Context = None,
        GrantTokens: Tokens = None,
        KeyId: str | None = None,
        EncryptionAlgorithm: str | None = None,
        Recipient: Mapping[str, object] | None = None,
        DryRun: bool | None = None,
        DryRunModifiers: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Decrypt a blob (Decrypt), given the encryption context it was made with.

        A blob names its key. A ciphertext of RSA does not: ``KeyId`` and ``EncryptionAlgorithm`` have to be given.
        A ``DryRun`` with the modifier ``IGNORE_CIPHERTEXT`` needs ``KeyId`` and no ciphertext.

        Raises:
            KmsServiceError: InvalidCiphertextException, IncorrectKeyException, and the errors of :meth:`encrypt`.
        """
        return self._call(
            "Decrypt",
            CiphertextBlob=CiphertextBlob,
            EncryptionContext=EncryptionContext,
            GrantTokens=GrantTokens,
            KeyId=KeyId,
            EncryptionAlgorithm=EncryptionAlgorithm,
            Recipient=Recipient,
            DryRun=DryRun,
            DryRunModifiers=DryRunModifiers,
        )

    def re_encrypt(
        self,
        *,
        DestinationKeyId: str,
        CiphertextBlob: bytes | None = None,
        SourceEncryptionContext: Context = None,
        SourceKeyId: str | None = None,
        DestinationEncryptionContext: Context = None,
        SourceEncryptionAlgorithm: str | None = None,
        DestinationEncryptionAlgorithm: str | None = None,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
        DryRunModifiers: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Decrypt a blob and encrypt its content anew (ReEncrypt); the content is not shown.

        Raises:
            KmsServiceError: those of :meth:`decrypt`.
        """
        return self._call(
            "ReEncrypt",
            CiphertextBlob=CiphertextBlob,
            DestinationKeyId=DestinationKeyId,
            SourceEncryptionContext=SourceEncryptionContext,
            SourceKeyId=SourceKeyId,
            DestinationEncryptionContext=DestinationEncryptionContext,
            SourceEncryptionAlgorithm=SourceEncryptionAlgorithm,
            DestinationEncryptionAlgorithm=DestinationEncryptionAlgorithm,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
            DryRunModifiers=DryRunModifiers,
        )

    def generate_data_key(
        self,
        *,
        KeyId: str,
        EncryptionContext: Context = None,
        NumberOfBytes: int | None = None,
        KeySpec: str | None = None,
        GrantTokens: Tokens = None,
        Recipient: Mapping[str, object] | None = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a data key (GenerateDataKey): exactly one of ``KeySpec`` and ``NumberOfBytes`` (1 to 1024) is given.

        Raises:
            KmsServiceError: those of :meth:`encrypt`.
        """
        return self._call(
            "GenerateDataKey",
            KeyId=KeyId,
            EncryptionContext=EncryptionContext,
            NumberOfBytes=NumberOfBytes,
            KeySpec=KeySpec,
            GrantTokens=GrantTokens,
            Recipient=Recipient,
            DryRun=DryRun,
        )

    def generate_data_key_without_plaintext(
        self,
        *,
        KeyId: str,
        EncryptionContext: Context = None,
        KeySpec: str | None = None,
        NumberOfBytes: int | None = None,
        GrantTokens: Tokens = None,
        DryRun: bool | None = None,
    ) -> dict[str, Any]:
        """Make a data key and return it encrypted only (GenerateDataKeyWithoutPlaintext).

        Raises:
            KmsServiceError: those of :meth:`encrypt`.
        """
        return self._call(
            "GenerateDataKeyWithoutPlaintext",
            KeyId=KeyId,
            EncryptionContext=EncryptionContext,
            KeySpec=KeySpec,
            NumberOfBytes=NumberOfBytes,
            GrantTokens=GrantTokens,
            DryRun=DryRun,
        )

    def generate_random(
        self,
        *,
        NumberOfBytes: int | None = None,
        CustomKeyStoreId: str | None = None,
        Recipient: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Return 1 to 1024 random bytes (GenerateRandom).

        Raises:
            KmsServiceError: ValidationException, UnsupportedOperationException.
        """
        return self._call(
            "GenerateRandom", NumberOfBytes=NumberOfBytes, CustomKeyStoreId=CustomKeyStoreId, Recipient=Recipient
        )
