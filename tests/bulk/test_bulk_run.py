"""Bulk runs in this process: what is told, what fails, what is held, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import Refusing, Shelf, Unsendable

from envelope_sdk import Client, bulk
from envelope_sdk.errors import AuthenticationError, KmsUnavailableError, UsageError, WorkerLostError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.local_kms import LocalKms

NAMES = [f"file-{number}" for number in range(20)]
Files = Callable[..., list[bulk.Item]]


@pytest.fixture(params=["in turn", "threads"])
def executor(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor | None]:
    if request.param == "in turn":
        yield None
    else:
        with ThreadPoolExecutor(3) as pool:
            yield pool


@pytest.fixture
def client() -> Client:
    return Client(RawAesKeyring("test", "key-1", bytes(range(32))), frame_length=1024)


# --- what is done and told -------------------------------------------------------------------------------------------


def test_every_item_is_done_and_told(recipe: bulk.ClientRecipe, files: Files, executor: Any, opens: Any) -> None:
    items = files(NAMES)

    with bulk.run(items, bulk.Encrypt(), client=recipe, executor=executor) as results:
        told = {result.item: result for result in results}

    assert set(told) == set(items)
    assert {result.status for result in told.values()} == {bulk.Status.DONE}
    assert opens(NAMES)
    for item, result in told.items():
        assert result.bytes_in == 2000
        assert result.bytes_out == Path(item.target).stat().st_size
        assert result.header is not None
        assert result.header.frame_length == 1024
        assert result.error is None


def test_what_was_encrypted_is_decrypted(
    recipe: bulk.ClientRecipe, files: Files, executor: Any, tmp_path: Path
) -> None:
    context = {"purpose": "backup"}
    items = files(NAMES)
    list(bulk.run(items, bulk.Encrypt(encryption_context=context), client=recipe, executor=executor))
    back = [bulk.Item(item.target, f"{item.source}.back") for item in items]

    decrypt = bulk.Decrypt(encryption_context=context, required_context_keys=["purpose"])
    results = list(bulk.run(back, decrypt, client=recipe, executor=executor))

    assert [result.error for result in results] == [None] * len(NAMES)
    assert {result.bytes_out for result in results} == {2000}
    for item in items:
        assert Path(f"{item.source}.back").read_bytes() == Path(item.source).read_bytes()


def test_a_live_client_serves_threads(client: Client, files: Files, executor: Any, opens: Any) -> None:
    results = list(bulk.run(files(NAMES), bulk.Encrypt(), client=client, executor=executor))

    assert len(results) == len(NAMES)
    assert opens(NAMES)


def test_objects_go_through_a_place(client: Client, executor: Any) -> None:
    shelf, sealed = Shelf(a=b"first" * 1000, b=b""), Shelf()

    items = [bulk.Item(entry.name, f"{entry.name}.enc", entry.size) for entry in shelf.list()]
    results = list(bulk.run(items, bulk.Encrypt(shelf, sealed), client=client, executor=executor))

    assert {result.item.source: result.bytes_out for result in results} == {
        name: len(sealed.objects[f"{name}.enc"]) for name in "ab"
    }
    assert client.decrypt(sealed.objects["a.enc"]).plaintext == b"first" * 1000


def test_calls_of_kms_are_told_of_each_item_and_of_all(tmp_path: Path, files: Files, executor: Any) -> None:
    store = tmp_path / "kms.db"
    with LocalKms.open(store) as kms:
        key = kms.create_key()["KeyMetadata"]["KeyId"]
    recipe = bulk.ClientRecipe([f"local-kms://{key}?store={store}"])

    run = bulk.run(files(NAMES), bulk.Encrypt(), client=recipe, executor=executor)
    results = list(run)

    assert [dict(result.kms_calls) for result in results] == [{"GenerateDataKey": 1}] * 20
    assert run.kms_calls == {"GenerateDataKey": 20}
    assert run.usage().kms_calls == {"GenerateDataKey": 20}
    assert run.usage().encrypt.messages == 20


def test_a_cache_is_shared_by_the_whole_worker(tmp_path: Path, files: Files, executor: Any) -> None:
    store = tmp_path / "kms.db"
    with LocalKms.open(store) as kms:
        key = kms.create_key()["KeyMetadata"]["KeyId"]
    recipe = bulk.ClientRecipe([f"local-kms://{key}?store={store}"], cache=bulk.CacheLimits(max_age_seconds=600))

    run = bulk.run(files(NAMES), bulk.Encrypt(), client=recipe, executor=executor)
    results = list(run)

    assert len(results) == 20
    assert run.kms_calls == {"GenerateDataKey": 1}
    assert run.usage().kms_calls_saved == {"GenerateDataKey": 19}


# --- what fails ------------------------------------------------------------------------------------------------------


def test_an_item_that_fails_stops_no_other(recipe: bulk.ClientRecipe, files: Files, executor: Any, opens: Any) -> None:
    items = files(["a", "bad", "b"])

    run = bulk.run(items, Refusing(), client=recipe, executor=executor)
    results = {Path(result.item.source).name: result for result in run}

    assert opens(["a", "b"])
    error = results["bad"].error
    assert isinstance(error, KmsUnavailableError)
    assert error.__notes__ == ["wait a little"]
    assert error.__traceback__ is None
    assert run.progress[:3] == (2, 1, 0)


def test_an_altered_message_leaves_no_file(recipe: bulk.ClientRecipe, files: Files, executor: Any) -> None:
    items = files(NAMES[:4])
    list(bulk.run(items, bulk.Encrypt(), client=recipe, executor=executor))
    altered = Path(items[1].target)
    message = bytearray(altered.read_bytes())
    message[-1] ^= 1
    altered.write_bytes(message)
    back = [bulk.Item(item.target, f"{item.source}.back") for item in items]

    results = list(bulk.run(back, bulk.Decrypt(), client=recipe, executor=executor))

    assert [type(result.error) for result in results if result.error] == [AuthenticationError]
    assert [Path(item.target).exists() for item in back] == [True, False, True, True]


def test_an_undocumented_error_tells_its_type_alone(recipe: bulk.ClientRecipe, files: Files) -> None:
    [result] = bulk.run(files(["odd"]), Refusing(), client=recipe)

    assert isinstance(result.error, WorkerLostError)
    assert "ArithmeticError" in str(result.error)
    assert "secret" not in str(result.error)


def test_a_store_that_fails_in_the_middle_keeps_nothing(client: Client, executor: Any) -> None:
    shelf, sealed = Shelf(a=b"first" * 1000, b=b"second"), Shelf()
    sealed.failing.add("a")

    items = [bulk.Item(name, name) for name in ("a", "b", "missing")]
    results = {r.item.source: r for r in bulk.run(items, bulk.Encrypt(shelf, sealed), client=client, executor=executor)}

    assert set(sealed.objects) == {"b"}
    assert isinstance(results["a"].error, OSError)
    assert isinstance(results["missing"].error, FileNotFoundError)


def test_what_is_there_is_left_unless_told_otherwise(recipe: bulk.ClientRecipe, files: Files, executor: Any) -> None:
    [item] = files(["a"])
    Path(item.target).parent.mkdir()
    Path(item.target).write_bytes(b"older")

    [kept] = bulk.run([item], bulk.Encrypt(), client=recipe, executor=executor)
    assert isinstance(kept.error, FileExistsError)
    assert Path(item.target).read_bytes() == b"older"

    [replaced] = bulk.run([item], bulk.Encrypt(overwrite=True), client=recipe, executor=executor)
    assert replaced.error is None
    assert Path(item.target).read_bytes() != b"older"


def test_fail_fast_begins_nothing_more(recipe: bulk.ClientRecipe, files: Files) -> None:
    items = files(["bad", *NAMES])
    taken = []

    def source() -> Iterator[bulk.Item]:
        for item in items:
            taken.append(item)
            yield item

    results = list(bulk.run(source(), Refusing(), client=recipe, fail_fast=True, in_flight=3))

    assert [result.status for result in results] == ["failed", "done", "done"]
    assert len(taken) == 3


def test_fail_fast_begins_nothing_after_an_item_that_cannot_be_begun(
    recipe: bulk.ClientRecipe, files: Files, tmp_path: Path
) -> None:
    first, *others = files(["a", "b", "c"])
    items = [first._replace(target="a\0"), *others]
    options: dict[str, Any] = {"client": recipe, "journal": tmp_path / "journal"}

    results = list(bulk.run(items, bulk.Encrypt(), fail_fast=True, in_flight=32, **options))

    assert [result.status for result in results] == ["failed"]


def test_two_items_under_way_cannot_have_one_target(recipe: bulk.ClientRecipe, files: Files) -> None:
    first, second = files(["a", "b"])

    results = list(bulk.run([first, second._replace(target=first.target)], bulk.Encrypt(overwrite=True), client=recipe))

    assert sorted(result.status for result in results) == ["done", "failed"]
    assert [str(result.error) for result in results if result.error] == [
        "another item that is under way has the same target"
    ]


def test_a_key_that_cannot_be_had_is_told(tmp_path: Path, files: Files) -> None:
    recipe = bulk.ClientRecipe([str(tmp_path / "no.key")])

    with pytest.raises(Exception, match=r"no\.key"):
        bulk.run(files(["a"]), bulk.Encrypt(), client=recipe)


# --- what is held ----------------------------------------------------------------------------------------------------


def test_items_without_end_are_taken_as_there_is_room(client: Client, executor: Any) -> None:
    shelf = Shelf(a=b"x")
    taken = count()
    items = (bulk.Item("a", str(next(taken))) for _ in count())

    with bulk.run(items, bulk.Encrypt(shelf, Shelf()), client=client, executor=executor, in_flight=5) as run:
        for number in range(100):
            next(run)
            # Those that were told, those that have ended and wait to be told, and those that are under way.
            assert next(taken) - number <= 1 + 2 * 5 + number

    assert run.progress.done >= 100


def test_the_number_in_flight_is_never_exceeded(client: Client) -> None:
    most, now, lock = [0], [0], threading.Lock()

    class Counting(Shelf):
        def open(self, name: str) -> Any:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            return super().open(name)

        def entry(self, name: str) -> Any:
            return super().entry(name)

    shelf = Counting(a=b"x")
    with ThreadPoolExecutor(8) as pool:
        items = (bulk.Item("a", str(number)) for number in range(50))
        for _ in bulk.run(items, bulk.Encrypt(shelf, Shelf()), client=client, executor=pool, in_flight=2):
            with lock:
                now[0] -= 1

    assert 1 <= most[0] <= 4


# --- how far it is ---------------------------------------------------------------------------------------------------


def test_progress_tells_rate_and_time_left(recipe: bulk.ClientRecipe, files: Files) -> None:
    seconds = count()
    items = files(["a", "b", "c", "bad"])
    run = bulk.run(
        items,
        Refusing(),
        client=recipe,
        items_total=4,
        bytes_total=8000,
        in_flight=1,
        clock=lambda: float(next(seconds)),
    )

    assert run.progress.seconds_left is None
    next(run)
    progress = run.progress
    assert (progress.done, progress.bytes_done, progress.seconds) == (1, 2000, 1.0)
    assert progress.bytes_per_second == 2000.0
    assert progress.seconds_left == 3.0
    list(run)
    assert run.progress[:4] == (3, 1, 0, 8000)
    assert run.progress.seconds_left == 0.0


def test_many_small_items_are_judged_by_their_number() -> None:
    progress = bulk.Progress(done=1, bytes_done=900, seconds=1.0, items=11, bytes=1000)

    assert progress.seconds_left == 10.0


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_leaving_the_block_ends_the_run(recipe: bulk.ClientRecipe, files: Files, executor: Any, tmp_path: Path) -> None:
    items = files(NAMES)

    with bulk.run(items, bulk.Encrypt(), client=recipe, executor=executor, in_flight=4) as run:
        next(run)

    assert list(run) == []
    assert 1 <= len(list((tmp_path / "out").iterdir())) < 20


def test_a_run_that_was_never_asked_begins_nothing(recipe: bulk.ClientRecipe, files: Files, tmp_path: Path) -> None:
    with bulk.run(files(NAMES), bulk.Encrypt(), client=recipe, journal=tmp_path / "journal"):
        pass
    bulk.run([], bulk.Encrypt(), client=recipe, journal=tmp_path / "journal").close()

    assert not (tmp_path / "out").exists()


def test_an_interrupt_ends_what_is_under_way(client: Client) -> None:
    class Interrupting(Shelf):
        def open(self, name: str) -> Any:
            if name == "b":
                raise KeyboardInterrupt
            return super().open(name)

    sealed = Shelf()
    items = [bulk.Item(name, name) for name in "abc"]
    run = bulk.run(items, bulk.Encrypt(Interrupting(a=b"1", b=b"2", c=b"3"), sealed), client=client)

    assert next(run).item.source == "a"
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert list(run) == []
    assert set(sealed.objects) == {"a"}


def test_items_that_raise_end_the_run(client: Client, executor: Any) -> None:
    def items() -> Iterator[bulk.Item]:
        yield bulk.Item("a", "a")
        raise PermissionError(13, "permission denied", "folder")

    with pytest.raises(PermissionError):
        list(bulk.run(items(), bulk.Encrypt(Shelf(a=b""), Shelf()), client=client, executor=executor, in_flight=1))


def test_what_was_begun_before_items_raise_is_done_and_told(client: Client, executor: Any) -> None:
    def items() -> Iterator[bulk.Item]:
        for name in "abc":
            yield bulk.Item(name, name)
        raise PermissionError(13, "permission denied", "folder")

    told: list[str] = []
    sealed = Shelf()
    run = bulk.run(items(), bulk.Encrypt(Shelf(a=b"", b=b"", c=b""), sealed), client=client, executor=executor)
    with pytest.raises(PermissionError):
        told.extend(result.item.source for result in run)
    with pytest.raises(StopIteration):
        next(run)

    assert sorted(told) == sorted(sealed.objects) == ["a", "b", "c"]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_live_client_goes_to_no_other_process(client: Client) -> None:
    with pytest.raises(UsageError, match="ClientRecipe"):
        bulk.run([], bulk.Encrypt(), client=client, executor=bulk.Processes)


def test_an_operation_that_cannot_be_sent_is_refused_at_once(recipe: bulk.ClientRecipe) -> None:
    with pytest.raises(UsageError, match="cannot be sent"):
        bulk.run([], Unsendable(), client=recipe, executor=bulk.Processes)


def test_there_is_room_for_one_at_least(recipe: bulk.ClientRecipe) -> None:
    with pytest.raises(UsageError, match="in_flight"):
        bulk.run([], bulk.Encrypt(), client=recipe, in_flight=0)


def test_an_executor_that_was_shut_down_is_told(recipe: bulk.ClientRecipe, files: Files) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    with pytest.raises(UsageError, match="takes no work"):
        list(bulk.run(files(["a"]), bulk.Encrypt(), client=recipe, executor=pool))


@pytest.mark.parametrize("journal", [False, True])
def test_an_item_whose_target_cannot_be_asked_for_stops_no_other(
    recipe: bulk.ClientRecipe, files: Any, opens: Any, tmp_path: Path, journal: bool
) -> None:
    items = files(["a", "b"])
    (tmp_path / "out").mkdir()
    long = bulk.Item(items[0].source, str(tmp_path / "out" / ("x" * 300)))
    noted = tmp_path / "journal" if journal else None

    results = list(bulk.run([long, *items], bulk.Encrypt(), client=recipe, journal=noted))

    errors = {result.item: result.error for result in results}
    assert isinstance(errors.pop(long), OSError)
    assert set(errors.values()) == {None}
    assert opens(["a", "b"])
