"""What the raw and the KMS ECDH keyring share: everything but how the secret is agreed (framework/raw-ecdh-keyring.md).

An encrypted data key names both parties, so either keyring opens what the other wrote::

    provider info   01 | u32 length | recipient's point | u32 length | sender's point
    ciphertext      salt 32 | commitment 32 | data key, encrypted | tag 16

The agreed secret, the salt and the fixed info (parties and encryption context) give the commitment and the wrapping
key. Every data key has a wrapping key of its own, which is why the IV can be zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.constant_time import bytes_eq

from envelope_sdk.errors import AuthenticationError, MessageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH
from envelope_sdk.primitives.counter_kdf import counter_kdf
from envelope_sdk.primitives.ecdh import EcdhCurve, EcdhPublicKey, point_name
from envelope_sdk.primitives.entropy import RandomSource
from envelope_sdk.primitives.keywrap import AesWrappingKey

__all__ = ["KMS_PROVIDER_ID", "RAW_PROVIDER_ID", "parties_shown", "unwrap_agreed", "wrap_agreed"]

RAW_PROVIDER_ID: Final = "raw-ecdh"
"""The key provider id of what the raw keyring wrapped."""

KMS_PROVIDER_ID: Final = "aws-kms-ecdh"
"""The key provider id of what the KMS keyring wrapped."""

_PROVIDER_IDS: Final = frozenset({RAW_PROVIDER_ID, KMS_PROVIDER_ID})
_VERSION: Final = b"\x01"
_LENGTH_BYTES: Final = 4
_CURVES: Final = {curve.point_length: curve for curve in EcdhCurve}
_SALT_LENGTH: Final = 32
_COMMITMENT_LENGTH: Final = 32
_WRAPPING_KEY_LENGTH: Final = 32
# In the formulas of the specification this is in capitals; every implementation writes it as its text says.
_PURPOSE: Final = b"ecdh-key-derivation"
_METHOD: Final = b"HMAC_SHA384"


class _Parties(NamedTuple):
    """The compressed points of a data key's two parties."""

    sender: bytes
    recipient: bytes

    def encode(self) -> bytes:
        fields = (len(point).to_bytes(_LENGTH_BYTES, "big") + point for point in (self.recipient, self.sender))
        return _VERSION + b"".join(fields)

    @classmethod
    def parse(cls, info: bytes) -> _Parties:
        """Raises MessageError where these are not two points of one length."""
        if not info.startswith(_VERSION):
            raise _malformed("names the parties in a version that is not known")
        length = int.from_bytes(info[len(_VERSION) : len(_VERSION) + _LENGTH_BYTES], "big")
        start = len(_VERSION) + _LENGTH_BYTES
        parties = cls(recipient=info[start : start + length], sender=info[start + length + _LENGTH_BYTES :])
        if length not in _CURVES or parties.encode() != info or len(parties.sender) != length:
            raise _malformed("does not name two parties by points of one curve")
        return parties

    def fixed_info(self, curve: EcdhCurve, context: bytes) -> bytes:
        fields = (_PURPOSE, curve.value.encode("ascii"), _METHOD, self.sender + self.recipient, _VERSION, context)
        return b"\0".join(fields)


def parties_shown(provider_info: bytes) -> str:
    """Return a data key's sender and recipient in the words of the keyrings' reprs.

    Raises:
        MessageError: they are malformed.
    """
    parties = _Parties.parse(provider_info)
    return " to ".join(point_name(_CURVES[len(point)], point) for point in parties)


def wrap_agreed(
    materials: EncryptionMaterials,
    provider_id: str,
    sender: EcdhPublicKey,
    recipient: EcdhPublicKey,
    secret: bytes,
    random: RandomSource,
) -> EncryptionMaterials:
    """Return ``materials`` with the data key, made here where there is none, wrapped for two parties.

    Args:
        materials: what is to be wrapped.
        provider_id: the keyring's.
        sender: whoever wraps.
        recipient: whoever is to open it; on the sender's curve.
        secret: what the two agreed on.
        random: the source of the data key and the salt.
    """
    data_key = materials.plaintext_data_key
    if data_key is None:
        data_key = random(materials.algorithm_suite.key_length)
    parties = _Parties(sender.point, recipient.point)
    fixed_info = parties.fixed_info(sender.curve, materials.encryption_context.canonical)
    salt = random(_SALT_LENGTH)
    commitment, wrapping_key = _derived(secret, fixed_info, salt)
    wrapped = wrapping_key.wrap(data_key, bytes(IV_LENGTH), fixed_info)
    return materials.with_data_key(
        data_key, EncryptedDataKey(provider_id, parties.encode(), salt + commitment + wrapped)
    )


def unwrap_agreed(
    keyring: object,
    materials: DecryptionMaterials,
    encrypted_data_keys: Iterable[EncryptedDataKey],
    own: EcdhPublicKey,
    peer: EcdhPublicKey | None,
    agree: Callable[[EcdhPublicKey], bytes],
) -> DecryptionMaterials:
    """Return ``materials`` with the first data key that was wrapped for these parties and opens.

    Args:
        keyring: asked for its repr where something fails.
        materials: without a data key.
        encrypted_data_keys: the message's, in its order.
        own: the public key of whoever opens.
        peer: the other party, whichever of the two sent it; ``None`` for whatever anybody sent to ``own``.
        agree: returns the secret shared with a party, or raises an ``EnvelopeError``.

    Raises:
        NoMatchingKeyError: none opened.
    """
    context = materials.encryption_context.canonical

    def unwrap(key: EncryptedDataKey) -> bytes:
        parties = _Parties.parse(key.provider_info)
        if len(key.ciphertext) < _SALT_LENGTH + _COMMITMENT_LENGTH + TAG_LENGTH:
            raise _malformed("is too short")
        other = EcdhPublicKey.from_point(own.curve, parties.sender) if peer is None else peer
        return _opened(agree(other), parties.fixed_info(own.curve, context), key.ciphertext)

    mine = (
        key for key in encrypted_data_keys if key.provider_id in _PROVIDER_IDS and _is_between(key, own.point, peer)
    )
    return unwrap_first(keyring, materials, mine, unwrap)


def _is_between(key: EncryptedDataKey, own: bytes, peer: EcdhPublicKey | None) -> bool:
    try:
        parties = _Parties.parse(key.provider_info)
    except MessageError:
        # Passes, so that it is reported as the failure it is.
        return True
    if peer is None:
        return parties.recipient == own
    return parties in ((own, peer.point), (peer.point, own))


def _opened(secret: bytes, fixed_info: bytes, ciphertext: bytes) -> bytes:
    salt, rest = ciphertext[:_SALT_LENGTH], ciphertext[_SALT_LENGTH:]
    commitment, wrapping_key = _derived(secret, fixed_info, salt)
    if not bytes_eq(commitment, rest[:_COMMITMENT_LENGTH]):
        raise AuthenticationError(
            "the wrapped data key commits to another wrapping key: wrong key or wrong encryption context",
            section="encrypted data key",
        )
    return wrapping_key.unwrap(rest[_COMMITMENT_LENGTH:], bytes(IV_LENGTH), fixed_info)


def _derived(secret: bytes, fixed_info: bytes, salt: bytes) -> tuple[bytes, AesWrappingKey]:
    """Return the commitment and the wrapping key."""
    derived = counter_kdf("sha384", secret, fixed_info, salt, _COMMITMENT_LENGTH + _WRAPPING_KEY_LENGTH)
    return derived[:_COMMITMENT_LENGTH], AesWrappingKey(derived[_COMMITMENT_LENGTH:])


def _malformed(how: str) -> MessageError:
    return MessageError(f"the wrapped data key {how}", section="encrypted data key")
