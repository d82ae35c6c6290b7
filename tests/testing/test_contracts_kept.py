"""Every keyring and manager of the package keeps the contract that others are held to."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from testkit.contracts import KEYRINGS, MANAGERS

import envelope_sdk.keyrings
import envelope_sdk.managers
import envelope_sdk.testing
from envelope_sdk.materials import Keyring
from envelope_sdk.testing import KEYRING_RULES, MANAGER_RULES, check_keyring, check_manager


@pytest.mark.parametrize("rule", KEYRING_RULES)
@pytest.mark.parametrize("subject", KEYRINGS.values(), ids=KEYRINGS)
def test_a_keyring_keeps_the_rule(subject: dict[str, Any], rule: str):
    check_keyring(**subject, rules=[rule])


@pytest.mark.parametrize("rule", MANAGER_RULES)
@pytest.mark.parametrize("subject", MANAGERS.values(), ids=MANAGERS)
def test_a_manager_keeps_the_rule(subject: dict[str, Any], rule: str):
    check_manager(**subject, rules=[rule])


ELSEWHERE = {"Pkcs11Keyring", "Pkcs11RsaKeyring"}
"""Checked beside their own tests, where there is what they need."""


def test_no_keyring_is_forgotten():
    public = {getattr(envelope_sdk.keyrings, name) for name in envelope_sdk.keyrings.__all__ if name not in ELSEWHERE}
    keyrings = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Keyring)}

    assert keyrings == {type(subject["make_keyring"]()) for subject in KEYRINGS.values()}


def test_no_manager_is_forgotten():
    managers = {getattr(envelope_sdk.managers, name) for name in envelope_sdk.managers.__all__}

    assert managers == {type(subject["make_manager"]()) for subject in MANAGERS.values()}


def test_the_example_at_the_head_of_the_package_works():
    results = doctest.testmod(envelope_sdk.testing)

    assert (results.attempted, results.failed) == (5, 0)
