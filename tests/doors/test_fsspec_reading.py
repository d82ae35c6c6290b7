"""Encrypted files read through fsspec: what comes out, what is asked of the store, and what is refused."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.key_files import client_of_key, key_file

from envelope_sdk import Client, CommitmentPolicy
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    EnvelopeError,
    MessageError,
    NoMatchingKeyError,
    SignedStreamError,
    StreamError,
    UsageError,
)
from envelope_sdk.keyrings import RawAesKeyring

fsspec = pytest.importorskip("fsspec")

from testkit.object_store import ObjectStore  # noqa: E402 - needs fsspec

from envelope_sdk.integrations.fsspec import EncryptedFileSystem  # noqa: E402
from envelope_sdk.integrations.fsspec.sizes import claimed_size  # noqa: E402

TRUTH = bytes(number * 7 % 251 for number in range(10_000))
FRAME = 1000


@pytest.fixture
def client() -> Client:
    return client_of_key(frame_length=FRAME)


@pytest.fixture
def store(client: Client) -> ObjectStore:
    store = ObjectStore()
    store.put_object("bucket/file", client.encrypt(TRUTH).ciphertext)
    return store


@pytest.fixture
def fs(client: Client, store: ObjectStore) -> EncryptedFileSystem:
    return EncryptedFileSystem(store, client=client)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_a_chained_url_opens_a_local_file(tmp_path: Path, client: Client):
    (tmp_path / "file").write_bytes(client.encrypt(TRUTH).ciphertext)

    with fsspec.open(f"esdk::file://{tmp_path}/file", esdk={"client": client}) as file:
        assert file.seek(-4, os.SEEK_END) == 9996
        assert file.read() == TRUTH[-4:]


def test_keys_are_named_by_their_uris(tmp_path: Path):
    (tmp_path / "file").write_bytes(client_of_key().encrypt(TRUTH).ciphertext)

    with fsspec.open(f"esdk::file://{tmp_path}/file", esdk={"keys": [key_file(tmp_path)]}) as file:
        assert file.read() == TRUTH


def test_only_the_frames_of_a_range_are_read(fs: EncryptedFileSystem, store: ObjectStore):
    assert fs.cat_file("bucket/file", 5500, 5600) == TRUTH[5500:5600]

    sealed = len(store.objects["bucket/file"][0])
    header = store.requests[0][2]
    rest = sum(length for _, _, length in store.requests[1:])
    assert header == min(sealed, 8192)
    assert rest <= 3 * (FRAME + 36)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bucket/file", "bucket/other"]),
            st.one_of(st.none(), st.integers(-12_000, 12_000)),
            st.one_of(st.none(), st.integers(-12_000, 12_000)),
        ),
        max_size=12,
    )
)
def test_ranges_are_those_of_plain_bytes(ranges):
    client = client_of_key(frame_length=FRAME)
    truths = {"bucket/file": TRUTH, "bucket/other": TRUTH[::-1][:4321]}
    store = ObjectStore()
    for path, truth in truths.items():
        store.put_object(path, client.encrypt(truth).ciphertext)
    fs = EncryptedFileSystem(store, client=client)

    found = fs.cat_ranges([path for path, _, _ in ranges], [s for _, s, _ in ranges], [e for _, _, e in ranges])

    assert found == [truths[path][start:end] for path, start, end in ranges]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([None, 0, 700, 5000]),
    st.lists(
        st.one_of(
            st.tuples(st.just("seek"), st.integers(0, 10_500)),
            st.tuples(st.sampled_from(["read", "readline", "read1"]), st.integers(-1, 4500)),
        ),
        max_size=20,
    ),
)
def test_moving_and_reading_is_that_of_a_plain_file(block_size: int | None, steps: list[tuple[str, int]]):
    client, store = client_of_key(frame_length=FRAME), ObjectStore()
    store.put_object("file", client.encrypt(TRUTH).ciphertext)
    plain = io.BytesIO(TRUTH)

    with EncryptedFileSystem(store, client=client).open("file", block_size=block_size) as file:
        for step, argument in steps:
            if step == "read1":
                found = file.read1(argument)
                assert len(found) > 0 or argument == 0 or plain.tell() >= len(TRUTH)
                assert found == plain.read(len(found))
            else:
                assert getattr(file, step)(argument) == getattr(plain, step)(argument)
            assert file.tell() == plain.tell()


def test_each_file_of_several_ranges_is_opened_once(fs: EncryptedFileSystem, store: ObjectStore):
    fs.cat_ranges(["bucket/file"] * 5, [0, 10, 20, 30, 40], [5, 15, 25, 35, 45])

    assert len([offset for _, offset, _ in store.requests if offset == 0]) == 1


def test_a_failing_range_stands_in_its_place(fs: EncryptedFileSystem):
    found = fs.cat_ranges(["bucket/file", "bucket/none"], [0, 0], [4, 4])

    assert found[0] == TRUTH[:4]
    assert isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["bucket/none"], [0], [4], on_error="raise")


@pytest.mark.parametrize("cache", ["none", "readahead", "bytes", "blockcache", "all"])
def test_the_caches_of_fsspec_can_be_put_over_what_is_read(fs: EncryptedFileSystem, cache: str):
    with fs.open("bucket/file", block_size=700, cache_type=cache) as file:
        file.seek(4321)
        assert file.read(3000) == TRUTH[4321:7321]
        file.seek(0)
        assert file.read() == TRUTH


def test_parts_that_were_fetched_before_are_not_fetched_again(fs: EncryptedFileSystem, store: ObjectStore):
    known = {"data": {(0, 100): TRUTH[:100]}}
    with fs.open("bucket/file", cache_type="parts", cache_options=known) as file:
        store.requests.clear()
        assert file.read(100) == TRUTH[:100]
        assert store.requests == []


def test_a_read_after_a_seek_asks_for_no_more_than_its_frames(fs: EncryptedFileSystem, store: ObjectStore):
    with fs.open("bucket/file") as file:
        store.requests.clear()
        file.seek(3500)
        assert file.read(2000) == TRUTH[3500:5500]
        assert store.bytes_read == 3 * (FRAME + 32)
        assert file.read(10) == TRUTH[5500:5510]
        assert len(store.requests) == 2


def test_a_long_read_is_one_request(fs: EncryptedFileSystem, store: ObjectStore):
    long = TRUTH * 200
    fs.pipe("bucket/long", long)
    with fs.open("bucket/long") as file:
        store.requests.clear()
        file.seek(1234)
        assert file.read(1_900_000) == long[1234:1_901_234]
        assert len(store.requests) == 1


def test_a_short_read_across_two_frames_is_none_that_goes_on(fs: EncryptedFileSystem, store: ObjectStore):
    with fs.open("bucket/file") as file:
        store.requests.clear()
        file.seek(3900)
        assert file.read(200) == TRUTH[3900:4100]
        assert store.bytes_read == 2 * (FRAME + 32)
        file.seek(7000)
        assert file.read(10) == TRUTH[7000:7010]
        assert store.bytes_read == 3 * (FRAME + 32)


def test_text_and_compression_are_of_the_plaintext(fs: EncryptedFileSystem):
    with fs.open("bucket/text.gz", "wt", compression="infer", encoding="utf-8") as file:
        file.write("größe\n" * 1000)

    with fs.open("bucket/text.gz", "rt", compression="infer", encoding="utf-8") as file:
        assert file.readlines() == ["größe\n"] * 1000
    with fsspec.open("esdk::memory://text.xz", "wt", compression="xz", esdk={"client": client_of_key()}) as file:
        file.write("abc")
    with fsspec.open("esdk::memory://text.xz", "rt", compression="xz", esdk={"client": client_of_key()}) as file:
        assert file.read() == "abc"


def test_an_archive_is_listed_without_reading_it_all(fs: EncryptedFileSystem, store: ObjectStore):
    with fs.open("bucket/archive.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("large", os.urandom(3_000_000))
        archive.writestr("small", b"here")
    store.requests.clear()

    with fs.open("bucket/archive.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["large", "small"]
        assert archive.read("small") == b"here"

    assert store.bytes_read < 100_000


def test_local_caches_hold_plaintext_before_it_and_ciphertext_behind_it(tmp_path: Path, client: Client):
    (tmp_path / "file").write_bytes(client.encrypt(TRUTH).ciphertext)
    for order in ("simplecache::esdk", "esdk::simplecache"):
        kept = tmp_path / order.replace(":", "")
        options = {"esdk": {"client": client}, "simplecache": {"cache_storage": str(kept)}}
        with fsspec.open(f"{order}::file://{tmp_path}/file", **options) as file:
            assert file.read() == TRUTH
        (held,) = [path.read_bytes() for path in kept.iterdir() if path.stat().st_size > 1000]
        assert (held == TRUTH) == (order == "simplecache::esdk")


def test_a_block_cache_chains_too(tmp_path: Path, client: Client):
    (tmp_path / "file").write_bytes(client.encrypt(TRUTH).ciphertext)
    for order in ("blockcache::esdk", "esdk::filecache"):
        cache = order.replace("esdk", "").strip(":")
        options = {"esdk": {"client": client}, cache: {"cache_storage": str(tmp_path / cache)}}
        with fsspec.open(f"{order}::file://{tmp_path}/file", **options) as file:
            file.seek(5000)
            assert file.read(10) == TRUTH[5000:5010]


def test_a_block_cache_behind_it_is_asked_before_the_store(tmp_path: Path, client: Client, store: ObjectStore):
    cached = fsspec.filesystem("blockcache", fs=store, cache_storage=str(tmp_path), skip_instance_cache=True)
    fs = EncryptedFileSystem(cached, client=client)

    def read() -> bytes:
        with fs.open("bucket/file") as file:
            file.seek(5000)
            return file.read(10)

    assert read() == TRUTH[5000:5010]
    store.requests.clear()
    assert read() == TRUTH[5000:5010]
    assert store.requests == []


def test_any_filesystem_whose_files_can_seek_stands_behind_it(tmp_path: Path, client: Client):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("file", client.encrypt(TRUTH).ciphertext)

    with fsspec.open(f"esdk::zip://file::file://{tmp_path}/archive.zip", esdk={"client": client}) as file:
        file.seek(5000)
        assert file.read(10) == TRUTH[5000:5010]


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_plaintext_and_cost_no_key(store: ObjectStore):
    store.put_object("bucket/none.txt", b"no message")
    other = EncryptedFileSystem(store, client=client_of_key("key-2"))

    sizes = {entry["name"]: (entry["size"], entry["type"]) for entry in other.ls("bucket")}

    assert sizes == {"bucket/file": (10_000, "file"), "bucket/none.txt": (None, "file")}
    assert other.info("bucket/file")["ciphertext_size"] == len(store.objects["bucket/file"][0])


@pytest.mark.parametrize("context", [{}, {"much": "x" * 20_000}], ids=["short", "long"])
@pytest.mark.parametrize("sign", [False, True])
def test_sizes_of_signed_messages_and_of_those_with_long_headers_are_listed(
    store: ObjectStore, sign: bool, context: dict[str, str]
):
    signing = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=FRAME, sign=sign)
    store.put_object("folder/file", signing.encrypt(TRUTH, encryption_context=context).ciphertext)
    fs = EncryptedFileSystem(store, client=signing)

    assert [entry["size"] for entry in fs.ls("folder")] == [10_000]


def test_what_is_no_message_counts_nothing_where_sizes_are_added_up(fs: EncryptedFileSystem, store: ObjectStore):
    store.put_object("bucket/folder/none.txt", b"no message")

    assert fs.du("bucket") == 10_000
    assert fs.du("bucket", total=False) == {"bucket/file": 10_000, "bucket/folder/none.txt": 0}
    assert fs.du("bucket/folder", total=False, withdirs=True) == {"bucket/folder": 0, "bucket/folder/none.txt": 0}
    assert fs.du("bucket", maxdepth=1) == 10_000


def test_a_link_is_listed_as_the_file_it_leads_to(tmp_path: Path, client: Client):
    fs = EncryptedFileSystem(target_protocol="file", client=client, suffix=".enc")
    (tmp_path / "folder").mkdir()
    fs.pipe(f"{tmp_path}/folder/file", TRUTH)
    (tmp_path / "link.enc").symlink_to(tmp_path / "folder" / "file.enc")
    (tmp_path / "broken.enc").symlink_to(tmp_path / "none")

    listed = {entry["name"]: entry for entry in fs.ls(str(tmp_path))}

    assert listed[f"{tmp_path}/link"]["size"] == fs.info(f"{tmp_path}/link")["size"] == 10_000
    assert listed[f"{tmp_path}/broken"]["size"] is None
    assert fs.cat(f"{tmp_path}/link") == TRUTH


def test_a_size_is_kept_only_where_another_version_would_be_noticed(client: Client, store: ObjectStore):
    class Unversioned(ObjectStore):
        def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
            return {**super().info(path, **kwargs), "ETag": None}

    store = Unversioned()
    fs = EncryptedFileSystem(store, client=client)
    # As long as each other: a longer header, and shorter content.
    store.put_object("file", client.encrypt(TRUTH[:100]).ciphertext)
    assert fs.size("file") == 100
    length = fs.info("file")["ciphertext_size"]
    store.put_object("file", client.encrypt(TRUTH[:91], encryption_context={"a": "bc"}).ciphertext)
    assert fs.info("file")["ciphertext_size"] == length

    assert fs.size("file") == 91


def test_a_size_that_the_store_did_not_tell_is_asked_for_again(fs: EncryptedFileSystem, store: ObjectStore):
    def fail(request: str) -> None:
        if request == "get":
            raise ConnectionResetError("the store is gone")

    store.before = fail
    assert [entry["size"] for entry in fs.ls("bucket")] == [None]
    store.before = lambda request: None

    assert fs.size("bucket/file") == 10_000


def test_sizes_of_very_many_files_are_looked_up_some_at_a_time(client: Client):
    together: list[int] = []

    class Noting(ObjectStore):
        def cat_ranges(self, paths: list[str], *args: Any, **kwargs: Any) -> list[Any]:
            together.append(len(paths))
            return super().cat_ranges(paths, *args, **kwargs)

    store, message = Noting(), client.encrypt(b"content").ciphertext
    for number in range(2_500):
        store.put_object(f"bucket/{number}", message)

    assert {entry["size"] for entry in EncryptedFileSystem(store, client=client).ls("bucket")} == {7}
    assert together == [1024, 1024, 452]


def test_sizes_are_looked_up_once_and_only_where_they_are_asked_for(fs: EncryptedFileSystem, store: ObjectStore):
    fs.ls("bucket", detail=False)
    fs.glob("bucket/*")
    list(fs.walk("bucket"))
    fs.exists("bucket/file")
    fs.isfile("bucket/file")
    fs.find("bucket")
    assert store.requests == []

    assert fs.size("bucket/file") == fs.du("bucket") == 10_000
    assert len(store.requests) == 1


def test_a_pattern_without_a_wildcard_is_a_name(fs: EncryptedFileSystem):
    assert fs.glob("bucket/file") == ["bucket/file"]
    assert fs.glob("bucket/file", detail=True)["bucket/file"]["size"] == 10_000
    assert fs.glob("bucket/none") == []


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 2000, 5555])
@pytest.mark.parametrize("sign", [False, True])
def test_the_size_of_any_message_is_told(length: int, sign: bool):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=FRAME, sign=sign)
    message = client.encrypt(TRUTH[:length], encryption_context={"much": "x" * 20_000}).ciphertext

    assert claimed_size(message[:8192], len(message), lambda start, end: message[start:end]) == length


def test_what_looks_like_a_length_within_a_signature_is_none():
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=FRAME, sign=True)
    message = bytearray(client.encrypt(TRUTH).ciphertext)
    message[-50:-48] = (48).to_bytes(2, "big")

    assert claimed_size(bytes(message[:8192]), len(message), lambda start, end: bytes(message[start:end])) == 10_000


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_size_that_is_wrong_is_that_of_a_message_that_does_not_open(data: st.DataObject):
    client = client_of_key(frame_length=FRAME)
    message = bytearray(client.encrypt(TRUTH[:2500]).ciphertext)
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, 200))] ^= data.draw(st.integers(1, 255))
    del message[data.draw(st.sampled_from([len(message), len(message) - 1, len(message) - 1036, 300])) :]
    store = ObjectStore()
    store.put_object("file", bytes(message))
    fs = EncryptedFileSystem(store, client=client)

    if fs.size("file") != 2500:
        with pytest.raises(EnvelopeError):
            fs.open("file")


@given(st.binary(max_size=300))
def test_whatever_the_bytes_a_size_or_none_is_told(content: bytes):
    size = claimed_size(content, len(content), lambda start, end: content[start:end])

    assert size is None or 0 <= size <= len(content)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_an_altered_frame_is_refused_and_others_are_read(fs: EncryptedFileSystem, store: ObjectStore):
    content, etag = store.objects["bucket/file"]
    altered = bytearray(content)
    altered[-5000] ^= 1
    store.objects["bucket/file"] = bytes(altered), etag

    with pytest.raises(AuthenticationError):
        fs.cat("bucket/file")
    good, bad = fs.cat_ranges(["bucket/file"] * 2, [0, 0], [100, None])
    assert good == TRUTH[:100]
    assert isinstance(bad, AuthenticationError)


def test_a_message_that_was_cut_short_is_refused_on_opening(fs: EncryptedFileSystem, store: ObjectStore):
    store.put_object("bucket/file", store.objects["bucket/file"][0][:-1036])

    with pytest.raises(MessageError):
        fs.open("bucket/file")


@pytest.mark.parametrize("conditional", [True, False])
def test_an_object_that_is_replaced_while_it_is_read_is_told_as_such(client: Client, conditional: bool):
    store = ObjectStore(conditional=conditional)
    store.put_object("file", client.encrypt(TRUTH).ciphertext)
    fs = EncryptedFileSystem(store, client=client)

    with fs.open("file", block_size=FRAME) as file:
        assert file.read(10) == TRUTH[:10]
        store.put_object("file", client.encrypt(TRUTH).ciphertext)
        file.seek(5000)
        with pytest.raises(StreamError, match="file was replaced since it was opened"):
            file.read(10)


def test_an_object_that_is_removed_while_it_is_read_is_told_as_such(fs: EncryptedFileSystem, store: ObjectStore):
    with fs.open("bucket/file") as file:
        del store.objects["bucket/file"]
        file.seek(5000)
        with pytest.raises(StreamError, match="was removed"):
            file.read(10)


def test_an_object_that_is_replaced_while_it_is_opened_is_told_as_such(client: Client, store: ObjectStore):
    requests: list[str] = []

    def replace(request: str) -> None:
        requests.append(request)
        if requests.count("get") == 2 and request == "get":
            store.put_object("bucket/file", client.encrypt(TRUTH).ciphertext)

    store.before = replace

    with pytest.raises(StreamError, match="was replaced"):
        EncryptedFileSystem(store, client=client).open("bucket/file")


def test_a_local_file_that_is_replaced_is_read_on_as_it_was(tmp_path: Path, client: Client):
    fs = EncryptedFileSystem(target_protocol="file", client=client)
    fs.pipe(f"{tmp_path}/file", TRUTH)

    with fs.open(f"{tmp_path}/file") as file:
        fs.pipe(f"{tmp_path}/file", b"other")
        assert file.read() == TRUTH


def test_failures_of_the_store_are_raised_as_they_are(fs: EncryptedFileSystem, store: ObjectStore):
    def fail(request: str) -> None:
        if request == "get":
            raise ConnectionResetError("the store is gone")

    with fs.open("bucket/file") as file:
        store.before = fail
        file.seek(5000)
        with pytest.raises(ConnectionResetError):
            file.read(10)
        store.before = lambda request: None
        assert file.read(10) == TRUTH[5000:5010]


def test_another_key_opens_nothing(store: ObjectStore):
    with pytest.raises(NoMatchingKeyError):
        EncryptedFileSystem(store, client=client_of_key("key-2")).open("bucket/file")


def test_the_context_that_is_asked_for_has_to_be_there(store: ObjectStore, client: Client):
    fs = EncryptedFileSystem(store, client=client, encryption_context={"table": "orders"})
    fs.pipe("bucket/orders", b"1,250")

    assert fs.cat("bucket/orders") == b"1,250"
    for read in (fs.cat, fs.open, lambda path: fs.cat_file(path, 0, 4)):
        with pytest.raises(NoMatchingKeyError, match="required context keys 'table'"):
            read("bucket/file")
    required = EncryptedFileSystem(store, client=client, required_context_keys=["table"])
    assert required.cat("bucket/orders") == b"1,250"
    for read in (required.cat, required.open):
        with pytest.raises(ContextMismatchError):
            read("bucket/file")


def test_signed_messages_are_read_in_parts_only_where_it_is_said_how(store: ObjectStore):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=FRAME, sign=True)
    EncryptedFileSystem(store, client=client).pipe("bucket/signed", TRUTH)

    assert EncryptedFileSystem(store, client=client).cat("bucket/signed") == TRUTH
    with pytest.raises(SignedStreamError):
        EncryptedFileSystem(store, client=client).open("bucket/signed")
    for said in ("verify_first", "release_unverified_plaintext"):
        fs = EncryptedFileSystem(store, client=client, **{said: True})
        assert fs.cat_file("bucket/signed", 5, 9) == TRUTH[5:9]


def test_a_signed_message_that_is_verified_first_is_opened_only_if_all_of_it_is_authentic(store: ObjectStore):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=FRAME, sign=True)
    fs = EncryptedFileSystem(store, client=client, verify_first=True)
    fs.pipe("bucket/signed", TRUTH)
    altered = bytearray(store.objects["bucket/signed"][0])
    altered[len(altered) // 2] ^= 1
    store.put_object("bucket/signed", bytes(altered))

    with pytest.raises(AuthenticationError):
        fs.open("bucket/signed")


def test_uncommitted_messages_are_read_where_the_policy_allows_it(tmp_path: Path):
    policy = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    old = Client(RawAesKeyring("test", "key-1", b"key-1".ljust(32, b"-")), commitment_policy=policy)
    (tmp_path / "old").write_bytes(old.encrypt(TRUTH).ciphertext)
    options = {"target_protocol": "file", "keys": key_file(tmp_path)}

    allowing = EncryptedFileSystem(**options, commitment_policy="require-encrypt-allow-decrypt")

    assert allowing.cat(f"{tmp_path}/old") == TRUTH
    with pytest.raises(EnvelopeError):
        EncryptedFileSystem(**options).cat(f"{tmp_path}/old")


@pytest.mark.parametrize("mode", ["ab", "a", "r+b", "rb+", "w+b", ""])
def test_other_modes_are_refused(fs: EncryptedFileSystem, mode: str):
    with pytest.raises(UsageError, match="write it anew"):
        fs.open("bucket/file", mode)


def test_a_signed_url_is_refused(fs: EncryptedFileSystem):
    with pytest.raises(NotImplementedError):
        fs.sign("bucket/file")
