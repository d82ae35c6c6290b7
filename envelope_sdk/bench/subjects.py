"""Who is measured: this package, and its peers where they are installed, bytes to bytes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from envelope_sdk.bench.result import HIERARCHICAL, LEGACY, MPL, MPL_HIERARCHICAL, OWN, Scenario
from envelope_sdk.client import Client
from envelope_sdk.keyrings.hierarchical import (
    BranchKeyStore,
    DynamoDbStorage,
    HierarchicalKeyring,
    KmsKeyArn,
    SqliteStorage,
)
from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.managers.caching import CachingMaterialsManager

__all__ = ["CONTEXT", "Subject", "Subjects"]

CONTEXT: Final = {"purpose": "benchmark"}
"""The encryption context of every message."""

_TABLE: Final = "benchmark"


@dataclass(frozen=True, slots=True)
class Subject:
    """One who encrypts and decrypts, with an empty cache of its own.

    Attributes:
        encrypt: returns the message of a plaintext.
        decrypt: returns the plaintext of a message.
        reported: returns the calls that its materials manager says it made so far, by operation; ``None`` where it has
            none that says so.
    """

    encrypt: Callable[[bytes], bytes]
    decrypt: Callable[[bytes], bytes]
    reported: Callable[[], Mapping[str, int]] | None = None


class Subjects:
    """Makes the subjects of one scenario, any number of them over the same key."""

    def __init__(self, scenario: Scenario, kms: Any, key_arn: str, folder: Path, owned: ExitStack) -> None:
        """Take what is measured, a client of the KMS, its key, where files may be, and what closes all in the end."""
        self._scenario = scenario
        self._kms = kms
        self._key_arn = key_arn
        self._folder = folder
        self._owned = owned
        self._branch_keys = self._branch_key() if scenario.subject == HIERARCHICAL else None
        self._table = self._branch_key_in_table() if scenario.subject == MPL_HIERARCHICAL else None

    def new(self) -> Subject:
        """Return a subject whose cache is empty.

        Raises:
            ImportError: the peer is not installed.
        """
        if self._scenario.subject == LEGACY:
            return self._legacy()
        if self._scenario.subject == MPL:
            return self._mpl()
        if self._scenario.subject == MPL_HIERARCHICAL:
            return self._mpl_hierarchical()
        return self._own() if self._scenario.subject == OWN else self._hierarchical()

    def _own(self) -> Subject:
        keyring, scenario = KmsKeyring(self._kms, self._key_arn), self._scenario
        if not scenario.cached:
            return _of_client(Client(keyring))
        assert scenario.max_age_seconds is not None
        assert scenario.max_messages is not None
        manager = CachingMaterialsManager(
            keyring, max_age_seconds=scenario.max_age_seconds, max_messages=scenario.max_messages
        )
        client = Client(materials_manager=self._owned.enter_context(manager))
        return _of_client(client, lambda: manager.usage().kms_calls)

    def _branch_key(self) -> tuple[BranchKeyStore, str]:
        storage = SqliteStorage(self._folder / f"{uuid.uuid4()}.db")
        store = BranchKeyStore(storage, self._kms, logical_name="benchmark", kms_key=KmsKeyArn(self._key_arn))
        return store, store.create_key()

    def _hierarchical(self) -> Subject:
        assert self._branch_keys is not None
        assert self._scenario.max_age_seconds is not None
        store, branch_key_id = self._branch_keys
        keyring = HierarchicalKeyring(store, branch_key_id, ttl_seconds=self._scenario.max_age_seconds)
        return _of_client(Client(self._owned.enter_context(keyring)))

    def _legacy(self) -> Subject:
        sdk: Any = import_module("aws_encryption_sdk")
        kms: Any = import_module("aws_encryption_sdk.key_providers.kms")
        provider, scenario = kms.KMSMasterKey(key_id=self._key_arn, client=self._kms), self._scenario
        if not scenario.cached:
            return _peer(sdk, key_provider=provider)
        assert scenario.max_age_seconds is not None
        assert scenario.max_messages is not None
        return _peer(
            sdk,
            materials_manager=sdk.CachingCryptoMaterialsManager(
                master_key_provider=provider,
                cache=sdk.LocalCryptoMaterialsCache(1000),
                max_age=float(scenario.max_age_seconds),
                max_messages_encrypted=scenario.max_messages,
            ),
        )

    def _mpl(self) -> Subject:
        library, models = _material_providers()
        given = models.CreateAwsKmsKeyringInput(kms_key_id=self._key_arn, kms_client=self._kms)
        return _peer(import_module("aws_encryption_sdk"), keyring=library.create_aws_kms_keyring(given))

    def _branch_key_in_table(self) -> tuple[Any, str]:
        """Return a client of DynamoDB and the branch key in its table, which moto keeps in this process."""
        moto: Any = import_module("moto")
        boto3: Any = import_module("boto3")
        # A client of KMS that is there already is none of moto's business.
        self._owned.enter_context(moto.mock_aws())
        dynamodb = boto3.client("dynamodb", "us-east-1", aws_access_key_id="any", aws_secret_access_key="any")  # noqa: S106
        storage = DynamoDbStorage(_TABLE, dynamodb)
        storage.create_table()
        store = BranchKeyStore(storage, self._kms, logical_name=_TABLE, kms_key=KmsKeyArn(self._key_arn))
        return dynamodb, store.create_key()

    def _mpl_hierarchical(self) -> Subject:
        keystore: Any = import_module("aws_cryptographic_material_providers.keystore")
        configuration: Any = import_module("aws_cryptographic_material_providers.keystore.config")
        inputs: Any = import_module("aws_cryptographic_material_providers.keystore.models")
        assert self._table is not None
        assert self._scenario.max_age_seconds is not None
        dynamodb, branch_key_id = self._table
        store = keystore.KeyStore(
            configuration.KeyStoreConfig(
                ddb_client=dynamodb,
                ddb_table_name=_TABLE,
                logical_key_store_name=_TABLE,
                kms_client=self._kms,
                kms_configuration=inputs.KMSConfigurationKmsKeyArn(self._key_arn),
            )
        )
        library, models = _material_providers()
        given = models.CreateAwsKmsHierarchicalKeyringInput(
            key_store=store, branch_key_id=branch_key_id, ttl_seconds=max(1, int(self._scenario.max_age_seconds))
        )
        keyring = library.create_aws_kms_hierarchical_keyring(given)
        return _peer(import_module("aws_encryption_sdk"), keyring=keyring)


def _material_providers() -> tuple[Any, Any]:
    """Return the peer's library of keyrings, and what its methods are given."""
    mpl: Any = import_module("aws_cryptographic_material_providers.mpl")
    configuration: Any = import_module("aws_cryptographic_material_providers.mpl.config")
    models: Any = import_module("aws_cryptographic_material_providers.mpl.models")
    return mpl.AwsCryptographicMaterialProviders(config=configuration.MaterialProvidersConfig()), models


def _of_client(client: Client, reported: Callable[[], Mapping[str, int]] | None = None) -> Subject:
    return Subject(
        lambda plaintext: client.encrypt(plaintext, encryption_context=CONTEXT).ciphertext,
        lambda ciphertext: client.decrypt(ciphertext, encryption_context=CONTEXT).plaintext,
        reported,
    )


def _peer(sdk: Any, **materials: Any) -> Subject:
    client, suite = sdk.EncryptionSDKClient(), sdk.Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

    def encrypt(plaintext: bytes) -> bytes:
        # The same unsigned suite and frame length as this package's own defaults: the work is the same.
        ciphertext, _ = client.encrypt(
            source=plaintext, encryption_context=CONTEXT, algorithm=suite, frame_length=65_536, **materials
        )
        return bytes(ciphertext)

    def decrypt(ciphertext: bytes) -> bytes:
        plaintext, _ = client.decrypt(source=ciphertext, **materials)
        return bytes(plaintext)

    return Subject(encrypt, decrypt)
