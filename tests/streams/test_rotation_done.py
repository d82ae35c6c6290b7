"""What counts as done: nothing that the new keys, with what their readers are told, do not open."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from testkit.branch_keys import CountingKms, MemoryStorage

from envelope_sdk import Client, Rotation
from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.header import parse_header
from envelope_sdk.keyrings import HierarchicalKeyring, KmsKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.hierarchical import BranchKeyStore, ContextKeySupplier, KmsKeyArn
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import RequiredContextMaterialsManager
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring

PLAIN = b"the same afterwards"
RAW = RawAesKeyring("test", "raw", bytes(32))
OLD, NEW = (RawAesKeyring("test", "of one name", key) for key in (bytes(32), bytes(range(32))))
TENANT = {"tenant": "one"}


@pytest.fixture
def kms():
    with LocalKms.in_memory() as local:
        yield CountingKms(local)


def new_key(kms: CountingKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def message(folder: Path, keyring: Keyring, context: dict[str, str] | None = None, name: str = "message") -> Path:
    path = folder / name
    path.write_bytes(Client(keyring).encrypt(PLAIN, encryption_context=context).ciphertext)
    return path


def message_without_its_tenant(folder: Path, keyring: Keyring) -> Path:
    """Return a message that opens with its tenant only, and does not store it."""
    writer = Client(materials_manager=RequiredContextMaterialsManager(keyring, ["tenant"]))
    path = folder / "message"
    path.write_bytes(writer.encrypt(PLAIN, encryption_context=TENANT).ciphertext)
    return path


@pytest.mark.parametrize("verify", [True, False])
def test_a_pair_that_is_to_go_and_that_the_message_still_needs(verify: bool, kms: CountingKms, tmp_path: Path):
    keyring = KmsKeyring(kms, new_key(kms))
    path = message_without_its_tenant(tmp_path, keyring)
    rotation = Rotation(
        Client(keyring), Client(keyring), encryption_context=TENANT, drop_context_keys=["tenant"], verify=verify
    )

    assert not rotation.is_done(path)
    assert rotation.rotate_file(path) is not None

    assert rotation.is_done(path)
    assert Client(keyring).decrypt(path.read_bytes()).plaintext == PLAIN


def test_another_value_of_a_pair_that_is_not_stored_though_nothing_is_verified(kms: CountingKms, tmp_path: Path):
    keyring = KmsKeyring(kms, new_key(kms))
    path = message_without_its_tenant(tmp_path, keyring)
    two = {"tenant": "two"}
    rotation = Rotation(
        Client(keyring),
        Client(keyring),
        encryption_context=TENANT,
        new_context=two,
        unstored_context_keys=["tenant"],
        verify=False,
    )

    assert not rotation.is_done(path)
    rotation.rotate_file(path)

    assert rotation.is_done(path)
    assert Client(keyring).decrypt(path.read_bytes(), encryption_context=two).plaintext == PLAIN


def test_another_key_of_the_same_name_though_nothing_is_verified(tmp_path: Path):
    """As when a public key that replaces another keeps its name, and nobody here can open what it wraps."""
    path = message(tmp_path, OLD)
    rotation = Rotation(Client(OLD), Client(NEW), verify=False)

    assert not rotation.is_done(path)
    assert rotation.rotate_file(path) is not None

    assert rotation.is_done(path)
    assert Client(NEW).decrypt(path.read_bytes()).plaintext == PLAIN


def test_two_keys_of_one_name_of_which_only_one_wrapped(tmp_path: Path):
    path = message(tmp_path, OLD)
    rotation = Rotation(Client(OLD), Client(MultiKeyring(OLD, [NEW])))

    assert not rotation.is_done(path)
    rotation.rotate_file(path)

    assert rotation.is_done(path)
    assert Client(NEW).decrypt(path.read_bytes()).plaintext == PLAIN


class NeverRefuses:
    """Opens whatever has its name, if to nonsense, as RSA with PKCS #1 v1.5 may."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _pad(self) -> int:
        return int.from_bytes(hashlib.sha256(self._secret).digest(), "big")

    def _turned(self, data: bytes) -> bytes:
        return (int.from_bytes(data, "big") ^ self._pad()).to_bytes(32, "big")

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        key = materials.plaintext_data_key
        assert key is not None
        return materials.with_data_key(key, EncryptedDataKey("test", b"never refuses", self._turned(bytes(key))))

    def on_decrypt(self, materials: DecryptionMaterials, keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        for key in keys:
            if key.provider_info == b"never refuses":
                return materials.with_data_key(self._turned(key.ciphertext))
        raise NoMatchingKeyError("none is mine")


def test_a_key_that_opens_to_something_else_does_not_count_as_one_that_opens(tmp_path: Path):
    path = message(tmp_path, MultiKeyring(OLD, [NeverRefuses(b"one")]))
    two = MultiKeyring(OLD, [NeverRefuses(b"two")])
    rotation = Rotation(Client(OLD), Client(two))

    assert not rotation.is_done(path)
    rotation.rotate_file(path)

    assert rotation.is_done(path)
    assert Client(NeverRefuses(b"two")).decrypt(path.read_bytes()).plaintext == PLAIN


SEED = """
[[keys]]
id = "1234abcd-12ab-34cd-56ef-1234567890ab"
"""


@pytest.mark.parametrize("verify", [True, False])
def test_a_key_of_another_local_kms_with_the_same_arn(verify: bool, tmp_path: Path):
    (tmp_path / "seed.toml").write_text(SEED)
    with LocalKms.in_memory(seed=tmp_path / "seed.toml") as one, LocalKms.in_memory(seed=tmp_path / "seed.toml") as two:
        (arn,) = {kms.list_keys()["Keys"][0]["KeyArn"] for kms in (one, two)}
        old, new = KmsKeyring(one, arn), KmsKeyring(two, arn)
        path = message(tmp_path, old)
        rotation = Rotation(Client(old), Client(new), verify=verify)

        assert not rotation.is_done(path)
        assert rotation.rotate_file(path) is not None

        assert rotation.is_done(path)
        assert Client(new).decrypt(path.read_bytes()).plaintext == PLAIN


def test_what_is_done_for_one_tenant_needs_no_old_key_for_another(kms: CountingKms, tmp_path: Path):
    store = BranchKeyStore(MemoryStorage(), kms, logical_name="branch-keys", kms_key=KmsKeyArn(new_key(kms)))
    ids = {tenant: store.create_key() for tenant in ("one", "two", "three")}
    keyring = HierarchicalKeyring(store, ContextKeySupplier(ids, key="tenant"), ttl_seconds=60.0)
    paths = [message(tmp_path, keyring, {"tenant": tenant}, tenant) for tenant in ids]

    rotation = Rotation(Client(RAW), Client(keyring))

    assert [rotation.rotate_file(path) for path in paths] == [None, None, None]


def test_a_rotation_that_lives_long_follows_an_alias(kms: CountingKms, tmp_path: Path):
    first, second = new_key(kms), new_key(kms)
    kms.create_alias(AliasName="alias/current", TargetKeyId=first)
    either = Client(MultiKeyring(None, [KmsKeyring(kms, first), KmsKeyring(kms, second), RAW]))
    rotation = Rotation(either, Client(KmsKeyring(kms, "alias/current")), verifier=either)
    done = message(tmp_path, RAW, name="done")
    rotation.rotate_file(done)
    kms.update_alias(AliasName="alias/current", TargetKeyId=second)

    later = message(tmp_path, RAW, name="later")
    rotation.rotate_file(later)

    assert rotation.is_done(later)
    assert not rotation.is_done(done)


def test_a_signed_message_without_its_public_key_is_nobodys_and_not_done(tmp_path: Path):
    signing, path = Client(RAW, sign=True), tmp_path / "message"
    data = signing.encrypt(PLAIN).ciphertext
    header = parse_header(data)
    path.write_bytes(
        header._replace(body=header.body._replace(encryption_context=type(header.body.encryption_context)())).encode()
    )

    assert not Rotation(Client(RAW), signing, verify=False).is_done(path)
