"""One cache for several managers, one that mixes its values up, and managers beneath that are at fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from testkit.contracts import aes, caching
from testkit.keyrings import NullDataKeyring
from testkit.managers import Asked
from testkit.materials import changed

from envelope_sdk import AlgorithmSuite, CommitmentPolicy, EncryptionContext
from envelope_sdk.cache.identifiers import encryption_materials_identifier
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.errors import CommitmentPolicyError, KeyringError, KmsUnavailableError, UsageError
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.managers.reusable import Reusable
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
)
from envelope_sdk.primitives.signing import SigningKey

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
OLDER = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
EITHER = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
STRICT = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
FORBID = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
NONE = EncryptionContext()


def request(tenant: str = "a", suite: AlgorithmSuite = SUITE, policy: CommitmentPolicy = EITHER) -> EncryptionRequest:
    return EncryptionRequest(EncryptionContext({"tenant": tenant}), policy, suite, 10)


def reading(materials: EncryptionMaterials, policy: CommitmentPolicy = EITHER) -> DecryptionRequest:
    keys, context = materials.encrypted_data_keys, materials.encryption_context
    return DecryptionRequest(materials.algorithm_suite, keys, context, NONE, policy)


class Substituting:
    """A cache that lends what a test makes of what it should; the real one does the keeping."""

    def __init__(self, substitute: Callable[[Any], Any]) -> None:
        self.substitute = substitute
        self.kept = LocalCache()

    def __repr__(self) -> str:
        return "Substituting()"

    @contextmanager
    def borrow(self, identifier: bytes, load: Callable[[], Any], **options: Any) -> Generator[Any]:
        with self.kept.borrow(identifier, load, **options) as value:
            yield self.substitute(value)

    def discard(self, identifier: bytes, value: object) -> None:
        self.kept.discard(identifier, value)

    def clear(self) -> None:
        self.kept.clear()

    def close(self) -> None:
        self.kept.close()


# --- partitions ------------------------------------------------------------------------------------------------------


def test_managers_of_one_partition_share_both_ways():
    cache, asked = LocalCache(), [Asked(aes()), Asked(aes())]
    first, second = (caching(each, cache=cache, partition="größe") for each in asked)

    made = first.get_encryption_materials(request())
    opened = first.decrypt_materials(reading(made))

    assert second.get_encryption_materials(request()) == made
    assert second.decrypt_materials(reading(made)) == opened
    assert (asked[1].to_encrypt, asked[1].to_decrypt) == ([], [])


@pytest.mark.parametrize("partitions", [("a", "b"), ("a", None), (None, None)], ids=["others", "one", "none"])
def test_managers_of_other_partitions_and_of_none_share_nothing(partitions: tuple[str | None, str | None]):
    cache, asked = LocalCache(), [Asked(aes()), Asked(aes())]
    first, second = (caching(each, cache=cache, partition=name) for each, name in zip(asked, partitions, strict=True))

    made = first.get_encryption_materials(request())
    first.decrypt_materials(reading(made))

    assert second.get_encryption_materials(request()) != made
    second.decrypt_materials(reading(made))
    assert (len(asked[1].to_encrypt), len(asked[1].to_decrypt)) == (1, 1)


def test_in_a_shared_cache_materials_have_the_specifications_identifier():
    cache = LocalCache()
    made = caching(aes(), cache=cache, partition="acme").get_encryption_materials(request())

    identifier = encryption_materials_identifier(b"acme", SUITE, EncryptionContext({"tenant": "a"}))
    with cache.borrow(identifier, lambda: pytest.fail("it is not there"), ttl_seconds=60) as kept:
        assert kept.materials() == made


def test_a_partition_of_no_name_is_random():
    def random(count: int) -> bytes:
        return bytes(range(count))

    cache, asked = LocalCache(), Asked(aes())
    caching(asked, cache=cache, random=random).get_encryption_materials(request())
    caching(asked, cache=cache, partition="00010203-0405-4607-8809-0a0b0c0d0e0f").get_encryption_materials(request())

    assert len(asked.to_encrypt) == 1


def test_each_manager_keeps_to_its_own_limits():
    cache, asked = LocalCache(), Asked(aes())
    few, many = (caching(asked, cache=cache, partition="p", max_messages=count) for count in (2, 4))

    keys = [each.get_encryption_materials(request()).plaintext_data_key for each in (many, many, many, few, many, many)]

    assert len(set(keys[:3])) == 1
    assert keys[3] not in keys[:3]
    assert set(keys[4:]) == {keys[3]}


def test_each_manager_keeps_to_its_own_age():
    now = 0.0
    cache, asked = LocalCache(clock=lambda: now), Asked(aes())
    options: dict[str, Any] = {"cache": cache, "partition": "p"}
    patient = caching(asked, max_age_seconds=100, **options)
    hasty = caching(asked, max_age_seconds=10, **options)
    first = patient.get_encryption_materials(request())

    now = 10.0
    assert patient.get_encryption_materials(request()) == first
    assert hasty.get_encryption_materials(request()) != first


@pytest.mark.parametrize("policy", [STRICT, EITHER], ids=lambda policy: policy.value)
def test_what_one_managers_policy_allowed_another_client_is_still_refused(policy: CommitmentPolicy):
    cache = LocalCache()
    first, second = (caching(aes(), cache=cache, partition="p") for _ in range(2))
    made = first.get_encryption_materials(request(suite=OLDER, policy=FORBID))
    first.decrypt_materials(reading(made, FORBID))

    with pytest.raises(CommitmentPolicyError):
        second.get_encryption_materials(request(suite=OLDER, policy=policy))
    if policy is STRICT:
        with pytest.raises(CommitmentPolicyError):
            second.decrypt_materials(reading(made, policy))


def test_closing_a_manager_leaves_a_shared_cache_to_the_others():
    cache, asked = LocalCache(), Asked(aes())
    with caching(asked, cache=cache, partition="p") as first:
        made = first.get_encryption_materials(request())

    assert caching(asked, cache=cache, partition="p").get_encryption_materials(request()) == made

    own = caching(asked)
    own.close()
    own.close()
    with pytest.raises(UsageError, match="closed"):
        own.get_encryption_materials(request())


# --- a cache at fault ------------------------------------------------------------------------------------------------


def wiped(value: Reusable[Any]) -> Reusable[Any]:
    value.wipe()
    return value


def of_another_tenant() -> Callable[[Any], Any]:
    first: list[Any] = []

    def substitute(value: Any) -> Any:
        first.append(value)
        return first[0]

    return substitute


@pytest.mark.parametrize(
    ("substitute", "says"),
    [
        (of_another_tenant, "not those asked for"),
        (lambda: lambda _value: None, "not those asked for"),
        (lambda: lambda _value: b"a branch key, for instance", "not those asked for"),
        (lambda: wiped, "had wiped"),
    ],
    ids=["other-materials", "nothing", "another-kind", "wiped"],
)
def test_a_cache_that_lends_what_it_should_not_is_found_out(substitute: Callable[[], Any], says: str):
    manager = caching(aes(), cache=Substituting(lambda value: value))
    made = [manager.get_encryption_materials(request(tenant)) for tenant in "ab"]
    writer, reader = (caching(aes(), cache=Substituting(substitute())) for _ in range(2))

    with pytest.raises(KeyringError, match=says):
        [writer.get_encryption_materials(request(tenant)) for tenant in "ab"]
    with pytest.raises(KeyringError, match=says):
        [reader.decrypt_materials(reading(each)) for each in made]


def test_a_cache_that_goes_on_lending_what_was_used_up_is_found_out():
    class Keeping(Substituting):
        def discard(self, identifier: bytes, value: object) -> None:
            pass

    manager = caching(aes(), cache=Keeping(lambda value: value), max_messages=1)
    manager.get_encryption_materials(request())

    with pytest.raises(KeyringError, match="or that were discarded: a faulty cache"):
        manager.get_encryption_materials(request())


def test_a_cache_that_lends_what_was_used_up_by_turns_is_found_out():
    kept: list[Reusable[Any]] = []
    turns = itertools.cycle(range(2))

    def by_turns(value: Reusable[Any]) -> Reusable[Any]:
        if value not in kept:
            kept.append(value)
        return kept[next(turns)] if len(kept) > 2 else value

    manager = caching(aes(), cache=Substituting(by_turns), max_messages=1)
    for _ in range(2):
        manager.get_encryption_materials(request())

    with pytest.raises(KeyringError, match="or that were discarded: a faulty cache"):
        manager.get_encryption_materials(request())


def test_a_message_made_up_to_be_named_like_another_is_refused():
    """Its encrypted data keys and pairs are those of the other, read otherwise."""
    manager = caching(NullDataKeyring())
    key = EncryptedDataKey("", b"a", b"w")
    other = EncryptedDataKey("", b"\x01k\x00\xff" + b"x" * 252, b"")
    pairs = EncryptionContext({"k": "x" * 252 + "\0\0\0"})
    opened = manager.decrypt_materials(DecryptionRequest(SUITE, (key,), pairs, NONE, EITHER))

    with pytest.raises(KeyringError, match="a message made up to be taken for another"):
        manager.decrypt_materials(DecryptionRequest(SUITE, (key, other), NONE, NONE, EITHER))

    assert opened.encryption_context == pairs


# --- what is beneath at fault ----------------------------------------------------------------------------------------


class Spoiling:
    """Returns what a test makes of the materials of a real manager."""

    def __init__(self, spoil: Callable[[Any], Any]) -> None:
        self.beneath = Asked(aes())
        self.spoil = spoil

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        return self.spoil(self.beneath.get_encryption_materials(request))

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        return self.spoil(self.beneath.decrypt_materials(request))


NO_KEY = [
    ({"algorithm_suite": OLDER}, "another algorithm suite than"),
    ({"plaintext_data_key": None}, "no data key"),
    ({"plaintext_data_key": bytes(16)}, "no data key"),
]
NO_KEY_IDS = ["another-suite", "no-data-key", "a-short-data-key"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [*NO_KEY, ({"encrypted_data_keys": ()}, "no wrapped copy"), ({"signing_key": None}, "no signature key")],
    ids=[*NO_KEY_IDS, "not-wrapped", "no-signing-key"],
)
def test_materials_that_no_message_could_be_written_with_are_not_kept(changes: dict[str, Any], says: str):
    spoiling = Spoiling(lambda materials: changed(materials, **changes))
    manager = caching(spoiling)

    with pytest.raises(KeyringError, match=says):
        manager.get_encryption_materials(request(suite=SIGNED))

    spoiling.spoil = lambda materials: materials
    assert manager.get_encryption_materials(request(suite=SIGNED)).algorithm_suite is SIGNED


@pytest.mark.parametrize(
    ("changes", "says"),
    [*NO_KEY, ({"verification_key": None}, "no signature key")],
    ids=[*NO_KEY_IDS, "no-verification-key"],
)
def test_materials_that_no_message_could_be_read_with_are_not_kept(changes: dict[str, Any], says: str):
    made = Asked(aes()).get_encryption_materials(request(suite=SIGNED))
    spoiling = Spoiling(lambda materials: changed(materials, **changes))
    manager = caching(spoiling)

    with pytest.raises(KeyringError, match=says):
        manager.decrypt_materials(reading(made))

    spoiling.spoil = lambda materials: materials
    assert manager.decrypt_materials(reading(made)).plaintext_data_key == made.plaintext_data_key


def test_a_failure_is_not_kept():
    failing = [True]

    def spoil(materials: Any) -> Any:
        if failing[0]:
            raise KmsUnavailableError("not now", operation="GenerateDataKey", code="ThrottlingException")
        return materials

    manager = caching(Spoiling(spoil))
    for _ in range(2):
        with pytest.raises(KmsUnavailableError, match="not now"):
            manager.get_encryption_materials(request())
    failing[0] = False

    made = manager.get_encryption_materials(request())
    failing[0] = True
    assert manager.get_encryption_materials(request()) == made


def test_pairs_that_what_is_beneath_adds_are_given_to_every_message():
    def spoil(materials: Any) -> Any:
        return changed(materials, encryption_context=materials.encryption_context.merged({"added": "pair"}))

    manager = caching(Spoiling(spoil))

    made = [manager.get_encryption_materials(request()) for _ in range(2)]

    assert made[0].encryption_context == made[1].encryption_context == {"tenant": "a", "added": "pair"}


def test_the_key_pair_is_kept_with_the_materials_as_an_object():
    manager = caching(aes())

    keys = [manager.get_encryption_materials(request(suite=SIGNED)).signing_key for _ in range(2)]

    assert isinstance(keys[0], SigningKey)
    assert keys[0] is keys[1]
