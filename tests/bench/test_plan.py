"""Which scenarios a choice comes to, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from envelope_sdk.bench.plan import Choice, Plan, not_installed, plan
from envelope_sdk.bench.result import (
    DECRYPT,
    ENCRYPT,
    HIERARCHICAL,
    IN_PROCESS,
    LEGACY,
    MOTO,
    MPL,
    MPL_HIERARCHICAL,
    OWN,
    SERVED,
    Scenario,
)
from envelope_sdk.errors import UsageError


def scenarios(planned: Plan) -> list[Scenario]:
    return [scenario for group in planned.groups for scenario in group]


def test_a_group_differs_in_who_works_alone() -> None:
    for group in plan(Choice(thorough=True), {}).groups:
        assert len({(s.kms, s.operation, s.message_bytes, s.threads, s.quota, s.latency_seconds) for s in group}) == 1
        assert len(group) == len({(s.subject, s.cached) for s in group})
        assert [(s.subject, s.cached) for s in group[:2]] == [(OWN, False), (OWN, True)]


def test_no_scenario_is_measured_twice() -> None:
    for choice in (Choice(), Choice(thorough=True)):
        planned = scenarios(plan(choice, {}))

        assert len(planned) == len(set(planned))


def test_everything_is_the_whole_product() -> None:
    planned = plan(Choice(sizes=(1, 2), threads=(1, 8), thorough=True), {})

    places = {(IN_PROCESS, None), (SERVED, None), (SERVED, 50.0), (MOTO, None)}
    cells = {(place, o, s, t) for place in places for o in (ENCRYPT, DECRYPT) for s in (1, 2) for t in (1, 8)}
    assert cells == {((g[0].kms, g[0].quota), g[0].operation, g[0].message_bytes, g[0].threads) for g in planned.groups}


def test_the_story_is_part_of_the_whole() -> None:
    story, whole = plan(Choice(), {}), plan(Choice(thorough=True), {})

    assert set(scenarios(story)) < set(scenarios(whole))


def test_the_story_has_every_kind_of_kms_both_operations_and_all_subjects() -> None:
    story = scenarios(plan(Choice(), {}))

    assert {s.kms for s in story} == {IN_PROCESS, SERVED, MOTO}
    assert {s.operation for s in story} == {ENCRYPT, DECRYPT}
    assert {(s.subject, s.cached) for s in story} == {
        (OWN, False),
        (OWN, True),
        (HIERARCHICAL, True),
        (LEGACY, False),
        (LEGACY, True),
        (MPL, False),
        (MPL_HIERARCHICAL, True),
    }
    assert {(s.message_bytes, s.threads) for s in story if s.quota is None} == {
        (size, threads) for size in (1024, 65_536) for threads in (1, 8)
    }


def test_the_story_has_a_quota_where_many_threads_send_short_messages() -> None:
    story = scenarios(plan(Choice(), {}))

    assert {(s.message_bytes, s.threads) for s in story if s.quota is not None} == {(1024, 8)}


def test_only_a_served_kms_is_far_away_or_has_a_quota_unless_it_is_said() -> None:
    places = {(s.kms, s.latency_seconds, s.quota) for s in scenarios(plan(Choice(), {}))}

    assert places == {(IN_PROCESS, 0, None), (SERVED, 0.01, None), (SERVED, 0.01, 50.0), (MOTO, 0, None)}


def test_latencies_and_quotas_that_are_said_are_for_all() -> None:
    planned = plan(Choice(latencies=(0.0, 0.2), quotas=(None, 5.0), kms=(IN_PROCESS, MOTO)), {})

    in_process = [(IN_PROCESS, latency, quota) for latency in (0.0, 0.2) for quota in (None, 5.0)]
    assert {*in_process, (MOTO, 0.0, None)} == {(s.kms, s.latency_seconds, s.quota) for s in scenarios(planned)}
    assert planned.absent == {"moto server with latency or quota": "it can neither delay nor throttle"}


def test_limits_are_those_of_what_is_cached() -> None:
    for s in scenarios(plan(Choice(max_age_seconds=7.0, max_messages=9, thorough=True), {})):
        assert s.max_age_seconds == (7.0 if s.cached else None)
        assert s.max_messages == (9 if s.cached and s.subject not in (HIERARCHICAL, MPL_HIERARCHICAL) else None)


def test_botocore_is_as_it_is_said_wherever_it_takes_part() -> None:
    choice = Choice(retry_mode="adaptive", max_attempts=5, timeout_seconds=2.0)
    for s in scenarios(plan(choice, {})):
        http = ("adaptive", 5, 2.0) if s.kms != IN_PROCESS else (None, None, None)
        assert (s.retry_mode, s.max_attempts, s.timeout_seconds) == http


def test_what_is_missing_is_left_out_and_said_to_be() -> None:
    planned = plan(Choice(), {MPL: "not there", MOTO: "neither"})

    assert planned.absent == {MPL: "not there", MOTO: "neither"}
    assert {MPL, MOTO}.isdisjoint({word for s in scenarios(planned) for word in (s.subject, s.kms)})


def test_peers_may_be_left_out() -> None:
    planned = plan(Choice(peers=False, thorough=True), {MPL: "not there"})

    assert {s.subject for s in scenarios(planned)} == {OWN, HIERARCHICAL}
    assert planned.absent == {}


def test_where_nothing_is_left_the_reasons_are_given() -> None:
    with pytest.raises(UsageError, match="served: no server"):
        plan(Choice(kms=(SERVED,)), {SERVED: "no server"})


def test_what_is_not_installed_says_how_to_get_it() -> None:
    for name, why in not_installed().items():
        assert name in {SERVED, MOTO, LEGACY, MPL, MPL_HIERARCHICAL}
        assert "installed" in why


REFUSED: dict[str, dict[str, Any]] = {
    "no size": {"sizes": ()},
    "less than nothing": {"sizes": (-1,)},
    "nobody": {"threads": (0,)},
    "no KMS": {"kms": ()},
    "another KMS": {"kms": ("AWS",)},
    "another retry mode": {"retry_mode": "never"},
    "no attempt": {"max_attempts": 0},
    "no age": {"max_age_seconds": 0.0},
    "an endless age": {"max_age_seconds": float("inf")},
    "no time to wait": {"timeout_seconds": 0.0},
    "no calls at all": {"quotas": (0.0,)},
    "a quota below none": {"quotas": (-1.0,)},
    "answers before the question": {"latencies": (-0.1,)},
    "no latency": {"latencies": (float("nan"),)},
    "no messages": {"max_messages": 0},
    "too many messages": {"max_messages": 2**32 + 1},
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_measured_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Choice(**given)
