"""A materials manager that is being checked, and requests to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from envelope_sdk.errors import EnvelopeError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    MaterialsManager,
)
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.testing.contract import Broken, require
from envelope_sdk.testing.together_rules import policy_for

__all__ = ["STORED", "ManagerSubject", "granted", "must_refuse", "opened", "to_decrypt"]

STORED: Final = EncryptionContext(
    {"sample purpose": "contract", "größe": "ñandú 😀", "As It Is": " Mixed CASE, spaces and a tab at the end \t"}
)
"""Pairs of every request, beside those that the manager requires."""


class ManagerSubject(NamedTuple):
    """What :func:`~envelope_sdk.testing.check_manager` was told; the fields are its parameters."""

    make_manager: Callable[[], MaterialsManager]
    other: Callable[[], MaterialsManager] | None
    required_keys: tuple[str, ...]
    reuses_data_keys: bool
    binds_context: bool
    detects_damage: bool
    needed: EncryptionContext
    suites: tuple[AlgorithmSuite, ...]
    secrets: tuple[bytes, ...]
    threads: int

    @property
    def suite(self) -> AlgorithmSuite:
        """The suite for rules that need but one."""
        return self.suites[-1]

    @property
    def required(self) -> dict[str, str]:
        """The pairs that the manager requires, with some value."""
        return {key: f"value of {key}" for key in self.required_keys}

    @property
    def context(self) -> EncryptionContext:
        """Pairs that a message of this manager may have."""
        return STORED.merged(self.required).merged(self.needed)

    def request(self, suite: AlgorithmSuite | None = None, more: Mapping[str, str] | None = None) -> EncryptionRequest:
        """Return a request that has to be granted."""
        suite = suite or self.suite
        return EncryptionRequest(self.context.merged(more or {}), policy_for(suite), suite, 100)

    def materials(self, suite: AlgorithmSuite | None = None) -> EncryptionMaterials:
        """Return encryption materials of a new manager."""
        return granted(self.make_manager(), self.request(suite))


def granted(manager: MaterialsManager, request: EncryptionRequest) -> EncryptionMaterials:
    """Return the encryption materials for a request.

    Raises:
        Broken: they are none.
    """
    found = manager.get_encryption_materials(request)
    require(
        isinstance(found, EncryptionMaterials),  # pyright: ignore[reportUnnecessaryIsInstance] - anything may come
        f"get_encryption_materials returned {type(found).__name__} and not EncryptionMaterials",
    )
    return found


def to_decrypt(
    materials: EncryptionMaterials,
    *,
    reproduced: Mapping[str, str] | None = None,
    keys: Sequence[EncryptedDataKey] | None = None,
    stored: EncryptionContext | None = None,
    policy: CommitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
) -> DecryptionRequest:
    """Return the request of somebody who reads a message of these materials and knows the pairs that are not in it."""
    required = materials.required_encryption_context_keys
    return DecryptionRequest(
        materials.algorithm_suite,
        materials.encrypted_data_keys if keys is None else keys,
        materials.encryption_context.without(required) if stored is None else stored,
        EncryptionContext(materials.encryption_context.only(required) if reproduced is None else reproduced),
        policy,
    )


def opened(
    manager: MaterialsManager, materials: EncryptionMaterials, request: DecryptionRequest
) -> DecryptionMaterials:
    """Return the decryption materials for a request, which hold the data key of ``materials``.

    Raises:
        Broken: they do not.
    """
    found = manager.decrypt_materials(request)
    require(
        isinstance(found, DecryptionMaterials),  # pyright: ignore[reportUnnecessaryIsInstance] - anything may come
        f"decrypt_materials returned {type(found).__name__} and not DecryptionMaterials",
    )
    require(found.plaintext_data_key is not None, "decrypt_materials returned no data key")
    require(found.plaintext_data_key == materials.plaintext_data_key, "decrypt_materials returned another data key")
    return found


def must_refuse(call: Callable[[], object], kind: type[EnvelopeError], what: str) -> None:
    """Raise :class:`Broken` unless ``call`` raises an error of this kind; ``what`` says what it is for."""
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise Broken(f"{what}: {type(error).__name__} was raised, not {kind.__name__}: {error}") from error
    raise Broken(f"{what} was granted where {kind.__name__} is due")
