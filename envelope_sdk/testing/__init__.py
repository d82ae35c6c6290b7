"""Contract suites for keyrings, materials managers and stores of one's own, to be called from any test framework.

>>> import os
>>> from envelope_sdk.keyrings import RawAesKeyring
>>> from envelope_sdk.testing import check_keyring
>>> key = os.urandom(32)
>>> check_keyring(lambda: RawAesKeyring("example", "key-1", key), secrets=[key], rules=["round-trip", "thread-safe"])

Each suite is a list of named rules. A rule that does not hold raises :class:`ContractViolation`, an
:class:`AssertionError` that names it, says what was found, and what to do about it. Without ``rules`` all are checked,
in order, up to the first that does not hold; :data:`KEYRING_RULES`, :data:`MANAGER_RULES` and :data:`STORE_RULES` list
them, for a test of its own for each::

    @pytest.mark.parametrize("rule", KEYRING_RULES)
    def test_my_keyring(rule):
        check_keyring(make_my_keyring, rules=[rule])
"""

from envelope_sdk.testing.contract import ContractViolation
from envelope_sdk.testing.keyrings import KEYRING_RULES, check_keyring
from envelope_sdk.testing.managers import MANAGER_RULES, check_manager
from envelope_sdk.testing.stores import STORE_RULES, check_store

__all__ = [
    "KEYRING_RULES",
    "MANAGER_RULES",
    "STORE_RULES",
    "ContractViolation",
    "check_keyring",
    "check_manager",
    "check_store",
]
