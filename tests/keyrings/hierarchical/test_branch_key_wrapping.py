"""A data key under a branch key: it comes back, and nothing about it can be altered."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, strategies
from testkit.randomness import SeededRandom

from envelope_sdk.errors import AuthenticationError, KeyringError
from envelope_sdk.keyrings.hierarchical import BranchKey
from envelope_sdk.keyrings.hierarchical.wrapping import OVERHEAD, unwrap_data_key, version_of, wrap_data_key

VERSION = "83eec007-5659-4554-bf11-699b90f41ac6"
BRANCH_KEY = BranchKey("id", VERSION, bytes(range(32)), {})
DATA_KEY = bytes(range(100, 132))
CONTEXT = b"\0\1\0\1a\0\1b"
WRAPPED = wrap_data_key(BRANCH_KEY, DATA_KEY, CONTEXT, SeededRandom())

data_keys = strategies.sampled_from([16, 24, 32]).flatmap(lambda n: strategies.binary(min_size=n, max_size=n))


@given(
    key=strategies.binary(min_size=32, max_size=32),
    name=strategies.text(min_size=1),
    version=strategies.uuids(),
    data_key=data_keys,
    context=strategies.binary(max_size=100),
    seed=strategies.text(),
)
def test_what_was_wrapped_comes_back(
    key: bytes, name: str, version: uuid.UUID, data_key: bytes, context: bytes, seed: str
) -> None:
    branch_key = BranchKey(name.encode("utf-8", "ignore").decode() or "id", str(version), key, {})

    wrapped = wrap_data_key(branch_key, data_key, context, SeededRandom(seed))

    assert len(wrapped) == len(data_key) + OVERHEAD
    assert version_of(wrapped, len(data_key)) == str(version)
    assert unwrap_data_key(branch_key, wrapped, context) == data_key


def test_the_layout_is_salt_iv_version_data_key_and_tag() -> None:
    random = SeededRandom()
    salt, iv = random(16), random(12)

    assert WRAPPED.startswith(salt + iv + uuid.UUID(VERSION).bytes)
    assert len(WRAPPED) == 16 + 12 + 16 + 32 + 16


@pytest.mark.parametrize("position", range(len(WRAPPED)))
def test_no_byte_can_be_altered(position: int) -> None:
    altered = bytearray(WRAPPED)
    altered[position] ^= 1

    with pytest.raises(AuthenticationError):
        unwrap_data_key(BRANCH_KEY, bytes(altered), CONTEXT)


OTHERS = {
    "key": BranchKey("id", VERSION, bytes(32), {}),
    "id": BranchKey("di", VERSION, bytes(range(32)), {}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_branch_key_does_not_open_it(other: BranchKey) -> None:
    with pytest.raises(AuthenticationError):
        unwrap_data_key(other, WRAPPED, CONTEXT)


@pytest.mark.parametrize("context", [b"", CONTEXT[:-1] + b"c", CONTEXT + b"\0"])
def test_another_context_does_not_open_it(context: bytes) -> None:
    with pytest.raises(AuthenticationError):
        unwrap_data_key(BRANCH_KEY, WRAPPED, context)


@pytest.mark.parametrize("length", [0, 1, OVERHEAD, len(WRAPPED) - 1, len(WRAPPED) + 1])
def test_another_length_is_told_before_any_branch_key_is_asked_for(length: int) -> None:
    with pytest.raises(KeyringError, match=f"has {length} bytes where 92 are due"):
        version_of(bytes(length), 32)


def test_no_two_wrappings_are_alike() -> None:
    random = SeededRandom()

    assert len({wrap_data_key(BRANCH_KEY, DATA_KEY, CONTEXT, random) for _ in range(10)}) == 10
