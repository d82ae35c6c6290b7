"""Keyrings for reading vectors: those that know the data key, and a decrypt-only reading of one scheme.

``EcdhReader`` follows framework/raw-ecdh-keyring.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from testkit.builder import EDK

from envelope_sdk.errors import AuthenticationError, KeyringError
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials


class StaticDataKeyring:
    """Always the same data key, whatever the encrypted data keys say."""

    def __init__(self, data_key: bytes) -> None:
        self._data_key = data_key
        self.unwraps = 0

    def __repr__(self) -> str:
        return "StaticDataKeyring()"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        return materials.with_data_key(self._data_key, EncryptedDataKey(*EDK))

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        self.unwraps += 1
        return materials.with_data_key(self._data_key)


class NullDataKeyring:
    """A data key of zeros, as long as the suite wants."""

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        return materials.with_data_key(bytes(materials.algorithm_suite.key_length), EncryptedDataKey("null", b"", b""))

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        return materials.with_data_key(bytes(materials.algorithm_suite.key_length))


class CountingDataKeyring:
    """The data key 1, 2, 3, ..., as long as the suite wants."""

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        data_key = bytes(range(1, materials.algorithm_suite.key_length + 1))
        return materials.with_data_key(data_key, EncryptedDataKey("counting", b"", b""))

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        return materials.with_data_key(bytes(range(1, materials.algorithm_suite.key_length + 1)))


def _expand(hash_: HashAlgorithm, key: bytes, length: int, label: bytes, context: bytes) -> bytes:
    return KBKDFHMAC(
        algorithm=hash_,
        mode=Mode.CounterMode,
        length=length,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    ).derive(key)


_CURVE_NAMES = {"secp256r1": b"p256", "secp384r1": b"p384", "secp521r1": b"p521"}


class EcdhReader:
    """Opens ``raw-ecdh`` data keys with one private key, in whichever role it stands."""

    def __init__(self, private_pem: bytes) -> None:
        key = load_pem_private_key(private_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def __repr__(self) -> str:
        return "EcdhReader()"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        raise KeyringError("this keyring only decrypts")

    def on_decrypt(self, materials: DecryptionMaterials, keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        context = materials.encryption_context.canonical
        mine = (key for key in keys if key.provider_id == "raw-ecdh")
        return unwrap_first(repr(self), materials, mine, lambda key: self._unwrap(key, context))

    def _unwrap(self, key: EncryptedDataKey, context: bytes) -> bytes:
        recipient, sender = _points(key.provider_info)
        if self._point not in (recipient, sender):
            raise KeyringError("wrapped for another pair of keys")
        peer = ec.EllipticCurvePublicKey.from_encoded_point(
            self._key.curve, sender if self._point == recipient else recipient
        )
        fixed_info = b"\0".join(
            (
                b"ecdh-key-derivation",
                _CURVE_NAMES[self._key.curve.name],
                b"HMAC_SHA384",
                sender + recipient,
                b"\x01",
                context,
            )
        )
        salt, commitment, wrapped = key.ciphertext[:32], key.ciphertext[32:64], key.ciphertext[64:]
        derived = _expand(SHA384(), self._key.exchange(ec.ECDH(), peer), 64, fixed_info, salt)
        if not bytes_eq(derived[:32], commitment):
            raise AuthenticationError("the wrapped data key commits to another key", section="encrypted data key")
        try:
            return AESGCM(derived[32:]).decrypt(bytes(12), wrapped, fixed_info)
        except InvalidTag:
            raise AuthenticationError("the data key does not open", section="encrypted data key") from None


def _points(provider_info: bytes) -> tuple[bytes, bytes]:
    """Return recipient and sender."""
    if provider_info[:1] != b"\x01":
        raise KeyringError("unknown version of ECDH provider info")
    (length,) = struct.unpack_from(">I", provider_info, 1)
    return provider_info[5 : 5 + length], provider_info[9 + length :]
