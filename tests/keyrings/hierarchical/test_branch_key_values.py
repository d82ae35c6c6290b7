"""Branch keys and beacon keys as values: nothing of them shows, and once wiped they are gone."""

from __future__ import annotations

import copy
import pickle

import pytest

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.hierarchical import BeaconKey, BranchKey

KEY = bytes(range(32))
VERSION = "83eec007-5659-4554-bf11-699b90f41ac6"

VALUES = [BranchKey("id", VERSION, KEY, {"a": "b"}), BeaconKey("id", KEY, {"a": "b"})]
each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@each_value
def test_a_value_knows_its_key_and_what_it_was_created_with(value: BeaconKey) -> None:
    assert (value.branch_key_id, value.key, value.encryption_context) == ("id", KEY, {"a": "b"})


@each_value
def test_repr_shows_no_key(value: BeaconKey) -> None:
    assert "<secret>" in repr(value)
    assert KEY.hex() not in repr(value)
    assert repr(KEY)[2:20] not in repr(value)


@each_value
@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_value_cannot_be_pickled_or_copied(way, value: BeaconKey) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        way(value)


def test_a_wiped_key_is_overwritten_and_never_handed_out() -> None:
    value = BranchKey("id", VERSION, KEY, {})
    held = value.key

    value.wipe()
    value.wipe()

    assert held == bytes(32)
    with pytest.raises(KeyringError, match="wiped"):
        _ = value.key


def test_the_caller_s_own_bytes_are_left_alone() -> None:
    given = bytearray(KEY)

    BranchKey("id", VERSION, given, {}).wipe()

    assert given == KEY


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(KeyringError, match=f"has {length} bytes, not 32"):
        BranchKey("id", VERSION, bytes(length), {})
