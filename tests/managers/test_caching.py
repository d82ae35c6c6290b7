"""The caching manager: few data keys for many messages, none beyond its limits."""

from __future__ import annotations

import copy
import pickle

import pytest
from testkit.contracts import aes, caching
from testkit.machines import writing_policy
from testkit.managers import Asked

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptionContext
from envelope_sdk.errors import (
    CommitmentPolicyError,
    ContextMismatchError,
    EncryptionContextError,
    SignatureError,
    UsageError,
)
from envelope_sdk.keyrings import KmsKeyring
from envelope_sdk.keyrings.kms.calls import counted_calls
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager, RequiredContextMaterialsManager
from envelope_sdk.managers.caching import MAX_BYTES, MAX_MESSAGES
from envelope_sdk.materials import DecryptionRequest, EncryptionMaterials, EncryptionRequest

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
OLDER = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
DERIVING = [suite for suite in AlgorithmSuite if suite.kdf_hash is not None]
NOT_DERIVING = [suite for suite in AlgorithmSuite if suite.kdf_hash is None]
EITHER = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
NONE = EncryptionContext()


def request(length: int | None = 10, context: dict[str, str] | None = None, **changes) -> EncryptionRequest:
    return EncryptionRequest(EncryptionContext(context), EITHER, SUITE, length)._replace(**changes)


def reading(materials: EncryptionMaterials, **changes) -> DecryptionRequest:
    keys, context = materials.encrypted_data_keys, materials.encryption_context
    return DecryptionRequest(materials.algorithm_suite, keys, context, NONE, EITHER)._replace(**changes)


def client_of(manager: CachingMaterialsManager, suite: AlgorithmSuite = SUITE) -> Client:
    return Client(materials_manager=manager, algorithm_suite=suite, commitment_policy=writing_policy(suite))


@pytest.fixture
def asked() -> Asked:
    return Asked(aes())


# --- what is shared --------------------------------------------------------------------------------------------------


def test_messages_share_a_data_key_up_to_the_limit_of_messages() -> None:
    with LocalKms.in_memory() as kms:
        keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        with CachingMaterialsManager(keyring, max_age_seconds=60, max_messages=3) as manager, counted_calls() as calls:
            client = Client(materials_manager=manager)
            messages = [client.encrypt(b"text").ciphertext for _ in range(7)]
            opened = [client.decrypt(message).plaintext for message in messages]

        assert opened == [b"text"] * 7
        assert calls == {"GenerateDataKey": 3, "Decrypt": 3}


@pytest.mark.parametrize("suite", DERIVING, ids=lambda suite: suite.name)
def test_messages_of_one_data_key_have_ids_keys_and_commitments_of_their_own(suite: AlgorithmSuite):
    client = client_of(caching(aes()), suite)

    # Of the same content: with the same key, the frames would be the same, since their IVs are.
    results = [client.encrypt(b"the same content") for _ in range(3)]

    assert len({result.header.encrypted_data_keys for result in results}) == 1
    assert len({result.header.message_id for result in results}) == 3
    assert len({result.header.commitment for result in results}) == (3 if suite.committing else 1)
    assert len({result.ciphertext[result.header.length :][:40] for result in results}) == 3
    assert [client.decrypt(result.ciphertext).plaintext for result in results] == [b"the same content"] * 3


@pytest.mark.parametrize("suite", [suite for suite in DERIVING if suite.signed], ids=lambda suite: suite.name)
def test_messages_of_one_data_key_are_signed_with_one_key_pair(suite: AlgorithmSuite, asked: Asked):
    client = client_of(caching(asked), suite)

    first, second = client.encrypt(b"first"), client.encrypt(b"second")

    assert first.header.encryption_context == second.header.encryption_context
    assert [client.decrypt(each.ciphertext).plaintext for each in (first, second)] == [b"first", b"second"]
    assert (len(asked.to_encrypt), len(asked.to_decrypt)) == (1, 1)

    forged = bytearray(second.ciphertext)
    forged[-1] ^= 1
    with pytest.raises(SignatureError):
        client.decrypt(forged)


@pytest.mark.parametrize(
    "other",
    [
        request(context={"tenant": "b"}),
        request(context={"tenant": "a", "more": ""}),
        request(context={}),
        request(context={"tenant": "a"}, algorithm_suite=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384),
        request(context={"tenant": "a"}, required_encryption_context_keys=frozenset({"tenant"})),
    ],
    ids=["another-value", "one-pair-more", "no-pairs", "another-suite", "pairs-not-stored"],
)
def test_what_is_asked_for_otherwise_is_shared_by_no_message(other: EncryptionRequest, asked: Asked):
    manager = caching(asked)
    first = manager.get_encryption_materials(request(context={"tenant": "a"}))

    second = manager.get_encryption_materials(other)

    assert second.plaintext_data_key != first.plaintext_data_key
    assert second.algorithm_suite is other.algorithm_suite
    assert second.encryption_context.items() >= other.encryption_context.items()
    assert second.required_encryption_context_keys == other.required_encryption_context_keys
    assert manager.get_encryption_materials(request(context={"tenant": "a"})) == first


def test_the_order_of_pairs_makes_no_difference(asked: Asked):
    manager = caching(asked)

    first = manager.get_encryption_materials(request(context={"a": "1", "b": "2"}))
    second = manager.get_encryption_materials(request(context={"b": "2", "a": "1"}))

    assert first == second
    assert len(asked.to_encrypt) == 1


def test_the_order_of_encrypted_data_keys_makes_no_difference():
    asked = Asked(aes())
    manager = caching(asked)
    keys = [
        *manager.get_encryption_materials(request()).encrypted_data_keys,
        *caching(aes(1)).get_encryption_materials(request()).encrypted_data_keys,
    ]
    materials = manager.get_encryption_materials(request())

    opened = [manager.decrypt_materials(reading(materials, encrypted_data_keys=order)) for order in (keys, keys[::-1])]

    assert opened[0] == opened[1]
    assert len(asked.to_decrypt) == 1


def test_readers_who_give_pairs_share_with_those_who_give_the_same(asked: Asked):
    manager = caching(RequiredContextMaterialsManager(asked, ["tenant"]))
    made = manager.get_encryption_materials(request(context={"tenant": "a", "purpose": "test"}))
    stored, given = EncryptionContext({"purpose": "test"}), EncryptionContext({"tenant": "a"})
    to_read = reading(made, encryption_context=stored, reproduced_encryption_context=given)

    opened = [manager.decrypt_materials(to_read) for _ in range(2)]
    with pytest.raises(ContextMismatchError):
        manager.decrypt_materials(reading(made, encryption_context=stored))
    with pytest.raises(ContextMismatchError):
        manager.decrypt_materials(
            reading(made, encryption_context=stored, reproduced_encryption_context=EncryptionContext({"x": "y"}))
        )

    assert opened[0] == opened[1]
    assert opened[0].plaintext_data_key == made.plaintext_data_key
    assert len(asked.to_decrypt) == 1


def test_a_pair_that_is_not_the_messages_is_refused_though_its_materials_are_cached(asked: Asked):
    client = Client(materials_manager=caching(asked))
    message = client.encrypt(b"text", encryption_context={"tenant": "a"}).ciphertext
    client.decrypt(message)

    for _ in range(2):
        with pytest.raises(ContextMismatchError, match="another value for 'tenant'"):
            client.decrypt(message, encryption_context={"tenant": "b"})

    assert client.decrypt(message, encryption_context={"tenant": "a"}).plaintext == b"text"


# --- what is not cached ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", NOT_DERIVING, ids=lambda suite: suite.name)
def test_a_suite_without_key_derivation_gets_a_data_key_a_message(suite: AlgorithmSuite, asked: Asked):
    client = client_of(caching(asked), suite)

    results = [client.encrypt(b"text") for _ in range(3)]
    for result in results * 2:
        client.decrypt(result.ciphertext)

    assert len({result.header.encrypted_data_keys for result in results}) == 3
    assert (len(asked.to_encrypt), len(asked.to_decrypt)) == (3, 6)


@pytest.mark.parametrize("length", [None, -1, 101, 2**64], ids=str)
def test_a_message_of_unknown_or_too_great_length_gets_a_data_key_of_its_own(length: int | None, asked: Asked):
    manager = caching(asked, max_bytes=100)
    shared = manager.get_encryption_materials(request(100)).plaintext_data_key

    keys = {manager.get_encryption_materials(request(length)).plaintext_data_key for _ in range(3)}

    assert len(keys) == 3
    assert shared not in keys
    assert [each.plaintext_length for each in asked.to_encrypt[1:]] == [length] * 3


def test_a_message_that_is_not_cached_leaves_the_others_data_key_alone(asked: Asked):
    manager = caching(asked, max_messages=2, max_bytes=100)
    first = manager.get_encryption_materials(request())
    manager.get_encryption_materials(request(None))
    manager.get_encryption_materials(request(101))

    assert manager.get_encryption_materials(request()) == first


def test_with_no_bytes_allowed_only_empty_messages_share(asked: Asked):
    manager = caching(asked, max_bytes=0)

    empty = {manager.get_encryption_materials(request(0)).plaintext_data_key for _ in range(3)}
    others = {manager.get_encryption_materials(request(1)).plaintext_data_key for _ in range(3)}

    assert (len(empty), len(others)) == (1, 3)


def test_keys_are_asked_for_as_for_a_message_of_any_length(asked: Asked):
    caching(asked).get_encryption_materials(request(10))

    assert asked.to_encrypt == [request(None)]


def test_a_cache_beneath_a_cache_does_not_count_many_messages_as_one(asked: Asked):
    inner = caching(asked, max_messages=1)
    outer = caching(inner, max_messages=3)

    keys = [outer.get_encryption_materials(request()).plaintext_data_key for _ in range(6)]

    assert len(set(keys)) == 2
    assert inner.get_encryption_materials(request()).plaintext_data_key not in keys


# --- the limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("messages", "limit"), [(1, 1), (5, 1), (6, 3), (7, 3), (100, 99), (3, 2**32)])
def test_no_data_key_is_of_more_messages_than_allowed_and_none_of_fewer_but_the_last(
    messages: int, limit: int, asked: Asked
):
    manager = caching(asked, max_messages=limit)

    keys = [manager.get_encryption_materials(request()).plaintext_data_key for _ in range(messages)]

    assert len(asked.to_encrypt) == -(-messages // limit)
    assert all(len(set(keys[start : start + limit])) == 1 for start in range(0, messages, limit))


@pytest.mark.parametrize(
    ("lengths", "loads"),
    [
        ([10, 10, 10], 1),
        ([10, 10, 11], 2),
        ([30], 1),
        ([30, 0], 1),
        ([30, 1], 2),
        ([29, 1, 0, 1], 2),
        ([20, 20, 20], 3),
    ],
    ids=str,
)
def test_no_data_key_is_of_more_bytes_than_allowed(lengths: list[int], loads: int, asked: Asked):
    manager = caching(asked, max_bytes=30)

    for length in lengths:
        manager.get_encryption_materials(request(length))

    assert len(asked.to_encrypt) == loads


def test_reading_uses_up_nothing(asked: Asked):
    manager = caching(asked, max_messages=2, max_bytes=20)
    made = manager.get_encryption_materials(request())

    for _ in range(10):
        manager.decrypt_materials(reading(made))

    assert manager.get_encryption_materials(request()) == made
    assert len(asked.to_decrypt) == 1


def test_materials_are_used_until_they_are_too_old(asked: Asked):
    now = 0.0
    manager = caching(asked, clock=lambda: now)
    first = manager.get_encryption_materials(request())
    manager.decrypt_materials(reading(first))

    now = 50.0
    assert manager.get_encryption_materials(request()) == first
    manager.decrypt_materials(reading(first))
    assert (len(asked.to_encrypt), len(asked.to_decrypt)) == (1, 1)

    now = 60.0
    assert manager.get_encryption_materials(request()) != first
    manager.decrypt_materials(reading(first))
    assert (len(asked.to_encrypt), len(asked.to_decrypt)) == (2, 2)


def test_the_cache_keeps_as_many_as_it_was_told(asked: Asked):
    manager = caching(asked, max_entries=2)

    for tenant in "abcabc":
        manager.get_encryption_materials(request(context={"tenant": tenant}))

    assert len(asked.to_encrypt) == 6


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_the_policy_forbids_is_refused_though_it_is_cached(asked: Asked):
    manager = caching(asked)
    allowing = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    older = manager.get_encryption_materials(request(algorithm_suite=OLDER, commitment_policy=allowing))
    manager.decrypt_materials(reading(older))

    with pytest.raises(CommitmentPolicyError):
        manager.get_encryption_materials(request(algorithm_suite=OLDER))
    with pytest.raises(CommitmentPolicyError):
        manager.decrypt_materials(reading(older, commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT))

    manager.get_encryption_materials(request())
    with pytest.raises(CommitmentPolicyError):
        manager.get_encryption_materials(request(commitment_policy=allowing))


@pytest.mark.parametrize("suite", DERIVING, ids=lambda suite: suite.name)
def test_the_formats_own_key_is_refused_as_without_a_cache(suite: AlgorithmSuite, asked: Asked):
    manager = caching(asked)
    policy = writing_policy(suite)
    made = manager.get_encryption_materials(request(algorithm_suite=suite, commitment_policy=policy))
    public_key = made.encryption_context.get("aws-crypto-public-key", "key")

    for _ in range(2):
        with pytest.raises(EncryptionContextError, match="aws-crypto-public-key"):
            manager.get_encryption_materials(
                request(context={"aws-crypto-public-key": public_key}, algorithm_suite=suite, commitment_policy=policy)
            )


def test_pairs_that_are_to_be_left_out_have_to_be_there(asked: Asked):
    manager = caching(asked)

    with pytest.raises(EncryptionContextError, match="lacks the required keys 'tenant'"):
        manager.get_encryption_materials(request(required_encryption_context_keys=frozenset({"tenant"})))

    assert asked.to_encrypt == []


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_an_age_is_more_than_nothing_and_finite(seconds: float):
    with pytest.raises(UsageError, match="max_age_seconds is more than 0"):
        caching(aes(), max_age_seconds=seconds)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_messages", 0), ("max_messages", MAX_MESSAGES + 1), ("max_bytes", -1), ("max_bytes", MAX_BYTES + 1)],
)
def test_limits_are_what_the_specification_allows(name: str, value: int):
    with pytest.raises(UsageError, match=f"{name} is "):
        caching(aes(), **{name: value})


@pytest.mark.parametrize("name", ["max_messages", "max_bytes", "max_entries"])
def test_limits_are_whole_numbers(name: str):
    with pytest.raises(TypeError):
        caching(aes(), **{name: 1.5})


def test_the_limits_are_the_specifications_where_nothing_is_said(asked: Asked):
    manager = caching(asked)

    first = manager.get_encryption_materials(request(MAX_BYTES))
    assert manager.get_encryption_materials(request(0)) == first
    assert manager.get_encryption_materials(request(1)) != first
    assert (MAX_MESSAGES, MAX_BYTES) == (4_294_967_296, 9_223_372_036_854_775_807)


@pytest.mark.parametrize("partition", ["", "a\0b", "\udc80"], ids=["empty", "null-character", "no-utf-8"])
def test_a_partition_has_a_name(partition: str):
    with pytest.raises(UsageError, match="a partition has a name"):
        caching(aes(), partition=partition)


def test_a_partition_is_text():
    with pytest.raises(TypeError):
        caching(aes(), partition=b"partition")


def test_what_is_beneath_is_a_manager_or_a_keyring():
    with pytest.raises(TypeError, match="underlying is a MaterialsManager or a Keyring, not str"):
        caching("keyring")  # type: ignore[arg-type]


# --- what it shows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carry_away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_carried_away(carry_away, asked: Asked):
    manager = caching(asked)
    manager.get_encryption_materials(request())

    with pytest.raises(TypeError, match="holds data keys"):
        carry_away(manager)


def test_its_repr_says_what_is_beneath():
    assert repr(caching(aes())).startswith("CachingMaterialsManager(DefaultMaterialsManager(")
