"""Rotation from every kind of wrapping key to every other, and what counts as done for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from testkit.asymmetric_kms import AsymmetricKms
from testkit.branch_keys import CountingKms, MemoryStorage

from envelope_sdk import Client, Rotation
from envelope_sdk.errors import KmsUnavailableError, NoMatchingKeyError
from envelope_sdk.formats.header import parse_header
from envelope_sdk.keyrings import (
    HierarchicalKeyring,
    KmsEcdhKeyring,
    KmsKeyring,
    KmsMrkKeyring,
    KmsRsaKeyring,
    MultiKeyring,
    RawAesKeyring,
    RawEcdhKeyring,
    RawRsaKeyring,
    RsaPadding,
)
from envelope_sdk.keyrings.hierarchical import BranchKeyStore, ContextKeySupplier, KmsKeyArn
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.materials import Keyring

PLAIN = b"the same afterwards"
RAW = RawAesKeyring("test", "raw", bytes(32))


@pytest.fixture
def local_kms() -> Iterator[LocalKms]:
    with LocalKms.in_memory() as kms:
        yield kms


@pytest.fixture
def kms(local_kms: LocalKms) -> CountingKms:
    return CountingKms(local_kms)


def new_key(kms: CountingKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def store(kms: CountingKms) -> BranchKeyStore:
    return BranchKeyStore(MemoryStorage(), kms, logical_name="branch-keys", kms_key=KmsKeyArn(new_key(kms)))


def hierarchical(store: BranchKeyStore, branch_key_id: str) -> HierarchicalKeyring:
    return HierarchicalKeyring(store, branch_key_id, ttl_seconds=60.0)


def message(folder: Path, keyring: Keyring, context: Mapping[str, str] | None = None, name: str = "message") -> Path:
    path = folder / name
    path.write_bytes(Client(keyring).encrypt(PLAIN, encryption_context=context).ciphertext)
    return path


def opened(path: Path, keyring: Keyring) -> bytes:
    return Client(keyring).decrypt(path.read_bytes()).plaintext


RSA_KEY = rsa.generate_private_key(65537, 2048)
OURS, THEIRS = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def keyrings(kms: CountingKms, store: BranchKeyStore) -> dict[str, Keyring]:
    """One of every kind that needs nothing but this package."""
    there = kms.in_region(region="eu-west-1")
    asymmetric = AsymmetricKms()
    rsa_arn, ecdh_arn = asymmetric.add_key(RSA_KEY, "ENCRYPT_DECRYPT"), asymmetric.add_key(OURS, "KEY_AGREEMENT")
    primary = str(kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
    replica = str(kms.replicate_key(KeyId=primary, ReplicaRegion="eu-west-1")["ReplicaKeyMetadata"]["Arn"])
    rsa_public = RSA_KEY.public_key()
    return {
        "raw AES": RAW,
        "raw RSA": RawRsaKeyring("test", "raw", RsaPadding.OAEP_SHA256, private_key=RSA_KEY, public_key=rsa_public),
        "raw ECDH": RawEcdhKeyring.static(OURS, THEIRS.public_key()),
        "KMS": KmsKeyring(kms, new_key(kms)),
        "two KMS keys": MultiKeyring(KmsKeyring(kms, new_key(kms)), [KmsKeyring(kms, new_key(kms))]),
        "MRK": KmsMrkKeyring(kms, primary),
        "MRK's replica": KmsMrkKeyring(there, replica),
        "KMS RSA": KmsRsaKeyring(asymmetric, rsa_arn, public_key=rsa_public),
        "KMS ECDH": KmsEcdhKeyring.static(
            asymmetric, ecdh_arn, THEIRS.public_key(), sender_public_key=asymmetric.public_key(ecdh_arn)
        ),
        "branch key": hierarchical(store, store.create_key()),
    }


KINDS = [
    "raw AES",
    "raw RSA",
    "raw ECDH",
    "KMS",
    "two KMS keys",
    "MRK",
    "MRK's replica",
    "KMS RSA",
    "KMS ECDH",
    "branch key",
]


@pytest.mark.parametrize("new", KINDS, ids=lambda kind: f"to {kind}")
@pytest.mark.parametrize("old", KINDS)
def test_every_kind_becomes_every_other(old: str, new: str, keyrings: dict[str, Keyring], tmp_path: Path):
    path = message(tmp_path, keyrings[old], {"team": "blue"})
    rotation = Rotation(Client(keyrings[old]), Client(keyrings[new]))

    assert rotation.is_done(path) is (old == new)
    assert rotation.rotate_file(path, again=True) is not None

    assert rotation.is_done(path)
    assert rotation.rotate_file(path) is None
    assert opened(path, keyrings[new]) == PLAIN


def test_each_of_two_new_keys_opens_and_the_old_one_does_not(kms: CountingKms, tmp_path: Path):
    old, *both = (KmsKeyring(kms, new_key(kms)) for _ in range(3))
    path = message(tmp_path, old)

    Rotation(Client(old), Client(MultiKeyring(both[0], both[1:]))).rotate_file(path)

    assert [opened(path, keyring) for keyring in both] == [PLAIN, PLAIN]
    with pytest.raises(NoMatchingKeyError):
        opened(path, old)


def test_a_key_that_its_kms_rotated_is_the_same_key(kms: CountingKms, tmp_path: Path):
    arn = new_key(kms)
    path = message(tmp_path, KmsKeyring(kms, arn))
    kms.rotate_key_on_demand(KeyId=arn)

    assert Rotation(Client(RAW), Client(KmsKeyring(kms, arn))).is_done(path)
    assert opened(path, KmsKeyring(kms, arn)) == PLAIN


def test_what_old_material_of_a_key_wrapped_costs_a_call_to_know_that_it_opens(kms: CountingKms, tmp_path: Path):
    keyring = KmsKeyring(kms, new_key(kms))
    paths = [message(tmp_path, keyring, name="before")]
    kms.rotate_key_on_demand(KeyId=keyring_arn(paths[0]))
    paths.append(message(tmp_path, keyring, name="after"))
    kms.calls.clear()

    rotation = Rotation(Client(RAW), Client(keyring))

    assert [rotation.is_done(path) for path in paths] == [True, True]
    assert kms.calls == {"generate_data_key": 1, "decrypt": 1}


def keyring_arn(path: Path) -> str:
    (wrapped,) = parse_header(path.read_bytes()).body.encrypted_data_keys
    return wrapped.provider_info.decode()


def test_what_an_alias_names_now_is_what_counts(kms: CountingKms, tmp_path: Path):
    first, second = new_key(kms), new_key(kms)
    kms.create_alias(AliasName="alias/current", TargetKeyId=first)
    path = message(tmp_path, KmsKeyring(kms, first))

    def rotation() -> Rotation:
        either = MultiKeyring(None, [KmsKeyring(kms, first), KmsKeyring(kms, second)])
        return Rotation(Client(either), Client(KmsKeyring(kms, "alias/current")), verifier=Client(either))

    assert rotation().is_done(path)
    kms.update_alias(AliasName="alias/current", TargetKeyId=second)
    assert not rotation().is_done(path)
    rotation().rotate_file(path)

    assert rotation().is_done(path)
    assert opened(path, KmsKeyring(kms, second)) == PLAIN


def test_a_new_version_of_a_branch_key_is_another_key(store: BranchKeyStore, tmp_path: Path):
    branch_key_id = store.create_key()
    path = message(tmp_path, hierarchical(store, branch_key_id))

    def rotation() -> Rotation:
        keyring = hierarchical(store, branch_key_id)
        return Rotation(Client(keyring), Client(keyring))

    assert rotation().is_done(path)
    store.version_key(branch_key_id)
    assert not rotation().is_done(path)
    rotation().rotate_file(path)
    assert rotation().is_done(path)


def test_each_tenant_has_its_own_key(store: BranchKeyStore, tmp_path: Path):
    ids = {tenant: store.create_key() for tenant in ("one", "two")}
    keyring = HierarchicalKeyring(store, ContextKeySupplier(ids, key="tenant"), ttl_seconds=60.0)
    paths = [message(tmp_path, RAW, {"tenant": tenant}, tenant) for tenant in ids]
    rotation = Rotation(Client(RAW), Client(keyring))

    for path in paths:
        assert rotation.rotate_file(path) is not None

    again = Rotation(Client(RAW), Client(keyring))
    assert [again.is_done(path) for path in paths] == [True, True]
    swapped = message(tmp_path, hierarchical(store, ids["two"]), {"tenant": "one"}, "swapped")
    assert not again.is_done(swapped)


def test_how_often_a_kms_is_asked(kms: CountingKms, tmp_path: Path):
    old, new = (KmsKeyring(kms, new_key(kms)) for _ in range(2))
    paths = [message(tmp_path, old, {"team": "blue"}, str(number)) for number in range(5)]
    kms.calls.clear()

    first = Rotation(Client(old), Client(new))
    for path in paths:
        first.rotate_file(path)
    # To learn the new key's name once, and to make and to open the data key of each message; the old one's once each.
    assert kms.calls == {"generate_data_key": 1 + 5, "decrypt": 5 + 5}

    kms.calls.clear()
    second = Rotation(Client(old), Client(new))
    for path in paths:
        second.rotate_file(path)
    assert kms.calls == {"generate_data_key": 1}


def test_old_keys_are_enough_to_know_that_a_message_is_not_done(kms: CountingKms, tmp_path: Path):
    """However many encryption contexts there are: only what may be done is asked about."""
    old, new = (KmsKeyring(kms, new_key(kms)) for _ in range(2))
    paths = [message(tmp_path, old, {"file": str(number)}, str(number)) for number in range(5)]
    kms.calls.clear()

    rotation = Rotation(Client(old), Client(new))
    for path in paths:
        rotation.rotate_file(path)

    assert kms.calls["generate_data_key"] == 1 + 5


def test_a_key_that_wraps_twice_is_as_good_as_done(tmp_path: Path):
    twice = MultiKeyring(RAW, [RAW])
    path = message(tmp_path, twice)

    assert Rotation(Client(RAW), Client(twice)).is_done(path)
    assert Rotation(Client(RAW), Client(RAW)).is_done(path)


def test_a_kms_that_fails_leaves_the_message(kms: CountingKms, tmp_path: Path):
    old, new = (KmsKeyring(kms, new_key(kms)) for _ in range(2))
    path = message(tmp_path, old)
    before = path.read_bytes()
    kms.failure = ConnectionError("as it was told")

    with pytest.raises(KmsUnavailableError):
        Rotation(Client(RAW), Client(new)).rotate_file(path)

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["message"]


def test_a_message_to_an_ephemeral_key_is_rotated_every_time(tmp_path: Path):
    """Its sender's key is another one in each, so nobody can tell that it is done."""
    recipient = ec.generate_private_key(ec.SECP256R1())
    writer = Client(RawEcdhKeyring.ephemeral(recipient.public_key()))
    reader = Client(RawEcdhKeyring.discovery(recipient))
    path = message(tmp_path, RAW)

    Rotation(Client(RAW), writer, verifier=reader).rotate_file(path)
    assert Rotation(reader, writer, verifier=reader).rotate_file(path) is not None

    assert reader.decrypt(path.read_bytes()).plaintext == PLAIN
