"""Fixtures for pytest: a local KMS that lasts as long as a test. In ``conftest.py``::

pytest_plugins = ["envelope_sdk.testing.pytest_plugin"]

@pytest.fixture
def local_kms_seed():
return "tests/kms.toml"  # or leave this fixture out
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

try:
    import pytest
except ImportError as error:
    raise ImportError("fixtures need pytest, and a server 'envelope-sdk[server]': pip install both") from error

from envelope_sdk.local_kms import DEFAULT_ACCOUNT, DEFAULT_REGION, LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.seeding import Seed, plant
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

if TYPE_CHECKING:
    from envelope_sdk.local_kms.server.background import BackgroundServer

__all__ = ["local_kms", "local_kms_seed", "local_kms_server"]

_KEY_ID = "0" * 12


@pytest.fixture
def local_kms_seed() -> str | os.PathLike[str] | None:
    """The seed file that the other fixtures begin with: none, unless a test suite has a fixture of this name."""
    return None


@pytest.fixture
def local_kms(local_kms_seed: str | os.PathLike[str] | None) -> Iterator[LocalKms]:
    """A KMS in memory: whatever takes ``boto3.client("kms")`` takes it, or its ``boto3_client()``."""
    with LocalKms.in_memory(seed=local_kms_seed) as kms:
        yield kms


@pytest.fixture
def local_kms_server(
    local_kms_seed: str | os.PathLike[str] | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BackgroundServer]:
    """A KMS in memory behind HTTP, at ``local_kms_server.url``; needs the extra ``server``.

    While the test runs, the environment points clients of AWS KMS and STS to it, those of programs that the test starts
    as well: ``AWS_ENDPOINT_URL_KMS``, ``AWS_ENDPOINT_URL_STS``, credentials and Region.
    """
    from envelope_sdk.local_kms.server.background import BackgroundServer

    def open_store() -> SqliteStore:
        store = SqliteStore.in_memory(system_random)
        if local_kms_seed is not None:
            plant(store, Seed.load(local_kms_seed, Scope(DEFAULT_ACCOUNT, DEFAULT_REGION)))
        return store

    with BackgroundServer(open_store=open_store) as server:
        for service in ("KMS", "STS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", _KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        monkeypatch.setenv("AWS_DEFAULT_REGION", DEFAULT_REGION)
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield server
