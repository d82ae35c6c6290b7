"""Encrypted files written through fsspec: they appear whole or not at all, wherever they are written to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import io
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.key_files import client_of_key, key_file

from envelope_sdk import Client
from envelope_sdk.errors import AuthenticationError, KeyringError, NoMatchingKeyError, StreamError, UsageError
from envelope_sdk.keyrings import RawAesKeyring

fsspec = pytest.importorskip("fsspec")

from fsspec.implementations.dirfs import DirFileSystem  # noqa: E402
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402
from testkit.object_store import ObjectStore  # noqa: E402

from envelope_sdk.integrations.fsspec import EncryptedFileSystem  # noqa: E402

TRUTH = os.urandom(100_000)


@pytest.fixture
def client() -> Client:
    return client_of_key(frame_length=1000)


@pytest.fixture
def memory() -> MemoryFileSystem:
    fs = MemoryFileSystem(skip_instance_cache=True)
    fs.store, fs.pseudo_dirs = {}, [""]
    return fs


PLACES = ("local", "store", "memory")


@pytest.fixture(params=PLACES)
def fs(request: pytest.FixtureRequest, client: Client, memory: MemoryFileSystem) -> EncryptedFileSystem:
    targets = {"local": fsspec.filesystem("file"), "store": ObjectStore(), "memory": memory}
    return EncryptedFileSystem(targets[request.param], client=client)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path}/file"


# --- whole, or not at all --------------------------------------------------------------------------------------------


def test_what_is_written_is_read_and_is_encrypted(fs: EncryptedFileSystem, path: str):
    with fs.open(path, "wb", block_size=2**16) as file:
        for start in range(0, len(TRUTH), 777):
            file.write(TRUTH[start : start + 777])

    assert fs.cat(path) == TRUTH
    assert TRUTH[:100] not in fs.target.cat(path)


def test_nothing_is_seen_before_the_message_is_whole(fs: EncryptedFileSystem, path: str):
    fs.pipe(path, b"older")

    with fs.open(path, "wb") as file:
        file.write(TRUTH)
        file.flush()
        assert fs.cat(path) == b"older"

    assert fs.cat(path) == TRUTH


def test_a_block_that_fails_leaves_nothing(fs: EncryptedFileSystem, path: str):
    with pytest.raises(KeyError), fs.open(path, "wb") as file:  # noqa: PT012
        file.write(TRUTH)
        raise KeyError

    assert not fs.exists(path)
    assert getattr(fs.target, "uploads", []) == []


@pytest.mark.parametrize("options", [{"mode": "wb"}, {"mode": "wt"}, {"mode": "wb", "compression": "gzip"}], ids=str)
def test_a_block_that_fails_leaves_nothing_through_files_that_only_close(tmp_path: Path, options: dict[str, Any]):
    url = f"esdk::file://{tmp_path}/file"

    with pytest.raises(KeyError), fsspec.open(url, esdk={"client": client_of_key()}, **options) as file:  # noqa: PT012
        file.write("abc" if options["mode"] == "wt" else b"abc")
        raise KeyError

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("over", [io.TextIOWrapper, io.BufferedWriter, contextlib.closing])
def test_a_block_that_fails_leaves_nothing_through_whatever_closes_what_is_below(
    fs: EncryptedFileSystem, path: str, over: Callable[[Any], Any]
):
    with pytest.raises(KeyError), over(fs.open(path, "wb")) as file:  # noqa: PT012
        file.write("abc" if over is io.TextIOWrapper else b"abc")
        raise KeyError
    with over(fs.open(f"{path}-2", "wb")) as file:
        file.write("abc" if over is io.TextIOWrapper else b"abc")

    assert not fs.exists(path)
    assert fs.cat(f"{path}-2") == b"abc"


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("mode", ["wt", "wb"])
def test_a_block_of_text_or_compression_that_fails_leaves_nothing(
    fs: EncryptedFileSystem, path: str, compression: str | None, mode: str
):
    with pytest.raises(KeyError), fs.open(path, mode, compression=compression) as file:  # noqa: PT012
        file.write("abc" if mode == "wt" else b"abc")
        raise KeyError

    assert not fs.exists(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("mode", ["wt", "wb"])
def test_a_file_is_given_up_where_that_is_said(fs: EncryptedFileSystem, path: str, compression: str | None, mode: str):
    with fs.open(path, mode, compression=compression) as file:
        file.write("abc" if mode == "wt" else b"abc")
        file.discard()

    assert not fs.exists(path)
    assert getattr(fs.target, "uploads", []) == []


def test_closing_while_an_error_is_handled_is_a_decision(fs: EncryptedFileSystem, path: str):
    pieces = iter([b"a", b"b"])
    file = fs.open(path, "wb")
    while True:
        try:
            file.write(next(pieces))
        except StopIteration:
            file.close()
            break
    try:
        {}["absent"]
    except KeyError:
        with fs.open(f"{path}-2", "wb") as report:
            report.write(b"a key error")

    assert fs.cat(path) == b"ab"
    assert fs.cat(f"{path}-2") == b"a key error"


def test_a_file_that_is_dropped_is_discarded(fs: EncryptedFileSystem, path: str):
    file = fs.open(path, "wb")
    file.write(TRUTH)

    with pytest.warns(ResourceWarning):
        del file

    assert not fs.exists(path)


@pytest.mark.parametrize(("failing", "number"), [("begin", 1), ("part", 1), ("part", 2), ("part", 3), ("complete", 1)])
def test_an_upload_that_fails_in_any_of_its_requests_leaves_nothing(client: Client, failing: str, number: int):
    store, seen = ObjectStore(), []
    fs = EncryptedFileSystem(store, client=client)

    def fail(request: str) -> None:
        seen.append(request)
        if seen.count(failing) == number and request == failing:
            raise OSError(errno.ECONNRESET, "the store is gone")

    store.before = fail

    with pytest.raises(ConnectionResetError), fs.open("file", "wb", block_size=2**15) as file:  # noqa: PT012
        file.write(TRUTH)
        file.write(TRUTH)

    assert store.objects == {}
    assert store.uploads == []


def test_a_disk_that_is_full_leaves_nothing(client: Client):
    fs = EncryptedFileSystem(target_protocol="file", client=client)

    with pytest.raises(OSError):
        fs.pipe("/dev/full/file", TRUTH)
    with pytest.raises(OSError):
        fs.open("/dev/full", "wb")


def waiting() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("envelope-*"))


def test_messages_too_long_for_memory_wait_on_the_disk(memory: MemoryFileSystem, path: str):
    fs = EncryptedFileSystem(memory, client=client_of_key())
    long = os.urandom(2**20) * 10

    before = waiting()

    with fs.open(path, "wb") as file:
        file.write(long)
        mine = waiting() - before
        assert mine
    with pytest.raises(KeyError), fs.open(f"{path}-2", "wb") as file:  # noqa: PT012
        file.write(long)
        raise KeyError

    assert fs.cat(path) == long
    assert not mine & waiting()
    assert fs.ls(str(Path(path).parent), detail=False) == [path]


def test_what_opening_alone_would_empty_is_not_opened_before_the_message_is_whole(client: Client):
    class Eager(MemoryFileSystem):
        """Files that cannot be held back, in a filesystem that is asynchronous below."""

        async_impl = True

    memory = Eager(skip_instance_cache=True)
    memory.store, memory.pseudo_dirs = {}, [""]
    fs = EncryptedFileSystem(memory, client=client)
    fs.pipe("/file", b"older")

    with pytest.raises(KeyError), fs.open("/file", "wb") as file:  # noqa: PT012
        file.write(TRUTH)
        assert fs.cat("/file") == b"older"
        raise KeyError

    assert fs.cat("/file") == b"older"


def test_an_upload_within_a_folder_of_a_store_is_held_back_too(client: Client):
    store = ObjectStore()
    fs = EncryptedFileSystem(DirFileSystem("folder", store), client=client)

    with fs.open("file", "wb", block_size=2**15) as file:
        file.write(TRUTH)
        assert len(store.uploads) == 1

    assert list(store.objects) == ["folder/file"]
    assert fs.cat("file") == TRUTH


def test_a_file_within_a_folder_of_the_disk_appears_whole_too(client: Client, tmp_path: Path):
    fs = EncryptedFileSystem(DirFileSystem(str(tmp_path), fsspec.filesystem("file")), client=client)
    fs.pipe("file", b"older")
    with (tmp_path / "file").open("rb") as older:
        fs.pipe("file", TRUTH)

        # What was replaced in one step is still there for who has it open.
        assert client.decrypt(older.read()).plaintext == b"older"
    assert fs.cat("file") == TRUTH


def test_creating_refuses_to_replace(fs: EncryptedFileSystem, path: str):
    with fs.open(path, "xb") as file:
        file.write(b"first")
    with pytest.raises(FileExistsError):
        fs.open(path, "xb")
    with fs.open(f"{path}-2", "x") as file:
        file.write("first")
        fs.pipe(f"{path}-2", b"second")
        with pytest.raises(FileExistsError):
            file.close()

    assert fs.cat(path) == b"first"
    assert fs.cat(f"{path}-2") == b"second"


def test_putting_refuses_to_replace_where_it_is_to_create(fs: EncryptedFileSystem, path: str, tmp_path: Path):
    (tmp_path / "plain").write_bytes(TRUTH)
    fs.put_file(f"{tmp_path}/plain", path, mode="create")

    with pytest.raises(FileExistsError):
        fs.put_file(f"{tmp_path}/plain", path, mode="create")

    assert fs.cat(path) == TRUTH


def test_folders_are_made_where_the_local_filesystem_is_to_make_them(tmp_path: Path, client: Client):
    with pytest.raises(FileNotFoundError):
        EncryptedFileSystem(fsspec.filesystem("file"), client=client).pipe(f"{tmp_path}/a/b", b"content")

    fs = EncryptedFileSystem(fsspec.filesystem("file", auto_mkdir=True), client=client)
    fs.pipe(f"{tmp_path}/a/b", b"content")

    assert fs.cat(f"{tmp_path}/a/b") == b"content"


# --- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_shows_all_at_its_end(fs: EncryptedFileSystem, path: str):
    with fs.transaction:
        fs.pipe(f"{path}-1", b"one")
        fs.pipe(f"{path}-2", b"two")
        assert not fs.exists(f"{path}-1")

    assert fs.cat([f"{path}-1", f"{path}-2"]) == {f"{path}-1": b"one", f"{path}-2": b"two"}


def test_a_transaction_that_fails_shows_nothing(fs: EncryptedFileSystem, path: str):
    with pytest.raises(KeyError), fs.transaction:  # noqa: PT012
        fs.pipe(f"{path}-1", TRUTH)
        file = fs.open(f"{path}-2", "wb")
        file.write(b"two")
        raise KeyError

    assert not fs.exists(f"{path}-1")
    assert not fs.exists(f"{path}-2")
    assert getattr(fs.target, "uploads", []) == []


@given(st.lists(st.sampled_from(["whole", "text", "failed", "discarded", "open"]), max_size=5), st.booleans())
def test_a_transaction_is_all_that_was_written_whole_or_nothing(ends: list[str], fails: bool):
    store = ObjectStore()
    fs = EncryptedFileSystem(store, client=client_of_key(frame_length=1000))

    def write(name: str, end: str) -> None:
        file = fs.open(name, "wt" if end == "text" else "wb")
        with contextlib.suppress(KeyError):
            if end == "open":
                file.write(b"content")
                return
            with file:
                file.write("content" if end == "text" else b"content")
                if end == "failed":
                    raise KeyError
                if end == "discarded":
                    file.discard()

    with contextlib.suppress(StreamError, ZeroDivisionError), fs.transaction:
        for number, end in enumerate(ends):
            write(f"{number}", end)
        assert store.objects == {}
        if fails:
            raise ZeroDivisionError

    whole = {f"{number}" for number, end in enumerate(ends) if end in ("whole", "text")}
    assert set(store.objects) == (set() if fails or "open" in ends else whole)
    assert store.uploads == []
    assert not fs._intrans


def test_a_file_that_is_not_whole_is_not_committed(fs: EncryptedFileSystem, path: str):
    file = fs.open(path, "wb", autocommit=False)
    file.write(b"half")

    with pytest.raises(StreamError):
        file.commit()
    file.close()
    assert not fs.exists(path)
    file.commit()
    with pytest.raises(StreamError):
        file.commit()

    assert fs.cat(path) == b"half"


def test_a_file_that_failed_within_a_transaction_is_none_of_it(fs: EncryptedFileSystem, path: str):
    with fs.transaction:
        fs.pipe(f"{path}-1", b"one")
        with contextlib.suppress(KeyError), fs.open(f"{path}-2", "wb") as file:
            file.write(b"half")
            raise KeyError
        fs.pipe(f"{path}-3", b"three")

    assert fs.cat(f"{path}-1") == b"one"
    assert not fs.exists(f"{path}-2")
    assert fs.cat(f"{path}-3") == b"three"


def test_a_file_left_open_keeps_the_whole_transaction_back(fs: EncryptedFileSystem, path: str):
    with pytest.raises(StreamError, match="file-2 was not closed within its transaction"), fs.transaction:  # noqa: PT012
        fs.pipe(f"{path}-1", TRUTH)
        fs.open(f"{path}-2", "wb").write(TRUTH)

    assert not fs.exists(f"{path}-1")
    assert not fs.exists(f"{path}-2")
    assert getattr(fs.target, "uploads", []) == []


def test_a_transaction_of_which_a_file_cannot_be_committed_gives_up_the_rest_and_ends(client: Client):
    store = ObjectStore()
    fs = EncryptedFileSystem(store, client=client)

    def fail(request: str) -> None:
        if request == "complete" and "two" not in store.objects and "one" in store.objects:
            raise ConnectionResetError("the store is gone")

    store.before = fail
    with pytest.raises(ConnectionResetError) as raised, fs.transaction:  # noqa: PT012
        for name in ("one", "two", "three"):
            fs.pipe(name, TRUTH)

    assert raised.value.__notes__ == ["of a transaction of 3 files, 1 had their names by then"]
    assert fs.ls("", detail=False) == ["one"]
    assert store.uploads == []
    store.before = lambda request: None
    fs.pipe("four", b"at once")
    assert fs.cat("four") == b"at once"


def test_what_is_committed_by_hand_is_held_by_nothing_else(fs: EncryptedFileSystem, path: str):
    fs.open(path, "wb", autocommit=False)

    assert gc.collect() >= 0
    assert fs._transaction is None


# --- moving, copying, removing ---------------------------------------------------------------------------------------


def test_messages_are_copied_and_moved_as_they_are(fs: EncryptedFileSystem, path: str):
    fs.pipe(path, TRUTH)
    message = fs.target.cat(path)

    fs.cp(path, f"{path}-2")
    fs.mv(path, f"{path}-3")

    assert fs.target.cat(f"{path}-2") == fs.target.cat(f"{path}-3") == message
    assert not fs.exists(path)
    fs.rm([f"{path}-2", f"{path}-3"])
    assert not fs.exists(f"{path}-3")


def test_a_folder_is_moved_with_all_that_is_shown_in_it_and_nothing_else(memory: MemoryFileSystem, client: Client):
    fs = EncryptedFileSystem(memory, client=client, suffix=".enc")
    fs.makedirs("/folder/deeper")
    fs.pipe({"/folder/a": b"a", "/folder/deeper/b": b"b"})
    memory.pipe("/folder/notes.txt", b"not encrypted")

    fs.mv("/folder", "/moved", recursive=True)

    assert fs.cat(fs.find("/moved")) == {"/moved/a": b"a", "/moved/deeper/b": b"b"}
    assert memory.find("/folder") == ["/folder/notes.txt"]
    assert not memory.exists("/folder/deeper")


def test_what_lies_deeper_than_is_moved_stays(tmp_path: Path, client: Client):
    fs = EncryptedFileSystem(fsspec.filesystem("file", auto_mkdir=True), client=client)
    fs.pipe({f"{tmp_path}/folder/{name}": b"content" for name in ("a", "b", "deeper/deepest/c")})

    fs.mv(f"{tmp_path}/folder", f"{tmp_path}/moved", recursive=True, maxdepth=1)

    assert fs.find(str(tmp_path)) == [
        f"{tmp_path}/{name}" for name in ("folder/deeper/deepest/c", "moved/a", "moved/b")
    ]


def test_a_folder_whose_files_were_all_moved_is_gone(fs: EncryptedFileSystem, path: str):
    fs.makedirs(f"{path}/deeper")
    fs.pipe({f"{path}/a": b"a", f"{path}/deeper/b": b"b"})

    fs.mv(path, f"{path}-2", recursive=True)

    assert fs.cat(fs.find(f"{path}-2")) == {f"{path}-2/a": b"a", f"{path}-2/deeper/b": b"b"}
    assert not fs.exists(path)


def test_a_folder_is_moved_only_where_that_is_said(tmp_path: Path, client: Client):
    fs = EncryptedFileSystem(target_protocol="file", client=client)
    fs.makedirs(f"{tmp_path}/folder/empty")

    with pytest.raises(IsADirectoryError, match="recursive=True"):
        fs.mv(f"{tmp_path}/folder", f"{tmp_path}/moved")

    assert fs.isdir(f"{tmp_path}/folder/empty")


def test_a_file_that_is_moved_to_where_it_is_stays(fs: EncryptedFileSystem, path: str):
    folder = str(Path(path).parent)
    fs.makedirs(folder, exist_ok=True)
    fs.pipe(path, b"content")

    fs.mv(path, path)
    for sources in (path, [path], f"{folder}/*"):
        with pytest.raises(OSError, match="are the same file"):
            fs.mv(sources, f"{folder}/")

    assert fs.cat(path) == b"content"


def test_files_are_put_and_got(fs: EncryptedFileSystem, path: str, tmp_path: Path):
    (tmp_path / "plain").write_bytes(TRUTH)

    fs.put(f"{tmp_path}/plain", path)
    fs.get(path, f"{tmp_path}/again")

    assert (tmp_path / "again").read_bytes() == TRUTH
    assert fs.size(path) == len(TRUTH)
    assert fs.target.cat(path) != TRUTH


def test_a_file_that_was_altered_is_not_got(client: Client, tmp_path: Path):
    store = ObjectStore()
    message = bytearray(client.encrypt(TRUTH).ciphertext)
    message[-2000] ^= 1
    store.put_object("file", bytes(message))

    with pytest.raises(AuthenticationError):
        EncryptedFileSystem(store, client=client).get("file", f"{tmp_path}/plain")

    assert list(tmp_path.iterdir()) == []


def test_times_and_keys_of_content_are_those_below(fs: EncryptedFileSystem, path: str):
    if isinstance(fs.target, ObjectStore):
        pytest.skip("it tells no times")
    fs.pipe(path, b"one")

    assert fs.modified(path) == fs.target.modified(path)
    assert fs.created(path) == fs.target.created(path)
    before = fs.ukey(path)
    fs.pipe(path, b"two")
    assert fs.ukey(path) != before
    assert fs.checksum(path) == fs.target.checksum(path)


def test_an_empty_file_is_touched(fs: EncryptedFileSystem, path: str):
    fs.touch(path)

    assert fs.cat(path) == b""
    assert fs.size(path) == 0


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_suffix_is_added_below_and_not_seen_here(tmp_path: Path):
    fs = EncryptedFileSystem(target_protocol="file", client=client_of_key(), suffix=".enc")
    fs.makedirs(f"{tmp_path}/folder")
    fs.pipe(f"{tmp_path}/folder/table.csv", b"1,250")
    (tmp_path / "folder" / "notes.txt").write_text("plain")

    assert sorted(entry.name for entry in (tmp_path / "folder").iterdir()) == ["notes.txt", "table.csv.enc"]
    for found in (fs.ls(f"{tmp_path}/folder", detail=False), fs.find(str(tmp_path)), fs.glob(f"{tmp_path}/*/*.csv")):
        assert found == [f"{tmp_path}/folder/table.csv"]
    assert fs.info(f"{tmp_path}/folder/table.csv")["size"] == 5
    assert fs.isdir(f"{tmp_path}/folder")
    assert not fs.exists(f"{tmp_path}/folder/notes.txt")
    assert not fs.exists(f"{tmp_path}/folder/table.csv.enc")
    fs.mv(f"{tmp_path}/folder/table.csv", f"{tmp_path}/folder/b.csv")
    assert fs.ls(f"{tmp_path}/folder/b.csv", detail=False) == [f"{tmp_path}/folder/b.csv"]
    assert fs.modified(f"{tmp_path}/folder/b.csv") == fs.target.modified(f"{tmp_path}/folder/b.csv.enc")
    assert fs.created(f"{tmp_path}/folder") == fs.target.created(f"{tmp_path}/folder")
    fs.rm(f"{tmp_path}/folder", recursive=True)
    assert not (tmp_path / "folder").exists()


def test_what_has_no_suffix_hides_nothing_that_has(memory: MemoryFileSystem, client: Client):
    fs = EncryptedFileSystem(memory, client=client, suffix=".enc")
    fs.pipe("/folder/table", b"content")
    for name in ("table", "notes.txt", ".enc"):
        memory.pipe(f"/folder/{name}", b"not encrypted")

    for found in (fs.ls("/folder", detail=False), fs.ls("/folder/table", detail=False), fs.find("/folder/table")):
        assert found == ["/folder/table"]
    assert fs.find("/folder/notes.txt") == []
    with pytest.raises(FileNotFoundError):
        fs.ls("/folder/notes.txt")


def test_urls_are_chained_ones(client: Client, tmp_path: Path):
    fs, path = fsspec.url_to_fs(f"esdk::file://{tmp_path}/file", esdk={"client": client})

    assert path == f"{tmp_path}/file"
    assert fs.unstrip_protocol(path) == f"esdk::file://{tmp_path}/file"
    for name in (f"esdk::file://{tmp_path}/file", f"esdk://{tmp_path}/file", f"file://{tmp_path}/file", path):
        assert fs._strip_protocol(name) == path


# --- what travels, and what is shared --------------------------------------------------------------------------------


def test_a_filesystem_of_named_keys_travels_without_them(tmp_path: Path):
    fs = EncryptedFileSystem(target_protocol="file", keys=key_file(tmp_path), encryption_context={"a": "b"})
    fs.pipe(f"{tmp_path}/file", b"content")

    packed = pickle.dumps(fs)

    assert pickle.loads(packed).cat(f"{tmp_path}/file") == b"content"
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).cat(f"{tmp_path}/file") == b"content"
    assert b"key-1--" not in packed
    assert "key-1--" not in json.dumps(fs.to_dict()) + str(fs.__dict__) + repr(fs) + fs._fs_token


def test_a_filesystem_with_a_client_does_not_travel(client: Client):
    fs = EncryptedFileSystem(target_protocol="file", client=client)

    for pack in (pickle.dumps, lambda one: one.to_json(), lambda one: one.to_dict()):
        with pytest.raises(TypeError, match="name the keys with keys="):
            pack(fs)


def test_filesystems_of_clients_that_look_alike_are_not_the_same(memory: MemoryFileSystem):
    # Their keys have one name and differ.
    clients = [Client(RawAesKeyring("test", "key", os.urandom(32))) for _ in range(2)]
    one, two = [fsspec.filesystem("esdk", target_protocol="memory", client=client) for client in clients]

    assert repr(clients[0]) == repr(clients[1])
    assert one != two
    assert one._fs_token != two._fs_token
    assert hash(one) != hash(two)


def test_a_configuration_that_comes_again_shares_its_client(tmp_path: Path):
    options = {"target_protocol": "file", "keys": [key_file(tmp_path)], "cache": {"max_age_seconds": 60}}

    assert EncryptedFileSystem(**options)._client is EncryptedFileSystem(**options)._client
    assert EncryptedFileSystem(**options, frame_length=4096)._client is not EncryptedFileSystem(**options)._client


def test_a_key_file_that_was_replaced_is_read_again(tmp_path: Path):
    path = Path(key_file(tmp_path))
    before = EncryptedFileSystem(target_protocol="memory", keys=str(path))
    before.pipe("/replaced/file", b"content")
    Path(key_file(tmp_path, "key-2")).replace(path)

    after = EncryptedFileSystem(target_protocol="memory", keys=str(path))

    assert before.cat("/replaced/file") == b"content"
    with pytest.raises(NoMatchingKeyError):
        after.cat("/replaced/file")


def test_a_relative_path_names_the_key_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keys = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        key_file(tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        keys.append(EncryptedFileSystem(target_protocol="file", keys="key-1.json")._client)

    assert keys[0] is not keys[1]


# --- what cannot be said ---------------------------------------------------------------------------------------------

MISUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no key": ({}, UsageError, "needs keys="),
    "no keys": ({"keys": []}, UsageError, "needs keys="),
    "no text": ({"keys": [b"secret"]}, TypeError, "URIs, as text"),
    "no file": ({"keys": "none.json"}, KeyringError, "cannot be read"),
    "policy": ({"keys": "KEY", "commitment_policy": "requir"}, UsageError, "no commitment policy"),
    "suite": ({"keys": "KEY", "algorithm_suite": "AES"}, UsageError, "no algorithm suite"),
    "cache": ({"keys": "KEY", "cache": {"max_age": 3}}, TypeError, "cache= does not describe"),
    "limits": ({"keys": "KEY", "limits": {"max": 3}}, TypeError, "limits= does not describe"),
    "context keys": ({"keys": "KEY", "required_context_keys": "table"}, TypeError, "not one text"),
    "unserializable": ({"keys": "KEY", "frame_length": object()}, TypeError, "text, numbers"),
    "misspelled": ({"keys": "KEY", "encription_context": {}}, UsageError, "did you mean 'encryption_context'"),
    "of the filesystem below": ({"keys": "KEY", "anon": True}, UsageError, "under its name"),
    "both": ({"keys": "KEY", "client": client_of_key()}, UsageError, "client= says"),
}


@pytest.mark.parametrize(("options", "kind", "words"), MISUSED.values(), ids=MISUSED)
def test_options_that_cannot_be_used_are_refused(
    options: dict[str, Any], kind: type[Exception], words: str, tmp_path: Path
):
    options = {name: key_file(tmp_path) if value == "KEY" else value for name, value in options.items()}

    with pytest.raises(kind, match=words):
        EncryptedFileSystem(target_protocol="file", **options)


def test_options_of_filesystems_of_other_urls_are_not_looked_at(tmp_path: Path):
    options = {"esdk": {"keys": key_file(tmp_path)}, "s3": {"anon": True}, "use_listings_cache": False}

    with fsspec.open(f"esdk::file://{tmp_path}/file", "wb", **options) as file:
        file.write(b"content")

    assert fsspec.open(f"esdk::file://{tmp_path}/file", **options).open().read() == b"content"


@pytest.mark.parametrize("option", ["encryption_context", "required_context_keys", "verify_first", "keys", "suffix"])
def test_options_of_the_filesystem_are_refused_for_one_file(client: Client, tmp_path: Path, option: str):
    fs = EncryptedFileSystem(target_protocol="file", client=client)
    fs.pipe(f"{tmp_path}/file", b"content")
    (tmp_path / "plain").write_bytes(b"plain")

    for use in (
        lambda **options: fs.open(f"{tmp_path}/file", **options),
        lambda **options: fs.cat_file(f"{tmp_path}/file", **options),
        lambda **options: fs.cat_ranges([f"{tmp_path}/file"], [0], [1], **options),
        lambda **options: fs.get_file(f"{tmp_path}/file", f"{tmp_path}/got", **options),
        lambda **options: fs.open(f"{tmp_path}/file-2", "w", **options),
        lambda **options: fs.pipe_file(f"{tmp_path}/file-2", b"content", **options),
        lambda **options: fs.put_file(f"{tmp_path}/plain", f"{tmp_path}/file-2", **options),
    ):
        with pytest.raises(UsageError, match=f"{option}= is an option of the filesystem"):
            use(**{option: {"table": "orders"}})

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "plain"]


def test_other_options_are_those_of_the_filesystem_below(client: Client, tmp_path: Path):
    seen: list[tuple[str, Any]] = []

    class Noting(ObjectStore):
        def _open(self, path: str, mode: str = "rb", *args: Any, version_id: Any = None, **kwargs: Any) -> Any:
            seen.append((mode, version_id))
            return super()._open(path, mode, *args, **kwargs)

        def cat_file(self, path: str, version_id: Any = None, *args: Any, **kwargs: Any) -> bytes:
            seen.append(("cat", version_id))
            return super().cat_file(path, None, *args, **kwargs)

        def pipe_file(self, path: str, value: bytes, version_id: Any = None, **kwargs: Any) -> None:
            seen.append(("pipe", version_id))
            super().pipe_file(path, value, **kwargs)

    fs = EncryptedFileSystem(Noting(), client=client)
    with fs.open("file", "wb", version_id=1) as file:
        file.write(b"content")
    with fs.open("file-2", "xb", version_id=2) as file:
        file.write(b"content")
    fs.open("file", version_id=3).close()
    fs.cat_file("file", version_id=4)
    fs.cat_file("file", 0, 1, version_id=5)
    fs.cat_ranges(["file"], [0], [1], version_id=6)
    fs.get_file("file", f"{tmp_path}/file", version_id=7)

    assert seen == [("wb", 1), ("pipe", 2), ("rb", 3), ("cat", 4), ("rb", 5), ("rb", 6), ("rb", 7)]


def test_it_stands_before_another_filesystem():
    with pytest.raises(UsageError, match="stands before another"):
        fsspec.open("esdk:///folder/file", client=client_of_key()).open()


def test_every_setting_reaches_the_client(tmp_path: Path):
    fs = EncryptedFileSystem(
        target_protocol="file",
        keys=[key_file(tmp_path), key_file(tmp_path, "key-2")],
        commitment_policy="require-encrypt-allow-decrypt",
        algorithm_suite=0x0578,
        sign=True,
        frame_length=512,
        limits={"max_encrypted_data_keys": 2},
        cache={"max_age_seconds": 60, "max_messages": 10},
        verify_first=True,
    )
    fs.pipe(f"{tmp_path}/file", TRUTH)

    with fs.open(f"{tmp_path}/file") as file:
        assert file.read(10) == TRUTH[:10]
        assert (file.header.algorithm_suite.suite_id, file.header.frame_length) == (0x0578, 512)
        assert len(file.header.encrypted_data_keys) == 2


def test_it_works_in_an_event_loop(client: Client, memory: MemoryFileSystem):
    async def main() -> bytes:
        fs = EncryptedFileSystem(memory, client=client)
        fs.pipe("/file", b"content")
        return fs.cat("/file")

    assert asyncio.run(main()) == b"content"
