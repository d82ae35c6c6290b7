"""The keyring keeps every rule that envelope-sdk has for keyrings."""

from __future__ import annotations

import pytest
from transit_server import TOKEN, TransitServer
from vault_transit_keyring import VaultTransitKeyring

from envelope_sdk.testing import KEYRING_RULES, check_keyring


@pytest.mark.parametrize("rule", KEYRING_RULES)
def test_it_keeps_the_rule(rule: str, transit: TransitServer, key: str) -> None:
    transit.rotate("another")

    check_keyring(
        lambda: VaultTransitKeyring(transit.address, key, token=TOKEN),
        other=lambda: VaultTransitKeyring(transit.address, "another", token=TOKEN),
        secrets=[TOKEN.encode()],
        rules=[rule],
    )
