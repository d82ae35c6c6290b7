"""Request quotas that several processes share: in Redis, and in PostgreSQL."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from testkit.servers import PASSWORD, Postgres, Redis, free_port, redis

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.quotas import Buckets, PostgresqlBuckets, RedisBuckets, RequestQuotas
from envelope_sdk.local_kms.quotas.redis import window

_SLOW = 5 / 60
"""Tokens a second: five, and none more while a test lasts."""

Make = Callable[[], Buckets]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Redis]:
    pytest.importorskip("limits", reason="limits is not installed")
    pytest.importorskip("redis", reason="redis is not installed")
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["redis", "postgresql"])
def make(request: pytest.FixtureRequest) -> Generator[Make]:
    """Makes buckets of one kind that share what they count with the others of this test."""
    made: list[Any] = []
    if request.param == "redis":
        server: Redis = request.getfixturevalue("redis_server")
        prefix = request.node.name
        yield lambda: RedisBuckets(server.url, prefix=prefix)
        return
    database: Postgres = request.getfixturevalue("postgres_server")
    schema: str = request.getfixturevalue("empty_schema")

    def in_database() -> Buckets:
        made.append(PostgresqlBuckets(database.url, schema=schema))
        return made[-1]  # type: ignore[no-any-return]

    yield in_database
    for each in made:
        each.close()


def test_those_who_share_have_one_bucket(make: Make) -> None:
    first, second = make(), make()
    taken = [who.take("a", _SLOW, 5) for who in (first, second, first, second, first, second, first)]

    assert taken == [True] * 5 + [False] * 2
    assert second.take("b", _SLOW, 5)


def test_threads_that_take_at_once_get_no_more_than_there_is(make: Make) -> None:
    buckets = make()
    taken: list[bool] = []

    def work() -> None:
        taken.extend(buckets.take("a", 20 / 60, 20) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(taken), sum(taken)) == (40, 20)


def test_tokens_come_back(make: Make) -> None:
    buckets = make()
    taken = 0
    for _ in range(100_000):
        taken += buckets.take("a", 50, 50)
        if taken > 60:
            break

    assert taken == 61


def test_a_quota_is_one_for_all_servers(make: Make, refused: Any) -> None:
    def kms() -> LocalKms:
        return LocalKms.in_memory(quotas=RequestQuotas(rates={"CreateKey": _SLOW}, buckets=make()))

    with kms() as one, kms() as other:
        one.create_key()
        with refused("ThrottlingException"):
            other.create_key()
        assert other.list_keys()["Keys"] == []


@pytest.mark.parametrize("kind", ["RedisBuckets", "PostgresqlBuckets"])
def test_processes_share_them_too(kind: str, redis_server: Redis, postgres_server: Postgres, empty_schema: str) -> None:
    url, name = (redis_server.url, "prefix") if kind == "RedisBuckets" else (postgres_server.url, "schema")
    code = (
        f"import sys\nfrom envelope_sdk.local_kms.quotas import {kind}\n"
        f"buckets = {kind}(sys.argv[1], {name}=sys.argv[2])\n"
        "print(sum(buckets.take('a', 7 / 60, 7) for _ in range(5)))\n"
    )
    command = [sys.executable, "-c", code, url, empty_schema]
    outputs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]

    assert [int(output) for output in outputs] == [5, 2, 0]


@pytest.mark.parametrize("kind", ["redis", "postgresql"])
def test_while_the_server_is_away_each_process_counts_for_itself(
    kind: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    server: Any = request.getfixturevalue(f"{kind.replace('postgresql', 'postgres')}_server")
    now = [0.0]
    if kind == "redis":
        buckets: Any = RedisBuckets(server.url, prefix=request.node.name, clock=lambda: now[0])
    else:
        schema = request.getfixturevalue("empty_schema")
        buckets = PostgresqlBuckets(server.url, schema=schema, clock=lambda: now[0])
    assert [buckets.take("a", _SLOW, 5) for _ in range(6)] == [True] * 5 + [False]
    server.stop()
    try:
        with caplog.at_level(logging.WARNING):
            assert [buckets.take("b", _SLOW, 5) for _ in range(6)] == [True] * 5 + [False]
            now[0] += 2
            assert not buckets.take("b", _SLOW, 5)
    finally:
        server.start()
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
        "request quotas are counted in each process"
    ]
    # Not asked again before its time.
    assert not buckets.take("b", _SLOW, 5)
    now[0] += 2
    with caplog.at_level(logging.WARNING):
        assert buckets.take("c", _SLOW, 5)
    assert caplog.records[-1].message.endswith("request quotas are shared again")


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [
        (1, 1, (1, 1)),
        (100, 100, (100, 1)),
        (100_000, 100_000, (100_000, 1)),
        (1.5, 1.5, (3, 2)),
        (0.5, 1, (1, 2)),
        (0.1, 1, (1, 10)),
        (10, 50, (50, 5)),
        (5 / 60, 5, (5, 60)),
        (2 / 3, 1, (2, 3)),
        (1 / 3600, 1, (1, 3600)),
        (0.3, 1, (3, 10)),
    ],
)
def test_rates_become_whole_numbers_in_whole_seconds(rate: float, burst: float, expected: tuple[int, int]) -> None:
    assert window(rate, burst) == expected


@pytest.mark.parametrize("rate", [0.777, 3.14159, 1e-4 * 1.7])
def test_a_rate_that_fits_no_window_is_rounded_down(rate: float) -> None:
    requests, seconds = window(rate, max(rate, 1))

    assert requests >= 1
    assert 0.5 * rate <= requests / seconds <= rate * 1.001


@pytest.mark.parametrize("url", ["", "http://hidden-word@h", "redis://u:hidden-word@h:port/0", "redis://h:hidden-word"])
def test_a_url_that_cannot_be_one_is_not_repeated(redis_server: Redis, url: str) -> None:
    with pytest.raises(UsageError, match="URL of Redis") as caught:
        RedisBuckets(url)

    assert "hidden-word" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_server_that_was_never_there_stops_nobody(redis_server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    buckets = RedisBuckets(f"redis://u:hidden-word@127.0.0.1:{free_port()}/0")

    assert buckets.take("a", 1, 1)
    assert "hidden-word" not in caplog.text


def test_a_database_that_is_not_there_is_an_error_at_the_start(postgres_server: Postgres) -> None:
    with pytest.raises(KeyStoreError, match="cannot be reached"):
        PostgresqlBuckets(f"postgresql://u:hidden-word@127.0.0.1:{free_port()}/d")


def test_they_show_no_password_and_are_not_pickled(
    redis_server: Redis, postgres_server: Postgres, empty_schema: str
) -> None:
    in_database = PostgresqlBuckets(postgres_server.asked_url, schema=empty_schema)
    for buckets in (RedisBuckets("redis://u:hidden-word@h/0"), in_database):
        assert "hidden-word" not in repr(buckets)
        assert PASSWORD not in repr(buckets)
        for attempt in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                attempt(buckets)
    in_database.close()
