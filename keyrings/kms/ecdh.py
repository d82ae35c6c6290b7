"""Wrapping under a key agreed with a key agreement key of a KMS (framework/aws-kms/aws-kms-ecdh-keyring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from envelope_sdk.errors import KeyringError, KmsError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.ecdh_wrapping import KMS_PROVIDER_ID, unwrap_agreed, wrap_agreed
from envelope_sdk.keyrings.kms.answers import bytes_of, odd_answer
from envelope_sdk.keyrings.kms.api import EcdhKmsApi, asked_for, call_kms, checked_grant_tokens
from envelope_sdk.keyrings.kms.arn import check_key_arn
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.ecdh import EcdhPublicKey, check_curve
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["KmsEcdhKeyring"]

_ALGORITHM: Final = "ECDH"
_KEY_USAGE: Final = "KEY_AGREEMENT"
_OWN_PUBLIC_KEY: Final = "KMS key's public key"
_RECIPIENT: Final = "recipient's public key"


class KmsEcdhKeyring:
    """Wraps data keys for two parties, one of whom has the private key in a KMS; bound to the encryption context.

    The class methods make it, one for each scheme of framework/key-agreement-schemas.md. KMS derives the shared secret:
    one call to encrypt a message, and to decrypt one for every data key that names the parties, until one opens. A
    :class:`~envelope_sdk.keyrings.RawEcdhKeyring` can be the other party.
    """

    __slots__ = ("_grant_tokens", "_key_arn", "_kms", "_own", "_peer", "_random")

    def __init__(
        self,
        kms: EcdhKmsApi,
        key_arn: str,
        *,
        public_key: bytes | EllipticCurvePublicKey | None,
        peer: EcdhPublicKey | None,
        grant_tokens: Iterable[str],
        random: RandomSource = system_random,
    ) -> None:
        """Take what the class methods say; ``public_key`` is the KMS key's, and ``peer`` is the other party."""
        self._kms = kms
        self._key_arn = check_key_arn(key_arn)
        self._grant_tokens = checked_grant_tokens(grant_tokens)
        self._peer = peer
        self._random = random
        self._own = (
            self._fetched_public_key() if public_key is None else EcdhPublicKey.load(_OWN_PUBLIC_KEY, public_key)
        )
        if peer is not None:
            check_curve(_RECIPIENT, peer, self._own.curve)

    @classmethod
    def static(
        cls,
        kms: EcdhKmsApi,
        sender_key_id: str,
        recipient_public_key: bytes | EllipticCurvePublicKey,
        *,
        sender_public_key: bytes | EllipticCurvePublicKey | None = None,
        grant_tokens: Iterable[str] = (),
        random: RandomSource = system_random,
    ) -> KmsEcdhKeyring:
        """Return a keyring of a KMS key and one other party: it wraps for that party and opens what either wrote.

        Args:
            kms: ``boto3.client("kms")``, or anything with its methods.
            sender_key_id: the ARN of the caller's key, whose usage is ``KEY_AGREEMENT``.
            recipient_public_key: the other party's: PEM or DER bytes (SubjectPublicKeyInfo), or a key object, on the
                curve of the KMS key.
            sender_public_key: the KMS key's, likewise; without it KMS is asked for it here, once. It is taken on trust:
                a message made with the public key of another KMS key cannot be opened.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.
            random: the source of data keys and salts.

        Raises:
            UsageError: the identifier is not a key ARN, the KMS key is not for key agreement, or a public key cannot be
                read, is not of a supported curve, or not of the other's.
            KmsError: KMS did not give the public key.
        """
        recipient = EcdhPublicKey.load(_RECIPIENT, recipient_public_key)
        return cls(
            kms, sender_key_id, public_key=sender_public_key, peer=recipient, grant_tokens=grant_tokens, random=random
        )

    @classmethod
    def discovery(
        cls,
        kms: EcdhKmsApi,
        recipient_key_id: str,
        *,
        recipient_public_key: bytes | EllipticCurvePublicKey | None = None,
        grant_tokens: Iterable[str] = (),
    ) -> KmsEcdhKeyring:
        """Return a keyring that opens what anybody wrapped for a KMS key. It wraps nothing.

        Args:
            kms: as for :meth:`static`.
            recipient_key_id: the ARN of the caller's key.
            recipient_public_key: that key's; without it KMS is asked for it here, once.
            grant_tokens: as for :meth:`static`.

        Raises:
            UsageError, KmsError: as :meth:`static`.
        """
        return cls(kms, recipient_key_id, public_key=recipient_public_key, peer=None, grant_tokens=grant_tokens)

    def __repr__(self) -> str:
        scheme = "discovery" if self._peer is None else f"static, to {self._peer}"
        return f"KmsEcdhKeyring({self._key_arn!r}, {scheme})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one where there is none.

        Raises:
            KeyringError: the scheme is discovery, which only decrypts.
            KmsError: KMS refused or failed, or answered with something that is not what was asked for.
        """
        if self._peer is None:
            raise KeyringError(f"{self!r} knows no recipient's public key and so cannot encrypt")
        secret = self._derive(self._peer)
        return wrap_agreed(materials, KMS_PROVIDER_ID, self._own, self._peer, secret, self._random)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Unwrap the first data key that names this keyring's parties and opens.

        Raises:
            NoMatchingKeyError: there is none; the failures hold KMS's answers.
        """
        return unwrap_agreed(self, materials, encrypted_data_keys, self._own, self._peer, self._derive)

    def _derive(self, peer: EcdhPublicKey) -> bytes:
        operation = "DeriveSharedSecret"
        answer = self._call(
            operation, self._kms.derive_shared_secret, KeyAgreementAlgorithm=_ALGORITHM, PublicKey=peer.to_der()
        )
        secret = bytes_of(operation, answer, "SharedSecret")
        if len(secret) != peer.curve.secret_length:
            raise odd_answer(operation, f"a secret of {len(secret)} bytes, which is not one of {peer.curve.value}")
        return secret

    def _fetched_public_key(self) -> EcdhPublicKey:
        operation = "GetPublicKey"
        answer = self._call(operation, self._kms.get_public_key)
        if answer.get("KeyUsage") != _KEY_USAGE:
            raise UsageError(
                f"the usage of the KMS key {self._key_arn!r} is {answer.get('KeyUsage')!r}; ECDH takes {_KEY_USAGE!r}"
            )
        what = f"{_OWN_PUBLIC_KEY}, of the spec {answer.get('KeySpec')},"
        return EcdhPublicKey.load(what, bytes_of(operation, answer, "PublicKey"))

    def _call(self, operation: str, method: Any, **parameters: Any) -> Mapping[str, Any]:
        parameters["KeyId"] = self._key_arn
        if self._grant_tokens:
            parameters["GrantTokens"] = list(self._grant_tokens)
        try:
            answer = call_kms(operation, method, **parameters)
        except KmsError as error:
            raise asked_for(error, self._key_arn) from error.__cause__
        if answer.get("KeyId") != self._key_arn:
            raise odd_answer(operation, f"the key {answer.get('KeyId')!r} where {self._key_arn!r} was asked for")
        return answer
