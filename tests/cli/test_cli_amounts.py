"""Options that take an amount take finite numbers only."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("amount", ["nan", "inf"])
@pytest.mark.parametrize(
    "command",
    [
        ("bench", "--seconds"),
        ("bench", "--latency"),
        ("bench", "--quota"),
        ("bench", "--max-age"),
        ("bench", "--timeout"),
        ("encrypt", "in", "--cache-seconds"),
        ("kms", "serve", "--latency"),
        ("kms", "serve", "--grant-propagation"),
        ("kms", "serve", "--quotas"),
    ],
    ids=" ".join,
)
def test_what_is_not_finite_is_no_amount(envelope: Any, command: tuple[str, ...], amount: str) -> None:
    envelope.write("in", b"text")

    ran = envelope(*command, amount)

    assert ran.code == 2
    assert "finite" in ran.err or "range" in ran.err
