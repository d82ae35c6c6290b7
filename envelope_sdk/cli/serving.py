"""The server of ``envelope kms serve``, and the program that its workers are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.root_keys import SOURCE_VARIABLE
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.places import STORE_VARIABLE
from envelope_sdk.local_kms.quotas import Buckets, PostgresqlBuckets, RedisBuckets
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.server.workers import serve, work

__all__ = ["QUOTAS_VARIABLE", "run"]

QUOTAS_VARIABLE: Final = "ENVELOPE_KMS_QUOTAS_AT"
"""The environment variable that names the server that counts requests for several servers of keys."""


def run(settings: Settings, files: LocalStore, counted_at: str | None, ready: Callable[[str], None]) -> None:
    """Serve until a signal comes.

    Args:
        settings: how to run.
        files: where the keys are.
        counted_at: the URL of the Redis or PostgreSQL server that counts requests, if they are not counted here.
        ready: called with the address.
    """
    serve(
        settings,
        files.open_store,
        ready,
        buckets=_buckets(counted_at),
        worker=[sys.executable, "-m", __name__],
        # Not among the arguments, which everybody can read: URLs may hold passwords.
        variables={
            SOURCE_VARIABLE: files.root_key_words() or "",
            STORE_VARIABLE: files.words,
            QUOTAS_VARIABLE: counted_at or "",
        },
    )


def _buckets(url: str | None) -> Buckets | None:
    if not url:
        return None
    if url.startswith(("redis://", "rediss://", "redis+unix://")):
        return RedisBuckets(url)
    if url.startswith(("postgresql://", "postgres://")):
        return PostgresqlBuckets(url)
    raise UsageError("requests are counted at redis://... or postgresql://...")


if __name__ == "__main__":
    sys.exit(
        work(
            sys.argv[1:],
            lambda _: LocalStore(os.environ[STORE_VARIABLE]).open_store(),
            lambda: _buckets(os.environ.get(QUOTAS_VARIABLE)),
        )
    )
