"""The peer: the real ``aws-encryption-sdk`` 4.x with its material providers library, behind a few short calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from envelope_sdk import AlgorithmSuite, CommitmentPolicy

NAMESPACE = "interop"


class Peer:
    """Speaks to the AWS Encryption SDK in this package's vocabulary."""

    def __init__(self) -> None:
        """Import the SDK, which takes a moment."""
        import aws_encryption_sdk
        from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, models
        from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig

        self.sdk = aws_encryption_sdk
        self.models = models
        self.mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())

    def client(self, suite: AlgorithmSuite) -> Any:
        """Return a client whose policy writes and reads ``suite``."""
        return self.sdk.EncryptionSDKClient(commitment_policy=self.sdk.CommitmentPolicy[policy_for(suite).name])

    def encrypt(
        self,
        plaintext: bytes,
        suite: AlgorithmSuite = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
        *,
        context: Mapping[str, str] | None = None,
        **materials: Any,
    ) -> bytes:
        """Return a message of the peer; ``materials`` names a keyring, manager or key provider, and a frame length."""
        ciphertext, _ = self.client(suite).encrypt(
            source=plaintext,
            algorithm=self.sdk.Algorithm[suite.name],
            encryption_context=dict(context or {}),
            **materials,
        )
        return bytes(ciphertext)

    def decrypt(
        self,
        message: bytes,
        suite: AlgorithmSuite = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
        **materials: Any,
    ) -> bytes:
        """Return the plaintext that the peer reads in ``message``."""
        plaintext, _ = self.client(suite).decrypt(source=message, **materials)
        return bytes(plaintext)

    def aes_keyring(self, key: bytes, name: str = "aes", namespace: str = NAMESPACE) -> Any:
        """Return the peer's raw AES keyring."""
        algorithm = getattr(self.models.AesWrappingAlg, f"ALG_AES{len(key) * 8}_GCM_IV12_TAG16")
        return self.mpl.create_raw_aes_keyring(
            self.models.CreateRawAesKeyringInput(
                key_namespace=namespace, key_name=name, wrapping_key=key, wrapping_alg=algorithm
            )
        )

    def rsa_keyring(
        self, padding: str, name: str = "rsa", *, public_key: bytes | None = None, private_key: bytes | None = None
    ) -> Any:
        """Return the peer's raw RSA keyring; ``padding`` is the name of one of ``RsaPadding``."""
        scheme = padding if padding == "PKCS1" else f"{padding}_MGF1"
        return self.mpl.create_raw_rsa_keyring(
            self.models.CreateRawRsaKeyringInput(
                key_namespace=NAMESPACE,
                key_name=name,
                padding_scheme=getattr(self.models.PaddingScheme, scheme),
                public_key=public_key,
                private_key=private_key,
            )
        )

    def multi_keyring(self, generator: Any, children: Iterable[Any]) -> Any:
        """Return the peer's multi-keyring."""
        return self.mpl.create_multi_keyring(
            self.models.CreateMultiKeyringInput(generator=generator, child_keyrings=list(children))
        )

    def required_context_manager(self, keyring: Any, keys: Iterable[str]) -> Any:
        """Return the peer's manager that leaves the pairs of ``keys`` out of messages."""
        underlying = self.mpl.create_default_cryptographic_materials_manager(
            self.models.CreateDefaultCryptographicMaterialsManagerInput(keyring=keyring)
        )
        return self.mpl.create_required_encryption_context_cmm(
            self.models.CreateRequiredEncryptionContextCMMInput(
                required_encryption_context_keys=list(keys), underlying_cmm=underlying
            )
        )

    def legacy_provider(self, key: bytes, name: str = "aes", *, algorithm: str, key_type: str = "SYMMETRIC") -> Any:
        """Return the peer's older kind of keyring, a raw master key provider."""
        from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
        from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
        from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider

        wrapping_key = WrappingKey(
            wrapping_algorithm=WrappingAlgorithm[algorithm],
            wrapping_key=key,
            wrapping_key_type=EncryptionKeyType[key_type],
        )

        class Provider(RawMasterKeyProvider):
            provider_id = NAMESPACE

            def _get_raw_key(self, key_id: bytes) -> Any:
                return wrapping_key

        provider = Provider()
        provider.add_master_key(name)
        return provider


def policy_for(suite: AlgorithmSuite) -> CommitmentPolicy:
    """Return the strictest policy under which ``suite`` can be written and read."""
    if suite.committing:
        return CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    return CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT


class RsaPair:
    """An RSA key pair as PEM."""

    def __init__(self) -> None:
        """Make one."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="session")
def peer() -> Peer:
    pytest.importorskip("aws_encryption_sdk")
    return Peer()


@pytest.fixture(scope="session")
def rsa_pair() -> RsaPair:
    return RsaPair()


@pytest.fixture(scope="session")
def policy_of() -> Any:
    return policy_for
