"""Several servers over one PostgreSQL database, as on several hosts, with quotas that they share."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testkit.kms_http import client
from testkit.servers import PASSWORD, Postgres, Redis, postgres, redis

pytestmark = pytest.mark.slow

Serve = Callable[..., str]


@pytest.fixture(scope="module")
def database() -> Generator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Generator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def serve(envelope: Any, database: Postgres) -> Generator[Serve]:
    """Starts servers over one database, and returns where they are."""
    database.execute("DROP SCHEMA IF EXISTS envelope_kms CASCADE")
    envelope.env |= {"ENVELOPE_KMS_STORE": database.asked_url, "ENVELOPE_KMS_ROOT_KEY_FROM": "file:root.key"}
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> str:
        process = envelope.start("kms", "serve", "--port", "0", "--log-format", "off", *options)
        started.append(process)
        line = process.stderr.readline().decode()
        found = re.search(r"local KMS at (\S+)", line)
        assert found, line
        return found[1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert PASSWORD not in process.stderr.read().decode()  # type: ignore[union-attr]


def test_what_is_changed_through_one_is_in_force_on_all_at_their_next_call(serve: Serve) -> None:
    servers = [client(serve(*options)) for options in ((), ("--workers", "2"), ())]
    key_id = servers[0].create_key()["KeyMetadata"]["KeyId"]
    for changing in servers:
        for kms in servers:
            kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        changing.disable_key(KeyId=key_id)
        for kms in servers:
            with pytest.raises(ClientError, match="is disabled"):
                kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        changing.enable_key(KeyId=key_id)


def test_no_password_is_among_the_arguments_of_a_process(serve: Serve, envelope: Any) -> None:
    serve("--workers", "2")
    shown = b"".join(_arguments(path) for path in Path("/proc").glob("[0-9]*/cmdline"))

    assert b"envelope_sdk.cli.serving" in shown
    assert PASSWORD.encode() not in shown
    assert b"asked:" not in shown


def _arguments(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""


@pytest.mark.parametrize("where", ["redis", "postgresql"])
def test_they_share_quotas(serve: Serve, database: Postgres, counter: Redis, envelope: Any, where: str) -> None:
    envelope.env["ENVELOPE_KMS_QUOTAS_AT"] = counter.url if where == "redis" else database.asked_url
    # CreateKey: 5 a second on AWS, so one in ten seconds here.
    one, other = (client(serve("--quotas", "0.02")) for _ in range(2))
    one.create_key()
    with pytest.raises(ClientError, match="ThrottlingException"):
        other.create_key()

    assert len(other.list_keys()["Keys"]) == 1


def test_a_database_that_comes_back_is_used_again(serve: Serve, database: Postgres) -> None:
    kms = client(serve())
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    database.stop(signal.SIGKILL)
    try:
        with pytest.raises(ClientError, match="DependencyTimeoutException"):
            kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    finally:
        database.start()

    assert kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["Plaintext"]


def test_quotas_that_are_counted_nowhere_are_a_mistake(envelope: Any) -> None:
    ran = envelope("kms", "serve", "--quotas-at", "redis://127.0.0.1:1/0")

    assert (ran.code, len(ran.lines)) == (2, 1)
    assert "give --quotas" in ran.lines[0]
