"""One transaction over a connection to SQLite, with everything a store keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Key, MaterialRecord
from envelope_sdk.local_kms.store.rows.access import AccessRows
from envelope_sdk.local_kms.store.rows.figures import FigureRows
from envelope_sdk.local_kms.store.rows.keys import KeyRows
from envelope_sdk.local_kms.store.rows.materials import MaterialRows
from envelope_sdk.local_kms.store.rows.names import NameRows

__all__ = ["SqliteTransaction", "forgive"]

# The debt's value is random, so that paying one never passes for paying another that was run up meanwhile.
_DEBT_NAME: Final = "log to be emptied"
_RUN_UP_DEBT: Final = (
    "INSERT INTO meta VALUES (?, randomblob(16)) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


class SqliteTransaction(KeyRows, MaterialRows, NameRows, AccessRows, FigureRows):
    """Reads and writes over one connection, within whatever transaction it is in.

    Secrets erased still stand in SQLite's log: whoever erases one runs up a debt.
    """

    __slots__ = ()

    def erase_keys(self, due: datetime) -> Sequence[Key]:
        """Erase the keys due, and all that hangs on them."""
        keys = super().erase_keys(due)
        if keys:
            self.run_up_debt()
        return keys

    def update_material(self, scope: Scope, record: MaterialRecord) -> None:
        """Replace what is known of a material; unless it is present, erase its secret."""
        super().update_material(scope, record)
        if not record.present:
            self.run_up_debt()

    def remove_access_key(self, access_key_id: str) -> None:
        """Remove an access key."""
        super().remove_access_key(access_key_id)
        self.run_up_debt()

    def remove_identity(self, arn: str) -> None:
        """Remove an identity and its access keys."""
        super().remove_identity(arn)
        self.run_up_debt()

    def debt(self) -> object:
        """Return the mark of erased rows that may still stand in the log; ``None`` where there is no such debt."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (_DEBT_NAME,)).fetchone()
        return None if row is None else row[0]

    def run_up_debt(self) -> None:
        """Leave the mark that the log is to be emptied of secrets that were erased or replaced."""
        self._connection.execute(_RUN_UP_DEBT, (_DEBT_NAME,))


def forgive(connection: sqlite3.Connection, debt: object) -> None:
    """Remove the mark ``debt``, and no other, once the log has been emptied."""
    connection.execute("DELETE FROM meta WHERE name = ? AND value = ?", (_DEBT_NAME, debt))
