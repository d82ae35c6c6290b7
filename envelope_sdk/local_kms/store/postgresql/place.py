"""Which database: a URL that may hold a password, which nothing here ever shows."""

from __future__ import annotations

import re
from typing import Any, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.store.postgresql.driver import psycopg

__all__ = ["DatabasePlace"]

_SCHEMES: Final = ("postgresql://", "postgres://")
_SCHEMA: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_DEFAULTS: Final = {
    # Only one that takes writes: a copy of it may lag behind, and still know a key as enabled.
    "target_session_attrs": "read-write",
    "application_name": "envelope-sdk",
    "client_encoding": "utf8",
    # A host that has gone without a word is noticed.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}


class DatabasePlace:
    """A database and a schema in it. Its repr and ``str`` show no password, and it cannot be pickled.

    Attributes:
        schema: the schema that the tables are in.
        parameters: what psycopg connects with, the password among it.
    """

    __slots__ = ("_shown", "parameters", "schema")

    def __init__(self, url: str, schema: str, patience: float) -> None:
        """Take the URL.

        Args:
            url: ``postgresql://user@host/database``, as libpq takes it; several hosts may be named.
            schema: the schema to use; lower case, digits and underscores.
            patience: seconds to wait for a connection.

        Raises:
            UsageError: the URL or the schema cannot be one. The URL is not repeated.
            KeyStoreError: psycopg is not installed.
            TypeError: the URL is not text.
        """
        if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
            raise TypeError(f"a URL is text, not {type(url).__name__}")
        if not _SCHEMA.fullmatch(schema):
            raise UsageError(f"no schema for keys can be called {schema!r}: lower case letters, digits and underscores")
        said = _parsed(url)
        named = [str(said.get(part, "")) for part in ("host", "hostaddr", "port", "user", "dbname")]
        if not url.startswith(_SCHEMES) or not said or any("@" in text for text in named):
            # A password with a slash or an at sign in it makes the rest of it a host.
            raise UsageError(
                "the URL of the database cannot be understood: it is of the form postgresql://user:password@host/name, "
                "and special characters in a password are percent-encoded"
            )
        waiting = {"connect_timeout": str(max(2, round(patience))), "tcp_user_timeout": str(round(patience * 1000))}
        self.parameters: dict[str, Any] = _DEFAULTS | waiting | said
        self.schema = schema
        host, port = said.get("host") or said.get("hostaddr"), said.get("port")
        where = f" at {host}" + (f":{port}" if port else "") if host else ""
        self._shown = f"the PostgreSQL database {said.get('dbname', 'of the user')!r}{where}, schema {schema!r}"

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"DatabasePlace({self._shown!r})"

    def __reduce__(self) -> str:
        raise TypeError("where a database is may hold a password: it cannot be pickled or copied")

    def without_secrets(self, text: str) -> str:
        """Return a text of libpq's without the password, should it be there."""
        for name in ("password", "sslpassword"):
            secret = str(self.parameters.get(name) or "")
            text = text.replace(secret, "<secret>") if secret else text
        return " ".join(text.split())


def _parsed(url: str) -> dict[str, Any]:
    # A function of its own, so that the error raised on its answer does not carry this one, which holds the URL.
    driver = psycopg()
    try:
        return dict(driver.conninfo.conninfo_to_dict(url))
    except (driver.Error, UnicodeError, ValueError):
        return {}
