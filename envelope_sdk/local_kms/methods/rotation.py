"""Methods that rotate keys."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["RotationMethods"]


class RotationMethods(Methods):
    """New key material for symmetric keys: what older material has encrypted stays readable."""

    def enable_key_rotation(self, *, KeyId: str, RotationPeriodInDays: int | None = None) -> dict[str, Any]:
        """Have a key, by id or ARN, rotated every 90 to 2560 days (EnableKeyRotation; 365 unless told otherwise).

        The first rotation is that many days from now. Asked again for the same period, the next one stays when it is.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, DisabledException, KMSInvalidStateException,
                UnsupportedOperationException (not symmetric, imported material, a replica), ValidationException.
        """
        return self._call("EnableKeyRotation", KeyId=KeyId, RotationPeriodInDays=RotationPeriodInDays)

    def disable_key_rotation(self, *, KeyId: str) -> dict[str, Any]:
        """Have a key rotated no more by itself (DisableKeyRotation).

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, DisabledException, KMSInvalidStateException,
                UnsupportedOperationException (not symmetric, imported material, a replica).
        """
        return self._call("DisableKeyRotation", KeyId=KeyId)

    def get_key_rotation_status(self, *, KeyId: str) -> dict[str, Any]:
        """Tell whether a key is rotated by itself, how often, and when next (GetKeyRotationStatus).

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, UnsupportedOperationException (imported material).
        """
        return self._call("GetKeyRotationStatus", KeyId=KeyId)

    def rotate_key_on_demand(self, *, KeyId: str) -> dict[str, Any]:
        """Rotate a key now (RotateKeyOnDemand), up to 25 times; one with imported material, to that which waits.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, DisabledException, KMSInvalidStateException (also:
                no imported material waits), UnsupportedOperationException (not symmetric, a replica),
                LimitExceededException, ConflictException (an automatic rotation is due within 20 minutes).
        """
        return self._call("RotateKeyOnDemand", KeyId=KeyId)

    def list_key_rotations(
        self,
        *,
        KeyId: str,
        IncludeKeyMaterial: str | None = None,
        Limit: int | None = None,
        Marker: str | None = None,
    ) -> dict[str, Any]:
        """List a key's rotations (ListKeyRotations), or with ``ALL_KEY_MATERIAL`` also its first and waiting material.

        They are in the order in which they have been in use, 100 a page unless ``Limit`` (1 to 1000) says otherwise.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidMarkerException, ValidationException,
                UnsupportedOperationException (not symmetric).
        """
        return self._call(
            "ListKeyRotations", KeyId=KeyId, IncludeKeyMaterial=IncludeKeyMaterial, Limit=Limit, Marker=Marker
        )
