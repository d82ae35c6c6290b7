"""Identifiers are those of the specification's formulas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given, strategies

from envelope_sdk import AlgorithmSuite, EncryptionContext
from envelope_sdk.cache.identifiers import (
    MaterialsNames,
    Resource,
    Scope,
    cache_identifier,
    decryption_materials_identifier,
    encryption_materials_identifier,
    is_name,
)
from envelope_sdk.formats import EncryptedDataKey

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
NONE = EncryptionContext()
PAIRS = EncryptionContext({"b": "2", "a": "1"})

texts = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=6)
contexts = strategies.dictionaries(texts, texts, max_size=3)
suites = strategies.sampled_from(AlgorithmSuite)
data_keys = strategies.lists(
    strategies.builds(EncryptedDataKey, texts, strategies.binary(max_size=5), strategies.binary(max_size=5)),
    min_size=1,
    max_size=3,
)
partitions = strategies.text("partion-0", min_size=1, max_size=5).map(str.encode)


def counted(field: bytes) -> bytes:
    return len(field).to_bytes(2, "big") + field


def serialized(pairs: Mapping[str, str]) -> bytes:
    """The specification's serialization of a context, written down once more."""
    if not pairs:
        return b""
    written = sorted((key.encode(), value.encode()) for key, value in pairs.items())
    return len(written).to_bytes(2, "big") + b"".join(counted(key) + counted(value) for key, value in written)


def test_the_parts_are_joined_by_null_bytes_and_hashed_with_sha_384():
    expected = hashlib.sha384(b"\x02\x00\x02\x00partition\x00store\x00branch\x00version").digest()

    assert cache_identifier(
        Resource.HIERARCHICAL_KEYRING, Scope.DECRYPT, b"partition", b"store", b"branch", b"version"
    ) == (expected)


def test_what_is_for_encryption_is_never_taken_for_decryption_nor_of_another_resource_or_partition():
    every = [
        cache_identifier(resource, scope, partition, b"store", b"branch")
        for resource in Resource
        for scope in Scope
        for partition in (b"", b"one", b"two")
    ]

    assert len(set(every)) == len(every)


# --- known answers, put together by hand -----------------------------------------------------------------------------


def test_the_identifier_of_encryption_materials_byte_for_byte():
    by_hand = bytes.fromhex(
        "01 00"  # the caching manager
        "01 00"  # to encrypt
        "61636d65 00"  # partition "acme"
        "01 00"  # with an algorithm suite
        "0478 00"
        "0002 0001 61 0001 31 0001 62 0001 32"  # two pairs, sorted
    )

    assert encryption_materials_identifier(b"acme", SUITE, PAIRS) == hashlib.sha384(by_hand).digest()


def test_the_identifier_of_decryption_materials_byte_for_byte():
    by_hand = bytes.fromhex(
        "01 00"
        "02 00"  # to decrypt
        "61636d65 00"
        "0478 00"
        "0001 70 0001 69 0002 6331"  # two encrypted data keys, sorted, without a count
        "0001 70 0001 69 0002 6332 00"
    )
    keys = [EncryptedDataKey("p", b"i", b"c2"), EncryptedDataKey("p", b"i", b"c1")]

    assert decryption_materials_identifier(b"acme", SUITE, keys, NONE, NONE) == hashlib.sha384(by_hand).digest()


# --- the formulas, for anything --------------------------------------------------------------------------------------


@given(partitions, suites, contexts)
def test_encryption_materials_are_named_by_the_specifications_formula(partition, suite, pairs):
    formula = b"\x01\x00\x01\x00%b\x00\x01\x00%b\x00%b" % (
        partition,
        suite.suite_id.to_bytes(2, "big"),
        serialized(pairs),
    )

    expected = hashlib.sha384(formula).digest()

    assert encryption_materials_identifier(partition, suite, EncryptionContext(pairs)) == expected
    assert MaterialsNames(partition).of_encryption(suite, EncryptionContext(pairs), frozenset()).identifier == expected


@given(partitions, suites, data_keys, contexts)
def test_decryption_materials_are_named_by_the_specifications_formula(partition, suite, keys, pairs):
    entries = sorted(
        counted(key.provider_id.encode()) + counted(key.provider_info) + counted(key.ciphertext) for key in keys
    )
    formula = b"\x01\x00\x02\x00%b\x00%b\x00%b\x00%b" % (
        partition,
        suite.suite_id.to_bytes(2, "big"),
        b"".join(entries),
        serialized(pairs),
    )

    expected = hashlib.sha384(formula).digest()

    assert decryption_materials_identifier(partition, suite, keys, EncryptionContext(pairs), NONE) == expected
    names = MaterialsNames(partition)
    assert names.of_decryption(suite, keys, EncryptionContext(pairs), NONE).identifier == expected
    assert names.of_decryption(suite, keys[::-1], EncryptionContext(pairs), NONE).identifier == expected


def test_keys_that_are_not_stored_and_pairs_that_are_reproduced_follow():
    keys = [EncryptedDataKey("p", b"i", b"c")]
    pairs = serialized(PAIRS)
    to_encrypt = b"\x01\x00\x01\x00p\x00\x01\x00\x04\x78\x00" + pairs + b"\x00\x00\x01a\x00\x01b"
    to_decrypt = b"\x01\x00\x02\x00p\x00\x04\x78\x00\x00\x01p\x00\x01i\x00\x01c\x00\x00" + pairs

    assert encryption_materials_identifier(b"p", SUITE, PAIRS, {"b", "a"}) == hashlib.sha384(to_encrypt).digest()
    assert decryption_materials_identifier(b"p", SUITE, keys, NONE, PAIRS) == hashlib.sha384(to_decrypt).digest()


# --- names -----------------------------------------------------------------------------------------------------------


@given(strategies.lists(strategies.tuples(suites, contexts, strategies.frozensets(texts, max_size=2)), max_size=8))
def test_a_name_that_is_remembered_is_the_one_computed(requests):
    names = MaterialsNames(b"p")

    for suite, pairs, required in requests * 2:
        context = EncryptionContext(pairs)
        name = names.of_encryption(suite, context, required)

        assert name.identifier == encryption_materials_identifier(b"p", suite, context, required)
        assert (name.context, name.reproduced) == (context.canonical, b"")


def test_more_names_than_are_remembered_are_right_all_the_same():
    names = MaterialsNames(b"p")

    for _ in range(2):
        for number in range(1500):
            context = EncryptionContext({"number": str(number)})

            assert names.of_encryption(SUITE, context, frozenset()).identifier == encryption_materials_identifier(
                b"p", SUITE, context
            )


def test_what_is_long_is_named_and_not_remembered():
    names = MaterialsNames(b"p")
    long, keys = EncryptionContext({"key": "v" * 60_000}), [EncryptedDataKey("p", b"i" * 60_000, b"c")]

    assert names.of_encryption(SUITE, long, frozenset()) is not names.of_encryption(SUITE, long, frozenset())
    assert names.of_decryption(SUITE, keys, NONE, NONE) is not names.of_decryption(SUITE, keys, NONE, NONE)
    assert names.of_decryption(SUITE, keys, NONE, NONE).identifier == decryption_materials_identifier(
        b"p", SUITE, keys, NONE, NONE
    )


def test_pairs_that_read_like_an_encrypted_data_key_are_told_apart_by_the_whole_name():
    """The formula puts no count before the encrypted data keys."""
    key = EncryptedDataKey("", b"a", b"w")
    other = EncryptedDataKey("", b"\x01k\x00\xff" + b"x" * 252, b"")
    pairs = EncryptionContext({"k": "x" * 252 + "\0\0\0"})
    names = MaterialsNames(b"p")

    first = names.of_decryption(SUITE, [key], pairs, NONE)
    second = names.of_decryption(SUITE, [key, other], NONE, NONE)

    assert first.identifier == second.identifier
    assert first != second


# --- what may be a part ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [("a", True), ("größer 😀", True), ("", False), ("a\0b", False), ("\udc80", False)],
    ids=["plain", "not-ascii", "empty", "null-character", "no-utf-8"],
)
def test_a_name_is_of_utf_8_and_has_no_null_characters(text, answer):
    assert is_name(text) is answer


def test_a_name_is_text():
    with pytest.raises(TypeError, match="a name is text, not bytes"):
        is_name(b"name")  # type: ignore[arg-type]
