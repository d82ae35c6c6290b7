"""Choosing a branch key by the encryption context."""

from __future__ import annotations

import pytest

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.hierarchical import ContextKeySupplier

SUPPLIER = ContextKeySupplier({"tenant-a": "id-a", "tenant-b": "id-b"}, key="tenant")


def test_the_pair_s_value_chooses_the_branch_key():
    assert [SUPPLIER.get_branch_key_id({"tenant": name, "x": "y"}) for name in ("tenant-a", "tenant-b")] == [
        "id-a",
        "id-b",
    ]


def test_a_context_without_the_pair_has_no_branch_key():
    with pytest.raises(KeyringError, match="has no 'tenant'"):
        SUPPLIER.get_branch_key_id({"x": "tenant-a"})


def test_an_unknown_value_has_no_branch_key():
    with pytest.raises(KeyringError, match="no branch key for 'tenant-c'"):
        SUPPLIER.get_branch_key_id({"tenant": "tenant-c"})


def test_later_changes_of_the_caller_s_table_change_nothing():
    table = {"a": "id-a"}
    supplier = ContextKeySupplier(table, key="tenant")

    table["a"] = "id-b"

    assert supplier.get_branch_key_id({"tenant": "a"}) == "id-a"
