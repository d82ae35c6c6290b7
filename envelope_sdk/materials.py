"""What passes between a client, its materials manager and its keyrings, and the two contracts that join them.

Materials are values: a keyring returns new ones and never changes those it was given, so keyrings can be shared between
threads. Their reprs show no key, and they cannot be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, Protocol, runtime_checkable

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.primitives.signing import SigningKey, VerificationKey

__all__ = [
    "DecryptionMaterials",
    "DecryptionRequest",
    "EncryptionMaterials",
    "EncryptionRequest",
    "Keyring",
    "MaterialsManager",
]


class EncryptionRequest(NamedTuple):
    """What a client asks a materials manager for (framework/cmm-interface.md).

    Attributes:
        encryption_context: the caller's pairs.
        commitment_policy: the client's policy, which the suite has to satisfy.
        algorithm_suite: the suite the client wants.
        plaintext_length: bytes to be encrypted; ``None`` where not known.
    """

    encryption_context: EncryptionContext
    commitment_policy: CommitmentPolicy
    algorithm_suite: AlgorithmSuite
    plaintext_length: int | None = None


class DecryptionRequest(NamedTuple):
    """What a client asks for once it has read a header (framework/cmm-interface.md).

    Attributes:
        algorithm_suite: the message's.
        encrypted_data_keys: the message's, in its order.
        encryption_context: the pairs stored in the message.
        reproduced_encryption_context: pairs the caller requires: those also stored must be equal, the others were
            left out of the message and are authenticated all the same.
        commitment_policy: the client's policy.
    """

    algorithm_suite: AlgorithmSuite
    encrypted_data_keys: Sequence[EncryptedDataKey]
    encryption_context: EncryptionContext
    reproduced_encryption_context: EncryptionContext
    commitment_policy: CommitmentPolicy


@dataclass(frozen=True, slots=True)
class EncryptionMaterials:
    """What one message is encrypted with (framework/structures.md, "encryption materials").

    Attributes:
        algorithm_suite: the suite.
        encryption_context: every pair that is authenticated, stored or not.
        required_encryption_context_keys: keys of pairs that are authenticated but not stored in the message.
        plaintext_data_key: the data key, ``algorithm_suite.key_length`` bytes; ``None`` until a keyring made one.
        encrypted_data_keys: its wrapped copies, in the order keyrings made them.
        signing_key: the message's signing key; ``None`` for unsigned suites.
    """

    algorithm_suite: AlgorithmSuite
    encryption_context: EncryptionContext
    required_encryption_context_keys: frozenset[str] = frozenset()
    plaintext_data_key: bytes | None = field(default=None, repr=False)
    encrypted_data_keys: tuple[EncryptedDataKey, ...] = ()
    signing_key: SigningKey | None = None

    def with_data_key(self, plaintext_data_key: bytes, *wrapped: EncryptedDataKey) -> EncryptionMaterials:
        """Return materials with a data key set and its wrapped copies added."""
        return EncryptionMaterials(
            self.algorithm_suite,
            self.encryption_context,
            self.required_encryption_context_keys,
            plaintext_data_key,
            (*self.encrypted_data_keys, *wrapped),
            self.signing_key,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("materials hold a data key: they cannot be pickled or copied")


@dataclass(frozen=True, slots=True)
class DecryptionMaterials:
    """What one message is decrypted with (framework/structures.md, "decryption materials").

    Attributes:
        algorithm_suite: the message's suite.
        encryption_context: every pair that is authenticated: those stored and those the caller reproduced.
        required_encryption_context_keys: keys of the pairs that are not stored in the message.
        plaintext_data_key: the data key; ``None`` until a keyring unwrapped one.
        verification_key: the message's verification key; ``None`` for unsigned suites.
    """

    algorithm_suite: AlgorithmSuite
    encryption_context: EncryptionContext
    required_encryption_context_keys: frozenset[str] = frozenset()
    plaintext_data_key: bytes | None = field(default=None, repr=False)
    verification_key: VerificationKey | None = None

    def with_data_key(self, plaintext_data_key: bytes) -> DecryptionMaterials:
        """Return materials with the data key set."""
        return DecryptionMaterials(
            self.algorithm_suite,
            self.encryption_context,
            self.required_encryption_context_keys,
            plaintext_data_key,
            self.verification_key,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("materials hold a data key: they cannot be pickled or copied")


@runtime_checkable
class Keyring(Protocol):
    """A way to wrap a data key (framework/keyring-interface.md). Implementations are safe to share between threads."""

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one first where the materials have none.

        Returns:
            Materials with a data key and at least one more wrapped copy of it.

        Raises:
            KeyringError: this keyring cannot wrap.
            KmsError: a key service refused or failed.
        """
        ...

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Unwrap the first of ``encrypted_data_keys``, in their order, that this keyring can open.

        Returns:
            Materials with the data key set.

        Raises:
            NoMatchingKeyError: none could be opened; it lists every one tried and why it failed.
        """
        ...


@runtime_checkable
class MaterialsManager(Protocol):
    """Where a client gets materials from (framework/cmm-interface.md). Safe to share between threads."""

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        """Return complete materials: a data key, at least one wrapped copy, a signing key where the suite signs.

        Raises:
            KeyringError, KmsError: no data key could be made or wrapped.
            PolicyError: the policy forbids the suite.
        """
        ...

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        """Return complete materials: the data key, and a verification key where the suite signs.

        Raises:
            NoMatchingKeyError: no wrapped data key could be opened.
            KmsError: a key service that might have opened it failed for now.
            PolicyError: the policy forbids the suite, or the encryption context is not the required one.
            SignatureError: the message's public key is missing or malformed.
        """
        ...
