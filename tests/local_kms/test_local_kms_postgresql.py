"""Keys in PostgreSQL: who may open it, and what happens when it is not there, not right, or goes away."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
from testkit.processes import in_child
from testkit.servers import PASSWORD, Postgres, free_port

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import ROOT_KEY_VARIABLE, LocalKms, Passphrase
from envelope_sdk.local_kms.store.postgresql.faults import translate
from envelope_sdk.local_kms.store.postgresql.store import PostgresqlStore
from envelope_sdk.local_kms.store.postgresql.tables import statements
from envelope_sdk.local_kms.store.schema import SCHEMA_VERSION, STATEMENTS
from envelope_sdk.primitives.entropy import system_random

_KEY = bytes(range(32))
_OTHER = bytes(range(32, 64))

Open = Callable[..., LocalKms]


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_KEY_VARIABLE, raising=False)


@pytest.fixture
def open_it(postgres_server: Postgres, empty_schema: str) -> Generator[Open]:
    """Opens the store of this test; each time with connections of its own, as another server would."""
    opened: list[LocalKms] = []

    def run(url: str | None = None, **parameters: Any) -> LocalKms:
        given = {"root_key": _KEY, "schema": empty_schema} | parameters
        opened.append(LocalKms.open_postgresql(url or postgres_server.url, **given))
        return opened[-1]

    yield run
    for kms in opened:
        kms.close()


def _key(kms: LocalKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["KeyId"])


def _blob(kms: LocalKms) -> bytes:
    made: bytes = kms.encrypt(KeyId=_key(kms), Plaintext=b"secret")["CiphertextBlob"]
    return made


# --- opening ---------------------------------------------------------------------------------------------------------


def test_keys_outlive_the_process_that_made_them(open_it: Open) -> None:
    with open_it() as kms:
        blob = _blob(kms)

    assert open_it().decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


@pytest.mark.parametrize("way", ["url", "tcp_url", "asked_url"])
def test_every_way_to_the_database_works(postgres_server: Postgres, open_it: Open, way: str) -> None:
    kms = open_it(getattr(postgres_server, way))

    assert kms.decrypt(CiphertextBlob=_blob(kms))["Plaintext"] == b"secret"


def test_several_stores_live_in_schemas_of_one_database(postgres_server: Postgres, open_it: Open) -> None:
    first, second = open_it(), open_it(schema="test_another", root_key=_OTHER)
    try:
        _key(first)

        assert second.list_keys()["Keys"] == []
    finally:
        second.close()
        postgres_server.execute("DROP SCHEMA test_another CASCADE")


def test_those_who_open_an_empty_database_at_once_make_one_store(open_it: Open) -> None:
    blobs: list[bytes] = []

    def work() -> None:
        blobs.append(_blob(open_it()))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kms = open_it()

    assert len(kms.list_keys()["Keys"]) == 6
    assert [kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"secret"] * 6


def test_the_tables_are_those_of_the_other_store(open_it: Open) -> None:
    made = " ".join(statements())

    assert len(statements()) == len(STATEMENTS) + 1
    assert "ROWID" not in made
    assert "BLOB" not in made


def test_text_is_sorted_by_its_bytes_whatever_the_database_thinks(open_it: Open) -> None:
    kms = open_it()
    key_id = _key(kms)
    names = ["alias/B", "alias/a", "alias/Z", "alias/_", "alias/-", "alias/a/b", "alias/a-b"]
    for name in names:
        kms.create_alias(AliasName=name, TargetKeyId=key_id)
    page = kms.list_aliases(Limit=3)
    rest = kms.list_aliases(Limit=100, Marker=page["NextMarker"])
    found = [alias["AliasName"] for alias in page["Aliases"] + rest["Aliases"]]

    assert found == sorted(found)
    assert set(names) <= set(found)


def test_the_root_key_is_asked_for(postgres_server: Postgres, empty_schema: str) -> None:
    with pytest.raises(UsageError, match="needs a root key: give root_key, or set ENVELOPE_KMS_ROOT_KEY"):
        LocalKms.open_postgresql(postgres_server.url, root_key=None, schema=empty_schema)

    assert postgres_server.execute(f"SELECT 1 FROM pg_namespace WHERE nspname = '{empty_schema}'") == []


def test_the_environment_may_hold_it(open_it: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_KEY_VARIABLE, base64.b64encode(_KEY).decode())
    blob = _blob(open_it(root_key=None))

    assert open_it().decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


@pytest.mark.parametrize("kind", ["file", "passphrase"])
def test_it_may_come_from_elsewhere(open_it: Open, tmp_path: Path, kind: str) -> None:
    source: Any = tmp_path / "root.key" if kind == "file" else Passphrase("correct horse")
    blob = _blob(open_it(root_key=source))

    assert open_it(root_key=source).decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_a_wrong_root_key_is_refused_at_once(open_it: Open) -> None:
    open_it()
    with pytest.raises(KeyStoreError, match="the root key from the caller is not that of the key store the PostgreSQL"):
        open_it(root_key=_OTHER)


def test_material_is_nowhere_in_the_database_in_the_clear(postgres_server: Postgres, empty_schema: str) -> None:
    made: list[bytes] = []

    def random(length: int) -> bytes:
        made.append(os.urandom(length))
        return made[-1]

    with LocalKms.open_postgresql(postgres_server.url, root_key=_KEY, schema=empty_schema, random=random) as kms:
        _key(kms)
    wrapped = [bytes(row[0]) for row in postgres_server.execute(f"SELECT wrapped FROM {empty_schema}.materials")]

    assert len(wrapped) == 1
    assert not [value for value in made if len(value) == 32 and value in wrapped[0]]


def test_another_programs_schema_is_refused_and_left_as_it_is(
    postgres_server: Postgres, open_it: Open, empty_schema: str
) -> None:
    postgres_server.execute(f"CREATE SCHEMA {empty_schema}", f"CREATE TABLE {empty_schema}.birds (name TEXT)")
    with pytest.raises(KeyStoreError, match="is of another program, not a key store: choose another schema"):
        open_it()
    tables = postgres_server.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{empty_schema}'")

    assert tables == [("birds",)]


def test_an_empty_schema_that_an_administrator_has_made_is_used(
    postgres_server: Postgres, open_it: Open, empty_schema: str
) -> None:
    postgres_server.execute(f"CREATE SCHEMA {empty_schema}")

    assert _key(open_it())


@pytest.mark.parametrize(
    ("version", "said"), [(SCHEMA_VERSION + 1, "later version of envelope-sdk"), (1, "there is no schema 1")]
)
def test_a_schema_of_another_version_is_refused(
    postgres_server: Postgres, open_it: Open, empty_schema: str, version: int, said: str
) -> None:
    open_it()
    postgres_server.execute(f"UPDATE {empty_schema}.store_state SET schema_version = {version}")
    with pytest.raises(KeyStoreError, match=said):
        open_it()


def test_a_program_of_another_version_that_has_it_open_is_told_to_start_again(
    postgres_server: Postgres, open_it: Open, empty_schema: str
) -> None:
    kms = open_it()
    postgres_server.execute(f"UPDATE {empty_schema}.store_state SET schema_version = 99, version = version + 1")
    for call in (kms.create_key, kms.list_keys):
        with pytest.raises(KeyStoreError, match="one of schema 99 while it was open"):
            call()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DROP TABLE {0}.materials", "a table is missing"),
        ("ALTER TABLE {0}.keys DROP COLUMN policy", "a column is missing"),
        ("DELETE FROM {0}.store_state", "it has no state"),
        ("DROP SCHEMA {0} CASCADE", "a table is missing"),
        ("UPDATE {0}.materials SET wrapped = '\\x00'", "does not authenticate"),
        ("UPDATE {0}.keys SET state = 'Merry'", "is damaged"),
    ],
)
def test_damage_is_an_error_of_the_store(
    postgres_server: Postgres, open_it: Open, empty_schema: str, damage: str, said: str
) -> None:
    kms = open_it()
    blob = _blob(kms)
    postgres_server.execute(damage.format(empty_schema))
    with pytest.raises(KeyStoreError, match=said):
        open_it().decrypt(CiphertextBlob=blob) if "SCHEMA" not in damage else kms.list_keys()


# --- addresses and passwords -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.db",
        "host=localhost password=hidden-word",
        "mysql://u:hidden-word@h/d",
        "postgresql://u:hidden-word@ss@h/d",
        "postgresql://u:hidden-word/x@h/d",
        "postgresql://u:1/hidden-word@h/d",
        "postgresql://u:p@h/d?nosuch=hidden-word",
        "postgresql://u:hidden-word%zz@h/d",
    ],
)
def test_a_url_that_cannot_be_understood_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be understood: it is of the form") as caught:
        LocalKms.open_postgresql(url, root_key=_KEY)

    assert "hidden-word" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("schema", ["", "A", "a-b", 'a"b', "pg_keys", "1a", "a" * 64, "a b", "a;drop"])
def test_a_schema_that_cannot_be_one_is_misuse(schema: str) -> None:
    with pytest.raises(UsageError, match="no schema for keys can be called"):
        LocalKms.open_postgresql("postgresql://h/d", root_key=_KEY, schema=schema)


def test_other_kinds_of_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="a URL is text"):
        LocalKms.open_postgresql(b"postgresql://h/d", root_key=_KEY)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="give 32 bytes"):
        LocalKms.open_postgresql("postgresql://h/d", root_key="text")  # type: ignore[arg-type]


def _wrong_password(server: Postgres) -> str:
    return server.asked_url.replace(quote(PASSWORD, safe=""), "hidden-word")


def _no_server(server: Postgres) -> str:
    return f"postgresql://u:hidden-word@127.0.0.1:{free_port()}/d"


def _no_database(server: Postgres) -> str:
    return server.asked_url.replace("/postgres", "/nowhere")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (_wrong_password, "password authentication failed|does not let the user in"),
        (_no_server, "cannot be reached: .*refused"),
        (_no_database, "does not exist|no such database"),
    ],
)
def test_a_database_that_lets_nobody_in_is_an_error_of_the_store(
    postgres_server: Postgres, url: Callable[[Postgres], str], said: str
) -> None:
    with pytest.raises(KeyStoreError, match=said) as caught:
        LocalKms.open_postgresql(url(postgres_server), root_key=_KEY)

    for secret in ("hidden-word", PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in str(caught.value)


def test_a_user_who_may_not_make_tables_is_told_so(postgres_server: Postgres, open_it: Open, empty_schema: str) -> None:
    postgres_server.execute(f"CREATE SCHEMA {empty_schema}")
    with pytest.raises(KeyStoreError, match="the user may not do what a key store has to"):
        open_it(postgres_server.asked_url)


def test_no_password_is_shown_and_nothing_is_pickled(postgres_server: Postgres, empty_schema: str) -> None:
    store = PostgresqlStore.open(postgres_server.asked_url, _KEY, system_random, schema=empty_schema)
    for part in (store, store._place, store._connections, store._in_force, store._in_force.keeper):
        assert PASSWORD not in repr(part)
        assert quote(PASSWORD, safe="") not in repr(part)
        for attempt in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                attempt(part)
    store.close()


# --- several servers -------------------------------------------------------------------------------------------------


def test_what_one_changes_is_in_force_on_the_other_at_its_next_call(open_it: Open, refused: Any) -> None:
    one, other = open_it(), open_it()
    key_id = _key(one)
    for _ in range(20):
        other.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        one.disable_key(KeyId=key_id)
        with refused("DisabledException"):
            other.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        other.enable_key(KeyId=key_id)
        one.generate_data_key(KeyId=key_id, KeySpec="AES_256")


def test_figures_drop_nothing_that_others_have_at_hand(postgres_server: Postgres, empty_schema: str) -> None:
    store = PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=empty_schema)
    before = store.version()
    with store.write() as change:
        change.add_usage("2026-01", {})
    with store.write() as change:
        change.key(_scope(), "nowhere")
    assert store.version() == before
    with store.write() as change:
        change.remove_access_key("nowhere")
    assert store.version() != before
    store.close()


def _scope() -> Any:
    from envelope_sdk.local_kms.identifiers import Scope

    return Scope("000000000000", "us-east-1")


def test_a_change_that_failed_is_none(postgres_server: Postgres, empty_schema: str) -> None:
    store = PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=empty_schema)
    kms = LocalKms(store)
    _key(kms)
    before = store.version()

    def fail_midway() -> None:
        with store.write() as change:
            change.remove_access_key("nowhere")
            change.connection.execute("DELETE FROM keys")
            raise LookupError

    with pytest.raises(LookupError):
        fail_midway()
    assert store.version() == before
    assert len(kms.list_keys()["Keys"]) == 1
    kms.close()


def test_a_change_within_a_change_of_the_same_thread_is_misuse(postgres_server: Postgres, empty_schema: str) -> None:
    store = PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=empty_schema)
    with store.write(), pytest.raises(UsageError, match="in the middle of a change"), store.write():
        pass
    with store.write(), store.read() as look:
        assert look.keys(_scope(), "", 10) == []
    with store.read(), store.write():
        pass
    store.close()


def test_a_store_locked_for_too_long_may_be_tried_again(
    postgres_server: Postgres, open_it: Open, empty_schema: str, refused: Any
) -> None:
    holder = PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=empty_schema)
    store = PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=empty_schema, patience=0.05)
    kms = LocalKms(store)
    with holder.write():
        with refused("DependencyTimeoutException"):
            kms.create_key()
        assert kms.list_keys()["Keys"] == []
    _key(kms)
    kms.close()
    holder.close()


def test_text_with_a_null_character_is_refused(open_it: Open, refused: Any) -> None:
    with refused("ValidationException"):
        open_it().create_key(Description="a\0b")


def test_a_new_root_key_reaches_the_other_server(open_it: Open, tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    one, other = open_it(root_key=file), open_it(root_key=file)
    blob = _blob(one)
    one.rotate_root_key(file)

    assert other.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    assert one.decrypt(CiphertextBlob=_blob(other))["Plaintext"] == b"secret"
    one.rotate_root_key(Passphrase("correct horse"))
    with pytest.raises(KeyStoreError, match=r"was changed while the key store was open: .*a passphrase"):
        other.create_key()
    assert open_it(root_key=Passphrase("correct horse")).decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_a_new_root_key_file_may_be_taken_to_another_host_beforehand(open_it: Open, tmp_path: Path) -> None:
    here, there = tmp_path / "here.key", tmp_path / "there.key"
    one = open_it(root_key=here)
    there.write_bytes(here.read_bytes())
    there.chmod(0o600)
    other = open_it(root_key=there)
    blob = _blob(one)
    (tmp_path / "new.key").write_text(base64.b64encode(_OTHER).decode())
    (tmp_path / "new.key").chmod(0o600)
    waiting = tmp_path / "there.key.new"
    waiting.write_text(base64.b64encode(_OTHER).decode())
    waiting.chmod(0o600)
    one.rotate_root_key(tmp_path / "new.key")

    assert other.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_backups_are_made_with_postgresqls_own_tools(open_it: Open, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pg_dump"):
        open_it().backup(tmp_path / "copy.db")


# --- connections -----------------------------------------------------------------------------------------------------


def test_connections_are_used_again(postgres_server: Postgres, open_it: Open) -> None:
    kms = open_it()
    for _ in range(20):
        _key(kms)
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'envelope-sdk'"

    assert postgres_server.execute(query)[0][0] <= 2


def test_a_connection_that_the_server_ended_is_replaced_unseen(postgres_server: Postgres, open_it: Open) -> None:
    kms = open_it()
    blob = _blob(kms)
    for call in (lambda: kms.decrypt(CiphertextBlob=blob), kms.create_key, kms.list_keys):
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'envelope-sdk'"
        )
        assert call()


def test_a_connection_lost_in_the_middle_of_a_change_undoes_it(
    postgres_server: Postgres, empty_schema: str, refused: Any
) -> None:
    store = PostgresqlStore.open(postgres_server.url, _KEY, system_random, schema=empty_schema)
    kms = LocalKms(store)
    _key(kms)
    with refused("DependencyTimeoutException"), store.write() as change:
        change.connection.execute("DELETE FROM keys")
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'envelope-sdk'"
        )
    assert len(kms.list_keys()["Keys"]) == 1
    _key(kms)
    kms.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_is_away_for_a_while(
    postgres_server: Postgres, open_it: Open, refused: Any, how: signal.Signals
) -> None:
    kms = open_it()
    blob = _blob(kms)
    postgres_server.stop(how)
    try:
        for _ in range(2):
            with refused("DependencyTimeoutException"):
                kms.decrypt(CiphertextBlob=blob)
            with refused("DependencyTimeoutException"):
                kms.create_key()
    finally:
        postgres_server.start()

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    _key(kms)


def test_a_server_that_only_reads_is_not_written_to(
    postgres_server: Postgres, open_it: Open, refused: Any, empty_schema: str
) -> None:
    kms = open_it()
    postgres_server.execute("ALTER ROLE tests SET default_transaction_read_only = on")
    try:
        with pytest.raises(KeyStoreError, match=r"cannot be reached: .*session is read-only"):
            open_it()
    finally:
        # A connection that reads only cannot change that.
        postgres_server.execute("SET default_transaction_read_only = off", "ALTER ROLE tests RESET ALL")
    _key(kms)


def _measures(frame: FrameType | None) -> bool:
    """Return whether coverage.py, where tests are measured, is in the middle of something of its own."""
    while frame is not None:
        if f"{os.sep}coverage{os.sep}" in frame.f_code.co_filename:
            # What runs programs, for "coverage run", is outermost all the time.
            return not frame.f_code.co_filename.endswith(("cmdline.py", "execfile.py"))
        frame = frame.f_back
    return False


@pytest.mark.slow
# A finalizer cannot raise: Python reports what comes in the middle of one, and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_time_leaves_nothing_locked_or_half_done(
    postgres_server: Postgres, open_it: Open, empty_schema: str
) -> None:
    kms = open_it()
    key_id = _key(kms)
    choose = random.Random(7)

    def interrupt(_: int, frame: FrameType | None) -> None:
        if _measures(frame):
            # Its lock would never be let go of again. A moment later it is elsewhere.
            signal.setitimer(signal.ITIMER_REAL, 0.0001)
            return
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for _ in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, choose.uniform(0.0001, 0.006))
                _key(kms)
                kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            kms.update_key_description(KeyId=key_id, Description=str(interrupted))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    half_made = postgres_server.execute(
        f"SELECT key_id FROM {empty_schema}.keys WHERE material_id NOT IN"
        f" (SELECT material_id FROM {empty_schema}.materials)"
    )
    open_now = postgres_server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'envelope-sdk' AND state LIKE 'idle in%'"
    )

    assert interrupted > 20
    assert (half_made, open_now) == ([], [(0,)])


def test_a_closed_kms_says_so(open_it: Open) -> None:
    kms = open_it()
    kms.close()
    kms.close()
    for call in (kms.list_keys, kms.create_key):
        with pytest.raises(KeyStoreError, match="it is closed"):
            call()


def test_after_a_fork_the_child_is_told_to_open_again_and_the_parent_goes_on(open_it: Open) -> None:
    kms = open_it()
    key_id = _key(kms)

    def use() -> bool:
        try:
            kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        except KeyStoreError as error:
            kms.close()
            return "open it again" in str(error)
        return False

    assert in_child(use) == 0
    assert kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")


def test_without_psycopg_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('not here')\n")
    code = (
        "from envelope_sdk.local_kms import LocalKms\n"
        "try:\n    LocalKms.open_postgresql('postgresql://h/d', root_key=bytes(32))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )

    assert ran.stdout.startswith(
        "KeyStoreError keys in PostgreSQL need psycopg 3: pip install 'envelope-sdk[postgresql]'"
    )


class _Error(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("Key (account)=(hidden) already exists")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    "state", ["08006", "57P01", "57P03", "25006", "25P03", "40001", "40P01", "53300", "55P03", "57014"]
)
def test_what_may_pass_may_be_tried_again(state: str) -> None:
    found = translate(_Error(state), "the database")

    assert isinstance(found, KmsServiceError)
    assert (found.code, found.response["ResponseMetadata"]["HTTPStatusCode"]) == ("DependencyTimeoutException", 503)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("28P01", "it does not let the user in"),
        ("3D000", "there is no such database"),
        ("42501", "the user may not do what a key store has to"),
        ("53100", "its disk is full"),
        ("XX001", "it is damaged; restore it from a backup"),
        ("23503", "what it holds contradicts itself; restore it from a backup"),
        ("42601", "_Error 42601"),
    ],
)
def test_errors_are_put_into_words_that_quote_nothing(state: str, said: str) -> None:
    assert str(translate(_Error(state), "the database")) == f"the database cannot be used: {said}"
