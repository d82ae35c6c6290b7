"""Wrapping under a key agreed between two parties whose keys the caller holds (framework/raw-ecdh-keyring.md)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from envelope_sdk.errors import KeyringError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import cannot_unwrap
from envelope_sdk.keyrings.ecdh_wrapping import RAW_PROVIDER_ID, unwrap_agreed, wrap_agreed
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.ecdh import EcdhCurve, EcdhPrivateKey, EcdhPublicKey, check_curve
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["RawEcdhKeyring"]


class RawEcdhKeyring:
    """Wraps data keys for a party of whom only the public key is known, bound to the encryption context.

    The class methods make it, one for each of the schemes of framework/key-agreement-schemas.md and one for a key pair
    of one's own. Keys are on P-256, P-384 or P-521, as PEM or DER bytes (public: SubjectPublicKeyInfo; private: PKCS#8
    or SEC 1) or as key objects of ``cryptography``.
    """

    __slots__ = ("_private_key", "_random", "_recipient", "_scheme", "_secret")

    def __init__(
        self,
        *,
        scheme: str,
        private_key: EcdhPrivateKey | None = None,
        recipient: EcdhPublicKey | None = None,
        secret: bytes | None = None,
        random: RandomSource = system_random,
    ) -> None:
        """Take what one of the class methods has checked; ``secret`` is what two static keys agreed on."""
        self._scheme = scheme
        self._private_key = private_key
        self._recipient = recipient
        self._secret = secret
        self._random = random

    @classmethod
    def static(
        cls,
        private_key: bytes | EllipticCurvePrivateKey,
        recipient_public_key: bytes | EllipticCurvePublicKey,
        *,
        curve: EcdhCurve | str | None = None,
        password: bytes | None = None,
        random: RandomSource = system_random,
    ) -> RawEcdhKeyring:
        """Return a keyring of two parties, each with a lasting key: it wraps for the other and opens what either wrote.

        Args:
            private_key: the caller's.
            recipient_public_key: the other party's.
            curve: what both have to be on, for instance ``"p384"``; ``None`` for any curve, as long as it is one.
            password: opens an encrypted ``private_key``.
            random: the source of data keys and salts.

        Raises:
            UsageError: a key cannot be read, is not of a supported curve, or they are of two curves.
            TypeError: the password is not bytes.
        """
        private = _private(private_key, password, curve)
        recipient = _recipient(recipient_public_key, private.public.curve)
        # The two agree on the same secret every time, and that takes longer than all else here.
        secret = private.agree(recipient)
        return cls(scheme="static", private_key=private, recipient=recipient, secret=secret, random=random)

    @classmethod
    def ephemeral(
        cls,
        recipient_public_key: bytes | EllipticCurvePublicKey,
        *,
        curve: EcdhCurve | str | None = None,
        random: RandomSource = system_random,
    ) -> RawEcdhKeyring:
        """Return a keyring that wraps for one party, with a new key pair for every data key. It opens nothing.

        Args:
            recipient_public_key: the party's; it may be that of a KMS key.
            curve: as for :meth:`static`.
            random: the source of data keys and salts; key pairs come from the operating system's.

        Raises:
            UsageError: as :meth:`static`.
        """
        return cls(scheme="ephemeral", recipient=_recipient(recipient_public_key, curve), random=random)

    @classmethod
    def discovery(
        cls,
        recipient_private_key: bytes | EllipticCurvePrivateKey,
        *,
        curve: EcdhCurve | str | None = None,
        password: bytes | None = None,
    ) -> RawEcdhKeyring:
        """Return a keyring that opens what anybody wrapped for the key. It wraps nothing.

        Args:
            recipient_private_key: the caller's.
            curve: as for :meth:`static`.
            password: opens an encrypted key.

        Raises:
            UsageError: as :meth:`static`.
        """
        return cls(scheme="discovery", private_key=_private(recipient_private_key, password, curve))

    @classmethod
    def pair(
        cls,
        private_key: bytes | EllipticCurvePrivateKey,
        *,
        curve: EcdhCurve | str | None = None,
        password: bytes | None = None,
        random: RandomSource = system_random,
    ) -> RawEcdhKeyring:
        """Return a keyring of one key: it wraps for it as :meth:`ephemeral` and opens as :meth:`discovery`.

        The arguments and errors are theirs.
        """
        private = _private(private_key, password, curve)
        return cls(scheme="pair", private_key=private, recipient=private.public, random=random)

    def __repr__(self) -> str:
        keys = [] if self._private_key is None else [str(self._private_key.public)]
        if self._recipient is not None and self._scheme != "pair":
            keys.append(f"to {self._recipient}")
        return f"RawEcdhKeyring({self._scheme}, {' '.join(keys)})"

    def __reduce__(self) -> str:
        raise TypeError("a keyring of private keys cannot be pickled or copied")

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one where there is none.

        Raises:
            KeyringError: the scheme is discovery, which only decrypts.
        """
        recipient = self._recipient
        if recipient is None:
            raise KeyringError(f"{self!r} knows no recipient's public key and so cannot encrypt")
        if self._secret is not None and self._private_key is not None:
            sender, secret = self._private_key.public, self._secret
        else:
            ephemeral = EcdhPrivateKey.generate(recipient.curve)
            sender, secret = ephemeral.public, ephemeral.agree(recipient)
        return wrap_agreed(materials, RAW_PROVIDER_ID, sender, recipient, secret, self._random)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Unwrap the first data key that names this keyring's parties and opens.

        Raises:
            NoMatchingKeyError: there is none, or the scheme is ephemeral, which only encrypts.
        """
        private_key, secret = self._private_key, self._secret
        if private_key is None:
            cannot_unwrap(self, materials, "it has no private key and so cannot decrypt")
        if secret is not None:
            return unwrap_agreed(
                self, materials, encrypted_data_keys, private_key.public, self._recipient, lambda _: secret
            )
        return unwrap_agreed(self, materials, encrypted_data_keys, private_key.public, None, private_key.agree)


def _private(
    key: bytes | EllipticCurvePrivateKey, password: bytes | None, curve: EcdhCurve | str | None
) -> EcdhPrivateKey:
    private = EcdhPrivateKey.load("ECDH private key", key, password)
    check_curve("private key", private.public, curve)
    return private


def _recipient(key: bytes | EllipticCurvePublicKey, curve: EcdhCurve | str | None) -> EcdhPublicKey:
    recipient = EcdhPublicKey.load("recipient's public key", key)
    check_curve("recipient's public key", recipient, curve)
    return recipient
