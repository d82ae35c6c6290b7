"""Hierarchical keyrings and key stores of both sides over one table and one KMS of a mocked AWS account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import AuthenticationError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import HierarchicalKeyring
from envelope_sdk.keyrings.hierarchical import (
    BranchKeyStore,
    ContextKeySupplier,
    DynamoDbStorage,
    KmsDiscovery,
    KmsKeyArn,
    SqliteStorage,
)

pytest.importorskip("aws_encryption_sdk")
moto = pytest.importorskip("moto")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both"
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}
TABLE = "branch-keys-table"
LOGICAL_NAME = "logical-branch-keys"
SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
    AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256,
]
each_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")


@dataclass
class Sides:
    """One account, our store and the peer's."""

    peer: Any
    kms: Any
    dynamodb: Any
    key: str
    ours: BranchKeyStore
    theirs: Any
    models: Any

    def create(self, side: str, branch_key_id: str | None = None, context: Mapping[str, str] | None = None) -> str:
        """Create a branch key by one side's store."""
        if side == "ours":
            return self.ours.create_key(branch_key_id, context)
        made = self.theirs.create_key(
            self.models.CreateKeyInput(
                branch_key_identifier=branch_key_id, encryption_context=None if context is None else dict(context)
            )
        )
        return str(made.branch_key_identifier)

    def version(self, side: str, branch_key_id: str) -> None:
        """Version a branch key by one side's store."""
        if side == "ours":
            self.ours.version_key(branch_key_id)
        else:
            self.theirs.version_key(self.models.VersionKeyInput(branch_key_identifier=branch_key_id))

    def active(self, side: str, branch_key_id: str) -> tuple[str, bytes, dict[str, str]]:
        """Return version, key and context of the active branch key as one side's store gives it."""
        if side == "ours":
            key = self.ours.get_active(branch_key_id)
            return key.version, bytes(key.key), dict(key.encryption_context)
        answer = self.theirs.get_active_branch_key(
            self.models.GetActiveBranchKeyInput(branch_key_identifier=branch_key_id)
        )
        found = answer.branch_key_materials
        version = found.branch_key_version
        return (
            version.decode() if isinstance(version, bytes) else version,
            bytes(found.branch_key),
            dict(found.encryption_context),
        )

    def our_client(self, branch_key: Any, suite: AlgorithmSuite, policy: Any) -> Client:
        keyring = HierarchicalKeyring(self.ours, branch_key, ttl_seconds=600)
        return Client(keyring, commitment_policy=policy, algorithm_suite=suite)

    def their_keyring(self, **branch_key: Any) -> Any:
        models = self.peer.models
        return self.peer.mpl.create_aws_kms_hierarchical_keyring(
            models.CreateAwsKmsHierarchicalKeyringInput(key_store=self.theirs, ttl_seconds=600, **branch_key)
        )


@pytest.fixture
def sides(peer: Any) -> Iterator[Sides]:
    from aws_cryptographic_material_providers.keystore import KeyStore, models
    from aws_cryptographic_material_providers.keystore.config import KeyStoreConfig

    def client(service: str) -> Any:
        return boto3.client(
            service, region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )

    with moto.mock_aws():
        kms, dynamodb = client("kms"), client("dynamodb")
        key = kms.create_key()["KeyMetadata"]["Arn"]
        storage = DynamoDbStorage(TABLE, dynamodb)
        storage.create_table()
        ours = BranchKeyStore(storage, kms, logical_name=LOGICAL_NAME, kms_key=KmsKeyArn(key))
        theirs = KeyStore(
            KeyStoreConfig(
                ddb_client=dynamodb,
                ddb_table_name=TABLE,
                logical_key_store_name=LOGICAL_NAME,
                kms_client=kms,
                kms_configuration=models.KMSConfigurationKmsKeyArn(key),
            )
        )
        yield Sides(peer, kms, dynamodb, key, ours, theirs, models)


each_creator = pytest.mark.parametrize("creator", ["ours", "theirs"])
each_versioner = pytest.mark.parametrize("versioner", ["ours", "theirs"])


@each_creator
@each_suite
def test_each_side_opens_the_other_s_messages(creator, suite, sides, policy_of):
    branch_key = sides.create(creator)
    client = sides.our_client(branch_key, suite, policy_of(suite))
    keyring = sides.their_keyring(branch_key_id=branch_key)

    from_us = client.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    from_them = sides.peer.encrypt(PLAINTEXT, suite, context=CONTEXT, keyring=keyring)

    assert sides.peer.decrypt(from_us, suite, keyring=keyring) == PLAINTEXT
    assert client.decrypt(from_them).plaintext == PLAINTEXT


@each_versioner
@each_creator
def test_messages_from_before_and_after_a_rotation_open_on_the_other_side(creator, versioner, sides, policy_of):
    suite = SUITES[0]
    branch_key = sides.create(creator, "tenant", CONTEXT)
    from_us, from_them = [], []
    for _ in range(3):
        # New keyrings, since those of before go on with the version in their caches.
        from_us.append(sides.our_client(branch_key, suite, policy_of(suite)).encrypt(PLAINTEXT).ciphertext)
        from_them.append(sides.peer.encrypt(PLAINTEXT, keyring=sides.their_keyring(branch_key_id=branch_key)))
        sides.version(versioner, branch_key)

    versions = {sides.ours.get_active(branch_key).version}
    client = sides.our_client(branch_key, suite, policy_of(suite))
    keyring = sides.their_keyring(branch_key_id=branch_key)
    for ours, theirs in zip(from_us, from_them, strict=True):
        assert sides.peer.decrypt(ours, keyring=keyring) == PLAINTEXT
        opened = client.decrypt(theirs)
        assert opened.plaintext == PLAINTEXT
        versions.add(str(opened.header.encrypted_data_keys[0].ciphertext[28:44]))
    assert len(versions) == 4


@each_versioner
@each_creator
def test_both_stores_see_one_branch_key(creator, versioner, sides):
    branch_key = sides.create(creator, "tenant", CONTEXT)
    for _ in range(2):
        ours, theirs = sides.active("ours", branch_key), sides.active("theirs", branch_key)
        assert ours == theirs
        assert ours[2] == CONTEXT
        sides.version(versioner, branch_key)

    version, key, _ = sides.active("ours", branch_key)
    found = sides.theirs.get_branch_key_version(
        sides.models.GetBranchKeyVersionInput(branch_key_identifier=branch_key, branch_key_version=version)
    )
    assert bytes(found.branch_key_materials.branch_key) == key
    assert bytes(sides.ours.get_version(branch_key, version).key) == key
    beacon = sides.theirs.get_beacon_key(sides.models.GetBeaconKeyInput(branch_key_identifier=branch_key))
    assert bytes(beacon.beacon_key_materials.beacon_key) == bytes(sides.ours.get_beacon_key(branch_key).key)


def test_both_stores_write_the_same_attributes(sides):
    def shapes(branch_key: str) -> list[dict[str, Any]]:
        """Return the records, what is random in them left out."""
        items = sides.dynamodb.query(
            TableName=TABLE,
            KeyConditionExpression="#id = :id",
            ExpressionAttributeNames={"#id": "branch-key-id"},
            ExpressionAttributeValues={":id": {"S": branch_key}},
        )["Items"]
        for item in items:
            item["branch-key-id"] = "id"
            item["enc"] = {kind: len(value) for kind, value in item["enc"].items()}
            item["create-time"] = {kind: len(value) for kind, value in item["create-time"].items()}
            for name in ("type", "version"):
                if name in item and "version:" in item[name]["S"]:
                    item[name] = {"S": item[name]["S"][:-36]}
        return sorted(items, key=lambda item: str(item["type"]))

    ours, theirs = sides.create("ours", "a", CONTEXT), sides.create("theirs", "b", CONTEXT)
    assert shapes(ours) == shapes(theirs)

    for side, branch_key in (("ours", ours), ("theirs", theirs)):
        sides.version(side, branch_key)
    assert shapes(ours) == shapes(theirs)
    assert len(shapes(ours)) == 4


@each_creator
def test_a_supplier_on_both_sides_chooses_the_same_branch_keys(creator, sides, policy_of):
    from aws_cryptographic_material_providers.mpl.references import IBranchKeyIdSupplier

    suite = SUITES[0]
    ids = {tenant: sides.create(creator) for tenant in ("a", "b")}
    models = sides.peer.models

    class Supplier(IBranchKeyIdSupplier):
        def get_branch_key_id(self, param: Any) -> Any:
            return models.GetBranchKeyIdOutput(branch_key_id=ids[param.encryption_context["tenant"]])

    client = sides.our_client(ContextKeySupplier(ids, key="tenant"), suite, policy_of(suite))
    keyring = sides.their_keyring(branch_key_id_supplier=Supplier())
    for tenant, branch_key in ids.items():
        context = {"tenant": tenant}
        from_us = client.encrypt(PLAINTEXT, encryption_context=context)
        from_them = sides.peer.encrypt(PLAINTEXT, context=context, keyring=keyring)

        assert from_us.header.encrypted_data_keys[0].provider_info == branch_key.encode()
        assert sides.peer.decrypt(from_us.ciphertext, keyring=keyring) == PLAINTEXT
        opened = client.decrypt(from_them)
        assert (opened.plaintext, opened.header.encrypted_data_keys[0].provider_info) == (
            PLAINTEXT,
            branch_key.encode(),
        )


def test_a_copy_of_the_peer_s_records_in_a_file_opens_its_messages(sides, tmp_path):
    branch_key = sides.create("theirs", "tenant", CONTEXT)
    message = sides.peer.encrypt(PLAINTEXT, keyring=sides.their_keyring(branch_key_id=branch_key))

    file = SqliteStorage(tmp_path / "branch-keys.db")
    assert file.add(list(DynamoDbStorage(TABLE, sides.dynamodb).records()))

    store = BranchKeyStore(file, sides.kms, logical_name=LOGICAL_NAME, kms_key=KmsDiscovery())
    assert Client(HierarchicalKeyring(store, branch_key, ttl_seconds=600)).decrypt(message).plaintext == PLAINTEXT


def test_neither_opens_messages_of_another_branch_key(sides, policy_of):
    suite = SUITES[0]
    one, other = sides.create("ours"), sides.create("theirs")

    with pytest.raises(NoMatchingKeyError):
        sides.our_client(one, suite, policy_of(suite)).decrypt(
            sides.peer.encrypt(PLAINTEXT, keyring=sides.their_keyring(branch_key_id=other))
        )
    message = sides.our_client(other, suite, policy_of(suite)).encrypt(PLAINTEXT).ciphertext
    with pytest.raises(sides.peer.sdk.exceptions.AWSEncryptionSDKClientError):
        sides.peer.decrypt(message, keyring=sides.their_keyring(branch_key_id=one))


def test_what_the_peer_refuses_of_our_records_altered_we_refuse_of_its(sides):
    from aws_cryptographic_material_providers.smithygenerated.aws_cryptography_keystore.errors import ServiceError

    for creator in ("ours", "theirs"):
        branch_key = sides.create(creator, creator, CONTEXT)
        sides.dynamodb.update_item(
            TableName=TABLE,
            Key={"branch-key-id": {"S": branch_key}, "type": {"S": "branch:ACTIVE"}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": "aws-crypto-ec:purpose"},
            ExpressionAttributeValues={":value": {"S": "another"}},
        )

        with pytest.raises(AuthenticationError):
            sides.active("ours", branch_key)
        with pytest.raises(ServiceError):
            sides.active("theirs", branch_key)
        with pytest.raises(AuthenticationError):
            sides.version("ours", branch_key)
        with pytest.raises(ServiceError):
            sides.version("theirs", branch_key)


@each_creator
def test_neither_takes_an_id_that_the_other_has_taken(creator, sides):
    from aws_cryptographic_material_providers.smithygenerated.aws_cryptography_keystore.errors import ServiceError

    sides.create(creator, "tenant", CONTEXT)

    with pytest.raises(UsageError, match="already"):
        sides.create("ours", "tenant", CONTEXT)
    with pytest.raises(ServiceError):
        sides.create("theirs", "tenant", CONTEXT)


def test_the_mocked_kms_binds_its_blobs_to_their_contexts(sides):
    """Nothing above would be worth anything over a KMS that did not."""
    blob = sides.kms.generate_data_key_without_plaintext(
        KeyId=sides.key, NumberOfBytes=32, EncryptionContext={"a": "b"}
    )["CiphertextBlob"]

    for call in (
        lambda: sides.kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "c"}),
        lambda: sides.kms.re_encrypt(
            CiphertextBlob=blob, DestinationKeyId=sides.key, SourceEncryptionContext={"a": "c"}
        ),
    ):
        with pytest.raises(sides.kms.exceptions.InvalidCiphertextException):
            call()
    moved = sides.kms.re_encrypt(
        CiphertextBlob=blob,
        DestinationKeyId=sides.key,
        SourceEncryptionContext={"a": "b"},
        DestinationEncryptionContext={"a": "c"},
    )["CiphertextBlob"]
    plaintexts = {
        sides.kms.decrypt(CiphertextBlob=each, EncryptionContext={"a": value})["Plaintext"]
        for each, value in ((blob, "b"), (moved, "c"))
    }
    assert [len(plaintext) for plaintext in plaintexts] == [32]
