"""What passes between a client, its materials manager and its keyrings, and the two contracts that join them.

Materials are values: a keyring returns new ones and never changes those it was given, so keyrings can be shared between
threads. Their reprs show no key, and they cannot be pickled. They are no dataclasses and no named tuples, as the
requests are, because pretty printers show those field by field without asking for their repr.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, NoReturn, Protocol, runtime_checkable

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey, encode_encrypted_data_keys
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.policy import CommitmentPolicy

if TYPE_CHECKING:
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
        required_encryption_context_keys: keys of pairs to authenticate but not to store in the message. The materials
            hold them all, and may hold more.
    """

    encryption_context: EncryptionContext
    commitment_policy: CommitmentPolicy
    algorithm_suite: AlgorithmSuite
    plaintext_length: int | None = None
    required_encryption_context_keys: frozenset[str] = frozenset()


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


class _Materials:
    """What the two kinds of materials share: comparing, hashing and showing them, and refusing to be copied."""

    __slots__ = ()

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__match_args__))

    def __repr__(self) -> str:
        shown = (name for name in self.__match_args__ if name != "plaintext_data_key")
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("materials hold a data key: they cannot be pickled or copied")


class EncryptionMaterials(_Materials):
    """What one message is encrypted with (framework/structures.md, "encryption materials")."""

    __slots__ = (
        "_algorithm_suite",
        "_encoded_context_and_keys",
        "_encrypted_data_keys",
        "_encryption_context",
        "_plaintext_data_key",
        "_required_encryption_context_keys",
        "_signing_key",
    )

    __match_args__ = (
        "algorithm_suite",
        "encryption_context",
        "required_encryption_context_keys",
        "plaintext_data_key",
        "encrypted_data_keys",
        "signing_key",
    )

    def __init__(
        self,
        algorithm_suite: AlgorithmSuite,
        encryption_context: EncryptionContext,
        required_encryption_context_keys: frozenset[str] = frozenset(),
        plaintext_data_key: bytes | None = None,
        encrypted_data_keys: tuple[EncryptedDataKey, ...] = (),
        signing_key: SigningKey | None = None,
    ) -> None:
        """Take what the properties of the same names say."""
        self._algorithm_suite = algorithm_suite
        self._encryption_context = encryption_context
        self._required_encryption_context_keys = required_encryption_context_keys
        self._plaintext_data_key = plaintext_data_key
        self._encrypted_data_keys = encrypted_data_keys
        self._signing_key = signing_key
        self._encoded_context_and_keys: bytes | None = None

    @property
    def algorithm_suite(self) -> AlgorithmSuite:
        """The suite."""
        return self._algorithm_suite

    @property
    def encryption_context(self) -> EncryptionContext:
        """Every pair that is authenticated, stored or not."""
        return self._encryption_context

    @property
    def required_encryption_context_keys(self) -> frozenset[str]:
        """Keys of pairs that are authenticated but not stored in the message."""
        return self._required_encryption_context_keys

    @property
    def plaintext_data_key(self) -> bytes | None:
        """The data key, ``algorithm_suite.key_length`` bytes; ``None`` until a keyring made one."""
        return self._plaintext_data_key

    @property
    def encrypted_data_keys(self) -> tuple[EncryptedDataKey, ...]:
        """Wrapped copies of the data key, in the order keyrings made them."""
        return self._encrypted_data_keys

    @property
    def signing_key(self) -> SigningKey | None:
        """The message's signing key; ``None`` for unsigned suites."""
        return self._signing_key

    @property
    def encoded_context_and_keys(self) -> bytes:
        """The middle of the header: the stored pairs, sorted, then the encrypted data keys, each field as written.

        Raises:
            UsageError: there are no encrypted data keys, or one of them cannot be written.
        """
        # It is the same for every message of these materials. Two threads may both make it, to the same bytes.
        encoded = self._encoded_context_and_keys
        if encoded is None:
            required = self._required_encryption_context_keys
            stored = self._encryption_context.without(required) if required else self._encryption_context
            encoded = stored.sorted().encode() + encode_encrypted_data_keys(self._encrypted_data_keys)
            self._encoded_context_and_keys = encoded
        return encoded

    def with_data_key(self, plaintext_data_key: bytes, *wrapped: EncryptedDataKey) -> EncryptionMaterials:
        """Return materials with a data key set and its wrapped copies added."""
        made = EncryptionMaterials(
            self._algorithm_suite,
            self._encryption_context,
            self._required_encryption_context_keys,
            plaintext_data_key,
            (*self._encrypted_data_keys, *wrapped) if wrapped else self._encrypted_data_keys,
            self._signing_key,
        )
        if not wrapped:
            # The header's middle says nothing of the data key itself.
            made._encoded_context_and_keys = self._encoded_context_and_keys
        return made


class DecryptionMaterials(_Materials):
    """What one message is decrypted with (framework/structures.md, "decryption materials")."""

    __slots__ = (
        "_algorithm_suite",
        "_encryption_context",
        "_plaintext_data_key",
        "_required_encryption_context_keys",
        "_verification_key",
    )

    __match_args__ = (
        "algorithm_suite",
        "encryption_context",
        "required_encryption_context_keys",
        "plaintext_data_key",
        "verification_key",
    )

    def __init__(
        self,
        algorithm_suite: AlgorithmSuite,
        encryption_context: EncryptionContext,
        required_encryption_context_keys: frozenset[str] = frozenset(),
        plaintext_data_key: bytes | None = None,
        verification_key: VerificationKey | None = None,
    ) -> None:
        """Take what the properties of the same names say."""
        self._algorithm_suite = algorithm_suite
        self._encryption_context = encryption_context
        self._required_encryption_context_keys = required_encryption_context_keys
        self._plaintext_data_key = plaintext_data_key
        self._verification_key = verification_key

    @property
    def algorithm_suite(self) -> AlgorithmSuite:
        """The message's suite."""
        return self._algorithm_suite

    @property
    def encryption_context(self) -> EncryptionContext:
        """Every pair that is authenticated: those stored and those the caller reproduced."""
        return self._encryption_context

    @property
    def required_encryption_context_keys(self) -> frozenset[str]:
        """Keys of the pairs that are not stored in the message."""
        return self._required_encryption_context_keys

    @property
    def plaintext_data_key(self) -> bytes | None:
        """The data key; ``None`` until a keyring unwrapped one."""
        return self._plaintext_data_key

    @property
    def verification_key(self) -> VerificationKey | None:
        """The message's verification key; ``None`` for unsigned suites."""
        return self._verification_key

    def with_data_key(self, plaintext_data_key: bytes) -> DecryptionMaterials:
        """Return materials with the data key set."""
        return DecryptionMaterials(
            self._algorithm_suite,
            self._encryption_context,
            self._required_encryption_context_keys,
            plaintext_data_key,
            self._verification_key,
        )


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
            EncryptionContextError: the context holds the format's own key, or lacks a required one.
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
