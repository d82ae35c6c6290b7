"""Branch keys in a file: shared by threads and processes, nobody else's to read, whole after a crash."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from testkit.processes import in_child

from envelope_sdk.errors import AuthenticationError, KmsAccessError, KmsError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings.hierarchical import SqliteStorage

RECORD = {"branch-key-id": "id", "type": "branch:ACTIVE", "enc": b"old", "hierarchy-version": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "branch keys ?#%.db"


def replacement(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    enc = b"%d" % number
    return RECORD | {"type": f"branch:version:{number}", "enc": enc}, RECORD | {"enc": enc}


def test_the_file_is_nobody_else_s_to_read(path: Path) -> None:
    SqliteStorage(path).add([RECORD])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_was_written_is_there_when_the_file_is_opened_again(path: Path) -> None:
    SqliteStorage(path).add([RECORD])

    assert SqliteStorage(str(path)).get("id", "branch:ACTIVE") == RECORD


def test_a_later_change_of_folder_does_no_harm(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    storage = SqliteStorage(path.name)
    storage.add([RECORD])
    (tmp_path / "elsewhere").mkdir()

    monkeypatch.chdir(tmp_path / "elsewhere")

    assert storage.get("id", "branch:ACTIVE") == RECORD


def test_threads_that_version_at_the_same_time_each_replace_what_they_have_seen(path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD])

    def version(number: int) -> int:
        tries = 0
        while True:
            tries += 1
            seen = storage.get("id", "branch:ACTIVE")
            assert seen is not None
            if storage.add_version(*replacement(number), replacing=seen["enc"]):
                return tries

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(version, range(24)))
    assert len(list(storage.records())) == 25


def test_processes_share_the_file(path: Path) -> None:
    SqliteStorage(path).add([RECORD])
    program = (
        "import sys; from envelope_sdk.keyrings.hierarchical import SqliteStorage\n"
        "storage = SqliteStorage(sys.argv[1])\n"
        "for n in range(20):\n"
        "    record = {'branch-key-id': sys.argv[2] + str(n), 'type': 'x', 'enc': b'', 'hierarchy-version': 1}\n"
        "    assert storage.add([record])\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, path, name]) for name in "abc"]

    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(list(SqliteStorage(path).records())) == 61


def test_a_forked_child_uses_the_storage_of_its_parent(path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD])

    assert in_child(lambda: storage.add_version(*replacement(1), replacing=b"old")) == 0
    assert len(list(storage.records())) == 2


def test_a_child_forked_while_another_thread_is_at_work_finds_the_file_unlocked(path: Path) -> None:
    storage = SqliteStorage(path, patience=5)
    storage.add([RECORD])
    inside, leave = threading.Event(), threading.Event()

    class Slow(dict[str, Any]):
        """Read in the middle of a transaction, which lasts until somebody has begun to fork."""

        def items(self) -> Any:
            inside.set()
            leave.wait(0.5)
            return super().items()

    writer = threading.Thread(target=storage.add, args=([Slow(replacement(1)[0])],))
    writer.start()
    assert inside.wait(30)

    outcome = in_child(lambda: storage.add_version(*replacement(2), replacing=b"old"))

    leave.set()
    writer.join(30)
    assert outcome == 0
    assert len(list(storage.records())) == 3


def test_what_was_written_outlasts_a_power_cut(path: Path) -> None:
    """The folder is synchronized once the journal has gone: a journal that comes back undoes what was committed."""
    with SqliteStorage(path)._connection("Get") as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_threads_do_not_add_up_their_patience(path: Path) -> None:
    SqliteStorage(path).add([RECORD])
    storage = SqliteStorage(path, patience=0.5)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    def read(_: int) -> bool:
        with pytest.raises(KmsUnavailableError):
            storage.get("id", "branch:ACTIVE")
        return True

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    holder.close()
    assert time.monotonic() - begun < 2.5


def test_a_crash_in_the_middle_of_a_version_leaves_none_of_it(path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD])
    version, active = replacement(1)

    class Dying(dict[str, Any]):
        """Read when the first of the two records has been written."""

        def items(self) -> Any:
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(lambda: storage.add_version(version, Dying(active), replacing=b"old")) == -signal.SIGKILL
    assert list(storage.records()) == [RECORD]
    assert storage.add_version(*replacement(2), replacing=b"old")


def test_a_write_that_fails_changes_nothing(path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD])
    version, active = replacement(1)

    class Unwritable(int):
        def __str__(self) -> str:
            raise LookupError

    with pytest.raises(LookupError):
        storage.add_version(version, active | {"odd": Unwritable()}, replacing=b"old")
    assert list(storage.records()) == [RECORD]


def test_a_file_that_stays_locked_is_told_to_be_a_passing_trouble(path: Path) -> None:
    SqliteStorage(path).add([RECORD])
    storage = SqliteStorage(path, patience=0.01)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        for call in (lambda: storage.get("id", "branch:ACTIVE"), lambda: storage.add([RECORD])):
            with pytest.raises(KmsUnavailableError, match="locked") as caught:
                call()
            assert caught.value.retryable
            assert caught.value.code == "SQLITE_BUSY"
    finally:
        holder.close()
    assert storage.get("id", "branch:ACTIVE") == RECORD


def test_a_file_that_has_gone_is_not_made_again_empty(path: Path) -> None:
    storage = SqliteStorage(path)
    path.unlink()

    with pytest.raises(KmsAccessError, match="cannot be used"):
        storage.get("id", "branch:ACTIVE")
    assert not path.exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(KmsAccessError, match="No such file"):
        SqliteStorage(tmp_path / "missing" / "keys.db")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file can be called"):
        SqliteStorage(tmp_path / name)


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database, whatever its name says" * 100)

    with pytest.raises(KmsError, match="not a database"):
        SqliteStorage(path)
    assert path.read_bytes().startswith(b"not a database")


def test_another_program_s_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")

    with pytest.raises(KmsError, match="another program"):
        SqliteStorage(path)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_later_version_s_file_is_refused(path: Path) -> None:
    SqliteStorage(path)
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 2")

    with pytest.raises(KmsError, match="later version"):
        SqliteStorage(path)


LONG_NUMBER = '{"x": {"N": "%s"}}' % ("9" * 5000)
ALTERED = [
    LONG_NUMBER,
    '"text"',
    "[]",
    "{",
    '{"enc": 1}',
    '{"enc": {"B": "no base64!"}}',
    '{"x": {"BOOL": true}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", ALTERED, ids=[text[:30] for text in ALTERED])
def test_a_row_that_was_altered_is_told(text: str, path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD])
    with sqlite3.connect(path) as intruder:
        intruder.execute("UPDATE branch_keys SET attributes = ?", (text,))

    with pytest.raises(AuthenticationError, match="was altered"):
        storage.get("id", "branch:ACTIVE")


def test_a_damaged_file_is_told(path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD | {"type": str(number), "enc": bytes(500)} for number in range(100)])
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = os.urandom(len(damaged) - 4096)
    path.write_bytes(damaged)

    with pytest.raises((KmsError, AuthenticationError)):
        list(storage.records())


def test_many_threads_read_while_one_writes(path: Path) -> None:
    storage = SqliteStorage(path)
    storage.add([RECORD])
    done = threading.Event()

    def read() -> bool:
        while not done.is_set():
            record = storage.get("id", "branch:ACTIVE")
            assert record is not None
        return True

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        for number in range(20):
            seen = storage.get("id", "branch:ACTIVE")
            assert seen is not None
            assert storage.add_version(*replacement(number), replacing=seen["enc"])
        done.set()
        assert all(reader.result(30) for reader in readers)


def test_repr_names_the_file(path: Path) -> None:
    assert repr(SqliteStorage(path)) == f"SqliteStorage({str(path)!r})"


@pytest.mark.parametrize("patience", [-1, float("nan"), float("inf")])
def test_a_patience_that_nobody_can_have_is_refused(patience: float, path: Path) -> None:
    with pytest.raises(UsageError, match="patience"):
        SqliteStorage(path, patience=patience)
