"""A bucket as a place of bulk runs: what it lists, reads and writes, and what of it travels."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from testkit.guides import example
from testkit.s3 import BUCKET, Breaking, Wire, answer, nothing_left, stored

from envelope_sdk import Client, bulk
from envelope_sdk.errors import AuthenticationError, StreamError, UsageError
from envelope_sdk.integrations.s3 import S3Place
from envelope_sdk.keyrings.key_files import encode_aes_key_file

MIB = 2**20
PART = 5 * MIB


@pytest.fixture
def place(s3: Any) -> S3Place:
    return S3Place(BUCKET, "in/", s3=s3, part_size=PART)


def put(place: S3Place, name: str, *pieces: bytes, overwrite: bool = False) -> None:
    pending = place.create(name, overwrite=overwrite)
    try:
        for piece in pieces:
            assert pending.write(piece) == len(piece)
        pending.commit()
    finally:
        pending.close()


def read(place: S3Place, name: str) -> bytes:
    with place.open(name) as file:
        return file.read()


def test_it_is_a_place(place: S3Place):
    assert isinstance(place, bulk.Place)


# --- what is there --------------------------------------------------------------------------------------------------


def test_names_are_what_follows_the_prefix(place: S3Place, s3: Any):
    for key in ("in/b", "in/a/c", "in/a", "inner", "other", "in/folder/", "in/"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"" if key.endswith("/") else key.encode())

    found = list(place.list())

    assert [(entry.name, entry.size) for entry in found] == [("a", 4), ("a/c", 6), ("b", 4)]
    assert [entry.name for entry in place.list("a/")] == ["a/c"]
    assert found == [place.entry(entry.name) for entry in found]


def test_a_list_is_longer_than_a_page(place: S3Place, s3: Any, wire: Wire):
    for number in range(7):
        s3.put_object(Bucket=BUCKET, Key=f"in/{number}", Body=b"")
    wire.clear()
    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 3})

    assert [entry.name for entry in place.list()] == [str(number) for number in range(7)]
    assert wire.operations == ["ListObjectsV2"] * 3


def test_an_entry_is_another_when_the_object_was_replaced(place: S3Place):
    put(place, "a", b"one")
    before = place.entry("a")
    put(place, "a", b"two", overwrite=True)

    assert before is not None
    assert place.entry("a") not in (None, before)


def test_what_is_not_there_is_told(place: S3Place):
    assert place.entry("a") is None
    with pytest.raises(FileNotFoundError, match="NoSuchKey"):
        place.open("a")
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        list(S3Place("other-bucket", s3=place.s3).list())


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_connection_that_breaks_is_read_on_from_there(place: S3Place, wire: Wire):
    put(place, "a", b"0123456789")
    wire.bodies = lambda number, body: Breaking(body, 4) if number == 0 else body

    assert read(place, "a") == b"0123456789"
    assert wire.ranges == [None, "bytes=4-9"]


def test_one_that_breaks_again_and_again_is_an_error_of_the_system(place: S3Place, wire: Wire):
    put(place, "a", b"0123456789")
    wire.bodies = lambda _number, body: Breaking(body, 0)

    with place.open("a") as file, pytest.raises(OSError, match="the connection broke") as raised:
        file.read()
    assert any("from byte 0 on" in note for note in raised.value.__notes__)


def test_an_object_replaced_meanwhile_is_not_read_on(place: S3Place, wire: Wire):
    put(place, "a", b"0123456789")
    wire.bodies = lambda number, body: Breaking(body, 4) if number == 0 else body
    with place.open("a") as file:
        put(place, "a", b"9876543210", overwrite=True)

        with pytest.raises(StreamError, match="replaced"):
            file.read()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "AccessDenied", PermissionError), (404, "NoSuchKey", FileNotFoundError), (503, "SlowDown", OSError)],
)
def test_what_s3_answers_is_an_error_of_the_system(
    place: S3Place, wire: Wire, status: int, code: str, kind: type[OSError]
):
    wire.faults = lambda _number, _operation: answer(status, code)

    with pytest.raises(kind, match=code) as raised:
        place.open("a")

    assert raised.value.filename == "s3://bucket/in/a"
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7])
def test_what_is_written_is_there_when_it_is_committed(place: S3Place, s3: Any, size: int):
    content = (b"0123456789" * (size // 10 + 1))[:size]
    pending = place.create("a", overwrite=False)
    for start in range(0, size, 3 * MIB):
        pending.write(content[start : start + 3 * MIB])

    assert place.entry("a") is None
    pending.commit()

    assert stored(s3, "in/a") == content
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_what_fits_into_a_part_takes_one_request(place: S3Place, wire: Wire):
    put(place, "a", bytes(PART))

    assert wire.operations == ["PutObject"]


def test_no_more_than_a_part_is_held(place: S3Place, wire: Wire):
    pending = place.create("a", overwrite=False)
    for _ in range(7):
        pending.write(bytes(2 * MIB))

    assert wire.operations == ["HeadObject", "CreateMultipartUpload", "UploadPart", "UploadPart"]
    pending.close()


@pytest.mark.parametrize("size", [1, 2 * PART + 1])
def test_what_is_closed_uncommitted_was_never_there(place: S3Place, s3: Any, size: int):
    pending = place.create("a", overwrite=False)
    pending.write(bytes(size))
    pending.close()
    pending.close()

    assert nothing_left(s3)
    for use in (pending.commit, lambda: pending.write(b"more")):
        with pytest.raises(ValueError, match="closed"):
            use()


@pytest.mark.parametrize("size", [1, 2 * PART + 1])
def test_what_is_there_is_replaced_only_where_that_is_allowed(place: S3Place, s3: Any, size: int):
    put(place, "a", b"first")

    with pytest.raises(FileExistsError):
        put(place, "a", bytes(size))
    assert stored(s3, "in/a") == b"first"

    put(place, "a", bytes(size), overwrite=True)
    assert stored(s3, "in/a") == bytes(size)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.parametrize("size", [1, PART + 1])
def test_what_appeared_meanwhile_is_not_replaced(place: S3Place, s3: Any, size: int):
    pending = place.create("a", overwrite=False)
    pending.write(bytes(size))
    s3.put_object(Bucket=BUCKET, Key="in/a", Body=b"another's")

    with pytest.raises(FileExistsError):
        pending.commit()
    pending.close()

    assert stored(s3, "in/a") == b"another's"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_nothing_is_sent_in_parts_to_where_there_is_an_object(place: S3Place, wire: Wire):
    put(place, "a", b"first")
    wire.clear()

    with pytest.raises(FileExistsError):
        put(place, "a", bytes(PART + 1))
    assert wire.operations == ["HeadObject"]


@pytest.mark.parametrize(("operation", "size"), [("PutObject", 1), ("CompleteMultipartUpload", PART + 1)])
def test_an_object_whose_answer_was_lost_is_known(place: S3Place, s3: Any, operation: str, size: int):
    def lose(**_: Any) -> None:
        raise ConnectionClosedError(endpoint_url="https://s3.test")

    s3.meta.events.register(f"after-call.s3.{operation}", lose)
    put(place, "a", bytes(size))

    assert stored(s3, "in/a") == bytes(size)


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_an_upload_that_fails_leaves_nothing(place: S3Place, s3: Any, wire: Wire, operation: str):
    wire.faults = lambda _number, asked: answer(500, "InternalError") if asked == operation else None

    with pytest.raises(OSError, match="InternalError"):
        put(place, "a", bytes(PART + 1))

    assert nothing_left(s3)


def test_what_cannot_be_aborted_is_a_note_of_what_failed(place: S3Place, wire: Wire):
    failing = {"UploadPart": "InternalError", "AbortMultipartUpload": "SlowDown"}
    wire.faults = lambda _number, asked: answer(500, failing[asked]) if asked in failing else None

    with pytest.raises(OSError, match="InternalError") as raised:
        put(place, "a", bytes(PART + 1))
    assert any("its parts stay" in note and "SlowDown" in note for note in raised.value.__notes__)


def test_what_cannot_be_aborted_is_an_error_where_nothing_failed(place: S3Place, wire: Wire):
    pending = place.create("a", overwrite=False)
    pending.write(bytes(PART + 1))
    wire.faults = lambda _number, _asked: answer(500, "SlowDown")

    with pytest.raises(OSError, match="its parts stay"):
        pending.close()


def test_parameters_go_with_the_requests_that_take_them(s3: Any):
    given = {"StorageClass": "STANDARD_IA", "ExpectedBucketOwner": "123456789012", "ServerSideEncryption": "AES256"}
    place = S3Place(BUCKET, s3=s3, part_size=PART, parameters=given)

    put(place, "short", b"a")
    put(place, "long", bytes(PART + 1))

    assert read(place, "short") == b"a"
    for name in ("short", "long"):
        assert s3.head_object(Bucket=BUCKET, Key=name)["StorageClass"] == "STANDARD_IA"


# --- what travels ---------------------------------------------------------------------------------------------------


def test_a_configuration_travels(s3: Any):
    place = S3Place(BUCKET, "in/", region_name="us-east-1", parameters={"StorageClass": "STANDARD_IA"})
    sent = pickle.loads(pickle.dumps(place))

    put(sent, "a", b"hello")

    assert sent == place
    assert hash(sent) == hash(place)
    assert read(place, "a") == b"hello"


def test_a_client_does_not(place: S3Place):
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in its process"):
            leave(place)
    with pytest.raises(UsageError, match="cannot be sent"):
        bulk.run([], bulk.Encrypt(target=place), client=bulk.ClientRecipe(["a.key"]), executor=bulk.Processes)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"endpoint_url": "https://user:secret@minio.test"}, "credentials"),
        ({"parameters": {"SSECustomerKey": "secret"}}, "SSECustomerKey"),
        ({"parameters": {"IfNoneMatch": "*"}}, "IfNoneMatch"),
        ({"part_size": 5 * MIB - 1}, "part_size"),
        ({"part_size": 500 * MIB + 1}, "part_size"),
        ({"s3": object(), "profile_name": "a"}, "a client has"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], named: str):
    with pytest.raises(UsageError, match=named) as raised:
        S3Place(BUCKET, **options)
    assert "secret" not in str(raised.value)


def test_parameters_are_texts():
    with pytest.raises(TypeError, match="texts"):
        S3Place(BUCKET, parameters={"ContentType": 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", [OSError, UsageError])
def test_what_leads_nowhere_is_told_when_it_is_used(s3: Any, kind: type[Exception]):
    wrong = {"profile_name": "no-such-profile"} if kind is OSError else {"endpoint_url": "nowhere"}

    with pytest.raises(kind):
        S3Place(BUCKET, **wrong).entry("a")  # type: ignore[arg-type]


def test_its_words_tell_it_from_others(place: S3Place):
    assert place.words() == S3Place(BUCKET, "in/").words() == "s3://bucket/in/"
    assert S3Place(BUCKET, endpoint_url="http://127.0.0.1:9000").words() == "s3://bucket/ at http://127.0.0.1:9000"


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> bulk.LocalFiles:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for number in range(6):
        (tmp_path / "in" / "deep" / f"file-{number}").write_bytes(bytes([number]) * 1000 * number)
    (tmp_path / "in" / "long").write_bytes(bytes(PART * 2))
    return bulk.LocalFiles(str(tmp_path / "in"))


def same(source: bulk.Place, target: bulk.Place | None = None) -> list[bulk.Item]:
    return [bulk.Item(entry.name, entry.name, entry.size) for entry in source.list()]


def contents(place: bulk.LocalFiles) -> dict[str, bytes]:
    return {entry.name: Path(place.root, entry.name).read_bytes() for entry in place.list()}


def do(operation: bulk.Operation, client: Client, **options: Any) -> dict[str, bulk.Result]:
    with (
        ThreadPoolExecutor(4) as pool,
        bulk.run(same(operation.source), operation, client=client, executor=pool, **options) as run,
    ):
        return {result.item.source: result for result in run}


def test_a_folder_goes_into_s3_across_it_and_back(
    place: S3Place, folder: bulk.LocalFiles, client: Client, tmp_path: Path, s3: Any
):
    plain, sealed = S3Place(BUCKET, "plain/", s3=s3), S3Place(BUCKET, "sealed/", s3=s3, part_size=PART)
    back = bulk.LocalFiles(str(tmp_path / "back"))

    for operation in (
        bulk.Encrypt(folder, place),
        bulk.Decrypt(place, plain),
        bulk.Encrypt(plain, sealed),
        bulk.Decrypt(sealed, back),
    ):
        assert {result.error for result in do(operation, client).values()} == {None}

    assert contents(back) == contents(folder)
    assert len(contents(back)) == 7


def test_an_altered_message_leaves_nothing(
    place: S3Place, folder: bulk.LocalFiles, client: Client, s3: Any, tmp_path: Path
):
    do(bulk.Encrypt(folder, place), client)
    sealed = bytearray(stored(s3, "in/long"))
    sealed[-PART] ^= 1
    s3.put_object(Bucket=BUCKET, Key="in/long", Body=bytes(sealed))
    plain = S3Place(BUCKET, "plain/", s3=s3, part_size=PART)

    results = do(bulk.Decrypt(place, plain), client)

    assert isinstance(results["long"].error, AuthenticationError)
    assert [result.error for name, result in results.items() if name != "long"] == [None] * 6
    assert plain.entry("long") is None
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_an_interrupted_run_is_gone_on_with(
    place: S3Place, folder: bulk.LocalFiles, client: Client, tmp_path: Path, wire: Wire
):
    options: dict[str, Any] = {"client": client, "journal": tmp_path / "journal"}
    with bulk.run(same(folder), bulk.Encrypt(folder, place), **options) as run:
        early = [next(run).item.source for _ in range(3)]
    wire.clear()

    resumed = bulk.run(same(folder), bulk.Encrypt(folder, place), **options)
    results = {result.item.source: str(result.status) for result in resumed}

    assert results == {name: "skipped" if name in early else "done" for name in contents(folder)}
    assert wire.operations.count("PutObject") + wire.operations.count("CompleteMultipartUpload") == 4


def test_an_object_that_was_replaced_is_not_taken_for_done(
    place: S3Place, folder: bulk.LocalFiles, client: Client, tmp_path: Path
):
    do(bulk.Encrypt(folder, place), client, journal=tmp_path / "journal")
    put(place, "long", b"another's", overwrite=True)

    results = do(bulk.Encrypt(folder, place), client, journal=tmp_path / "journal")

    assert isinstance(results.pop("long").error, FileExistsError)
    assert {str(result.status) for result in results.values()} == {"skipped"}
    assert read(place, "long") == b"another's"


def test_what_s3_refuses_is_told_of_the_item(place: S3Place, folder: bulk.LocalFiles, client: Client, wire: Wire):
    wire.faults = lambda _number, _operation: answer(403, "AccessDenied")

    assert {type(result.error) for result in do(bulk.Encrypt(folder, place), client).values()} == {PermissionError}


def test_the_example_of_the_page_runs(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("documents").mkdir()
    Path("documents", "a").write_bytes(b"hello")
    Path("backup.key").write_bytes(encode_aes_key_file("test", "key-1", bytes(32)))
    Path("backup.key").chmod(0o600)

    exec(example("bulk.md", "s3"), {})

    assert s3.get_object(Bucket=BUCKET, Key="sealed/a.enc")["Body"].read() != b"hello"
    assert Path("back", "a").read_bytes() == b"hello"
    assert capsys.readouterr().out == "1 done, 0 failed\n1 done, 0 failed\n"
