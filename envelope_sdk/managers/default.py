"""The default materials manager: one call to the keyring for each message (framework/default-cmm.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envelope_sdk.errors import (
    ContextMismatchError,
    EncryptionContextError,
    KeyringError,
    KmsUnavailableError,
    NoMatchingKeyError,
    SignatureError,
)
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD, EncryptionContext
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
)

if TYPE_CHECKING:
    from envelope_sdk.primitives.signing import VerificationKey

__all__ = ["DefaultMaterialsManager", "check_context_has"]

_NONE: Final[frozenset[str]] = frozenset()
_FOR_NOW: Final = "this message cannot be opened for now, since a key service failed"


class DefaultMaterialsManager:
    """Asks a keyring for every message, makes signing keys, and checks the encryption context."""

    __slots__ = ("_keyring",)

    def __init__(self, keyring: Keyring) -> None:
        """Take the keyring that makes, wraps and unwraps data keys."""
        self._keyring = keyring

    def __repr__(self) -> str:
        return f"DefaultMaterialsManager({self._keyring!r})"

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        """Return a new data key for one message.

        Raises:
            CommitmentPolicyError: the policy forbids the suite.
            EncryptionContextError: the caller's context holds ``aws-crypto-public-key``, or lacks a key that
                is required.
            KeyringError, KmsError: the keyring could not make or wrap a data key.
        """
        suite = request.algorithm_suite
        request.commitment_policy.check_encrypt(suite)
        context = request.encryption_context
        if PUBLIC_KEY_FIELD in context:
            raise EncryptionContextError(f"the encryption context key {PUBLIC_KEY_FIELD!r} belongs to the format")
        required = request.required_encryption_context_keys
        if required:
            check_context_has(context, required)
        signing_key = None
        if suite.signature is not None:
            # Most messages are not signed, and most programs write no others: they need not wait for the import.
            from envelope_sdk.primitives.signing import SigningKey

            signing_key = SigningKey.generate(suite.signature)
            context = context.merged({PUBLIC_KEY_FIELD: signing_key.encoded_public_key})
        materials = self._keyring.on_encrypt(EncryptionMaterials(suite, context, required, None, (), signing_key))
        if materials.plaintext_data_key is None or not materials.encrypted_data_keys:
            raise KeyringError(f"{self._keyring!r} returned no data key, or no wrapped copy of it")
        return materials

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        """Return the data key of one message.

        Raises:
            CommitmentPolicyError: the policy forbids the suite.
            ContextMismatchError: a reproduced pair has another value in the message; nothing was unwrapped.
            SignatureError: the public key of a signed message is missing, or an unsigned one has it.
            NoMatchingKeyError: no wrapped data key could be opened.
            KmsUnavailableError: none could be opened, and a key service that might have done so failed for now, or was
                not asked since a pacer let no call through.
        """
        suite = request.algorithm_suite
        request.commitment_policy.check_decrypt(suite)
        stored, reproduced = request.encryption_context, request.reproduced_encryption_context
        unstored = _unstored_keys(stored, reproduced) if reproduced else _NONE
        verification_key = _verification_key(suite, stored)
        materials = DecryptionMaterials(suite, stored.merged(reproduced), unstored, None, verification_key)
        try:
            return self._keyring.on_decrypt(materials, request.encrypted_data_keys)
        except NoMatchingKeyError as error:
            better = _most_useful(error, unstored)
            if better is error:
                raise
            raise better from error


def check_context_has(context: EncryptionContext, required: frozenset[str]) -> None:
    """Raise :class:`EncryptionContextError` where a message's pairs lack one that has to be reproduced to read it."""
    if missing := required - context.keys():
        raise EncryptionContextError(
            f"the encryption context lacks the required keys {', '.join(sorted(map(repr, missing)))}: give a value for "
            "each; they are authenticated but not stored, and readers have to give the same"
        )


def _unstored_keys(stored: EncryptionContext, reproduced: EncryptionContext) -> frozenset[str]:
    for key, value in reproduced.items():
        if key in stored and stored[key] != value:
            raise ContextMismatchError(
                f"the message's encryption context has another value for {key!r} than the required {value!r}"
            )
    return frozenset(reproduced.keys() - stored.keys())


def _verification_key(suite: AlgorithmSuite, stored: EncryptionContext) -> VerificationKey | None:
    signature = suite.signature
    encoded = stored.get(PUBLIC_KEY_FIELD)
    if signature is None:
        if encoded is not None:
            raise SignatureError(
                "the message carries a public key but its algorithm suite does not sign: it was altered",
                section="header",
            )
        return None
    if encoded is None:
        raise SignatureError("the message's algorithm suite signs but it carries no public key", section="header")
    from envelope_sdk.primitives.signing import VerificationKey

    return VerificationKey(signature, encoded)


def _most_useful(error: NoMatchingKeyError, unstored: frozenset[str]) -> NoMatchingKeyError | KmsUnavailableError:
    """Return what helps the caller more: to try again, or to look for another key or context."""
    for failure in error.failures:
        if isinstance(failure.error, KmsUnavailableError):
            return failure.error.reworded("; ".join([_FOR_NOW, *map(str, error.failures)]))
    if unstored:
        keys = ", ".join(sorted(repr(key) for key in unstored))
        return NoMatchingKeyError(
            f"{error.reason}; the required context keys {keys} are not stored in the message, so it only opens if it "
            "was encrypted with just these values",
            error.failures,
        )
    return error
