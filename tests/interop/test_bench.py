"""Rows of peers beside this package's own, on the same KMS. How fast anything is, no test asks."""

from __future__ import annotations

import pytest

from envelope_sdk.bench.consistency import check
from envelope_sdk.bench.engine import Budget, measure
from envelope_sdk.bench.plan import Choice, not_installed, plan
from envelope_sdk.bench.result import DECRYPT, ENCRYPT, HIERARCHICAL, LEGACY, MOTO, MPL, MPL_HIERARCHICAL, OWN, SERVED

pytest.importorskip("aws_encryption_sdk")
pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.mark.parametrize("kms", [SERVED, MOTO])
def test_everybody_encrypts_and_decrypts_and_every_call_is_counted(kms: str) -> None:
    choice = Choice(
        sizes=(300,), threads=(1,), kms=(kms,), latencies=(0.0,), quotas=(None,), max_messages=8, thorough=True
    )

    outcome = measure(
        plan(choice, not_installed()), Budget(seconds=None, messages=32, rounds=2), command="envelope bench"
    )

    assert (outcome.broken, check(outcome.run), outcome.run.absent) == ({}, [], {})
    calls = {
        (r.scenario.subject, r.scenario.cached, r.scenario.operation): sum(r.kms_calls.values())
        for r in outcome.run.measurements
    }
    assert calls == {
        (OWN, False, ENCRYPT): 32,
        (OWN, True, ENCRYPT): 4,
        (HIERARCHICAL, True, ENCRYPT): 1,
        (LEGACY, False, ENCRYPT): 32,
        (LEGACY, True, ENCRYPT): 4,
        (MPL, False, ENCRYPT): 32,
        (MPL_HIERARCHICAL, True, ENCRYPT): 1,
        (OWN, False, DECRYPT): 32,
        # Sixteen messages a round, eight to a data key.
        (OWN, True, DECRYPT): 2,
        (HIERARCHICAL, True, DECRYPT): 1,
        (LEGACY, False, DECRYPT): 32,
        (LEGACY, True, DECRYPT): 2,
        (MPL, False, DECRYPT): 32,
        (MPL_HIERARCHICAL, True, DECRYPT): 1,
    }
    assert all(r.failures == {} and r.messages == 32 for r in outcome.run.measurements)
