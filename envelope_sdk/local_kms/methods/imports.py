"""Methods that import key material."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from datetime import datetime
from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["ImportMethods"]


class ImportMethods(Methods):
    """Keys made with ``Origin="EXTERNAL"``, whose material comes from outside."""

    def get_parameters_for_import(self, *, KeyId: str, WrappingAlgorithm: str, WrappingKeySpec: str) -> dict[str, Any]:
        """Return what to wrap material with for one key (GetParametersForImport); it is good for 24 hours.

        Args:
            KeyId: key id or ARN.
            WrappingAlgorithm: ``RSAES_OAEP_SHA_1`` or ``_256``; for private keys also ``RSA_AES_KEY_WRAP_SHA_1`` or
                ``_256``, and for those of RSA only these.
            WrappingKeySpec: ``RSA_2048``, ``RSA_3072`` or ``RSA_4096``, which takes a second or several.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException, ValidationException,
                UnsupportedOperationException (another origin; a way of wrapping that does not go with the key).
        """
        return self._call(
            "GetParametersForImport",
            KeyId=KeyId,
            WrappingAlgorithm=WrappingAlgorithm,
            WrappingKeySpec=WrappingKeySpec,
        )

    def import_key_material(
        self,
        *,
        KeyId: str,
        ImportToken: bytes,
        EncryptedKeyMaterial: bytes,
        ValidTo: datetime | float | None = None,
        ExpirationModel: str | None = None,
        ImportType: str | None = None,
        KeyMaterialDescription: str | None = None,
        KeyMaterialId: str | None = None,
    ) -> dict[str, Any]:
        """Give a key its material (ImportKeyMaterial): 32 bytes, an HMAC key, or a private key as PKCS#8 in DER.

        Unless ``ExpirationModel`` is ``KEY_MATERIAL_DOES_NOT_EXPIRE``, ``ValidTo`` says when it is erased, at most 365
        days from now. A symmetric key may be given more (``ImportType="NEW_KEY_MATERIAL"``): each waits for
        :meth:`~envelope_sdk.local_kms.LocalKms.rotate_key_on_demand`.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException, ValidationException,
                UnsupportedOperationException, InvalidImportTokenException, ExpiredImportTokenException,
                InvalidCiphertextException (it cannot be unwrapped), IncorrectKeyMaterialException (not of the key's
                kind; not the material that it had; not new).
        """
        return self._call(
            "ImportKeyMaterial",
            KeyId=KeyId,
            ImportToken=ImportToken,
            EncryptedKeyMaterial=EncryptedKeyMaterial,
            ValidTo=ValidTo,
            ExpirationModel=ExpirationModel,
            ImportType=ImportType,
            KeyMaterialDescription=KeyMaterialDescription,
            KeyMaterialId=KeyMaterialId,
        )

    def delete_imported_key_material(self, *, KeyId: str, KeyMaterialId: str | None = None) -> dict[str, Any]:
        """Erase imported material (DeleteImportedKeyMaterial); the key can be used again once the same is imported.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, KMSInvalidStateException, ValidationException,
                UnsupportedOperationException (another origin).
        """
        return self._call("DeleteImportedKeyMaterial", KeyId=KeyId, KeyMaterialId=KeyMaterialId)
