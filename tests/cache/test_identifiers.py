"""Identifiers are those of the specification's formulas."""

from __future__ import annotations

import hashlib

from envelope_sdk.cache.identifiers import Resource, Scope, cache_identifier


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
