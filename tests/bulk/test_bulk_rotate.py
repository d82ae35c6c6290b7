"""Rotation as an operation of bulk runs: the new message, whole, or the old one to the byte, in any place."""

from __future__ import annotations

import dataclasses
import os
import pickle
import resource
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import Shelf

from envelope_sdk import Client, bulk
from envelope_sdk.bulk.clients import forget_clients
from envelope_sdk.errors import (
    AuthenticationError,
    JournalError,
    KeyringError,
    MessageError,
    NoMatchingKeyError,
    StreamError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.formats.header import parse_header
from envelope_sdk.keyrings import RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.keyrings.key_files import encode_aes_key_file
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import DefaultMaterialsManager

OLD = RawAesKeyring("test", "old", bytes(32))
NEW = RawAesKeyring("test", "new", bytes(range(32)))
NAMES = ["a.enc", "b.enc", "deep/c.enc"]

Places = dict[str, Any]


def client(keyring: Any = OLD, **options: Any) -> Client:
    return Client(keyring, **{"frame_length": 1024, "threads": 1, **options})


def plain(name: str) -> bytes:
    return (name * 900).encode()


def messages(writer: Client | None = None) -> dict[str, bytes]:
    writer = writer or client()
    return {name: writer.encrypt(plain(name), encryption_context={"name": name}).ciphertext for name in NAMES}


@pytest.fixture
def files(tmp_path: Path) -> bulk.LocalFiles:
    """A folder of messages under the old key."""
    for name, data in messages().items():
        path = tmp_path / "t" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return bulk.LocalFiles(str(tmp_path / "t"))


@pytest.fixture
def shelf() -> Shelf:
    """The same as objects."""
    return Shelf(**messages())


@pytest.fixture(params=["files", "shelf"])
def place(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def held(place: Any) -> dict[str, bytes]:
    found = {}
    for entry in place.list():
        with place.open(entry.name) as file:
            found[entry.name] = file.read()
    return found


def put(place: Any, name: str, data: bytes) -> None:
    pending = place.create(name, overwrite=True)
    pending.write(data) if isinstance(place, bulk.LocalFiles) else place.objects.update({name: data})
    if isinstance(place, bulk.LocalFiles):
        pending.commit()


def opened(place: Any, keyring: Any = NEW) -> dict[str, bytes]:
    reader = client(keyring)
    return {name: reader.decrypt(data).plaintext for name, data in held(place).items()}


def same(place: Any) -> list[bulk.Item]:
    return [bulk.Item(entry.name, entry.name, entry.size) for entry in place.list()]


def rotated(
    place: Any, operation: bulk.Rotate | None = None, writer: Any = None, **options: Any
) -> dict[str, bulk.Result]:
    run = bulk.run(same(place), operation or bulk.Rotate(client(), place), client=writer or client(NEW), **options)
    return {result.item.source: result for result in run}


def statuses(results: dict[str, bulk.Result]) -> dict[str, str]:
    return {name: str(result.status) for name, result in results.items()}


ALL_DONE = dict.fromkeys(NAMES, "done")
ALL_SKIPPED = dict.fromkeys(NAMES, "skipped")
PLAIN = {name: plain(name) for name in NAMES}


# --- in place --------------------------------------------------------------------------------------------------------


def test_messages_are_under_the_new_keys(place: Any) -> None:
    results = rotated(place)

    assert statuses(results) == ALL_DONE
    assert opened(place) == PLAIN
    assert {name: dict(r.header.encryption_context) for name, r in results.items() if r.header} == {
        name: {"name": name} for name in NAMES
    }


def test_bytes_are_those_of_the_messages(place: Any) -> None:
    before = {name: len(data) for name, data in held(place).items()}

    results = rotated(place)

    assert {name: result.bytes_in for name, result in results.items()} == before
    assert {name: result.bytes_out for name, result in results.items()} == {
        name: len(data) for name, data in held(place).items()
    }


def test_what_is_as_wanted_is_skipped_and_says_so(place: Any) -> None:
    rotated(place)
    before = held(place)

    run = bulk.run(same(place), bulk.Rotate(client(), place), client=client(NEW))
    results = list(run)

    assert {result.status for result in results} == {bulk.Status.SKIPPED}
    assert run.progress[:3] == (0, 0, 3)
    assert run.progress.bytes_skipped == sum(map(len, before.values()))
    assert held(place) == before


def test_what_is_as_wanted_is_rotated_again_if_told(place: Any) -> None:
    rotated(place)
    before = held(place)

    results = rotated(place, bulk.Rotate(client(NEW), place, again=True))

    assert statuses(results) == ALL_DONE
    assert all(data != before[name] for name, data in held(place).items())
    assert opened(place) == PLAIN


def test_threads_share_a_rotation(place: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert statuses(rotated(place, executor=pool)) == ALL_DONE
    assert opened(place) == PLAIN


def test_signed_messages_stay_signed_where_a_signing_writer_is_given() -> None:
    shelf = Shelf(signed=client(sign=True).encrypt(b"s").ciphertext, plain=client().encrypt(b"p").ciphertext)

    rotated(shelf, bulk.Rotate(client(), shelf, signing_writer=client(NEW, sign=True)))

    suites = {name: parse_header(data).body.algorithm_suite.signed for name, data in held(shelf).items()}
    assert suites == {"signed": True, "plain": False}
    assert opened(shelf) == {"signed": b"s", "plain": b"p"}


def test_context_and_frames_are_changed_as_told(place: Any) -> None:
    operation = bulk.Rotate(
        client(),
        place,
        required_context_keys=["name"],
        new_context={"year": "2026", "team": "blue"},
        drop_context_keys=["name"],
        unstored_context_keys=["team"],
        frame_length=200,
    )

    assert statuses(rotated(place, operation)) == ALL_DONE

    for data in held(place).values():
        found = client(NEW).decrypt(data, encryption_context={"team": "blue"}).header
        assert (dict(found.encryption_context), found.frame_length) == ({"year": "2026", "team": "blue"}, 200)
        assert dict(parse_header(data).body.encryption_context) == {"year": "2026"}


def test_pairs_that_old_messages_must_have(place: Any) -> None:
    operation = bulk.Rotate(client(), place, encryption_context={"name": "a.enc"})

    assert statuses(rotated(place, operation)) == {"a.enc": "done", "b.enc": "failed", "deep/c.enc": "failed"}


# --- what goes wrong -------------------------------------------------------------------------------------------------

DAMAGE: dict[str, tuple[Callable[[bytes], bytes], type[Exception]]] = {
    "altered": (lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:], AuthenticationError),
    "cut short": (lambda data: data[:-1], TruncatedMessageError),
    "longer": (lambda data: data + b"x", MessageError),
    "no message": (lambda _: b"hello", MessageError),
    "empty": (lambda _: b"", TruncatedMessageError),
}


@pytest.mark.parametrize(("damage", "kind"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_message_is_left_to_the_byte(
    place: Any, damage: Callable[[bytes], bytes], kind: type[Exception]
) -> None:
    damaged = damage(held(place)["b.enc"])
    put(place, "b.enc", damaged)

    results = rotated(place)

    assert statuses(results) == ALL_DONE | {"b.enc": "failed"}
    assert isinstance(results["b.enc"].error, kind)
    assert held(place)["b.enc"] == damaged


def test_old_keys_that_do_not_open(place: Any) -> None:
    before = held(place)

    results = rotated(place, bulk.Rotate(client(RawAesKeyring("test", "other", bytes(32))), place))

    assert {type(result.error) for result in results.values()} == {NoMatchingKeyError}
    assert held(place) == before


def test_new_keys_that_open_nothing(place: Any) -> None:
    """A public key alone: whoever has it cannot see that the new message opens."""
    before, private = held(place), rsa_key()
    writer = client(RawRsaKeyring("test", "rsa", RsaPadding.OAEP_SHA256, public_key=private.public_key()))

    results = rotated(place, writer=writer)

    assert {type(result.error) for result in results.values()} == {KeyringError}
    assert held(place) == before

    keyring = RawRsaKeyring("test", "rsa", RsaPadding.OAEP_SHA256, private_key=private)
    assert statuses(rotated(place, bulk.Rotate(client(), place, verify=False), writer=writer)) == ALL_DONE
    assert opened(place, keyring) == PLAIN


def test_who_opens_the_new_messages_may_be_another(place: Any) -> None:
    private = rsa_key()
    keyring = RawRsaKeyring("test", "rsa", RsaPadding.OAEP_SHA256, private_key=private)
    writer = client(RawRsaKeyring("test", "rsa", RsaPadding.OAEP_SHA256, public_key=private.public_key()))

    assert statuses(rotated(place, bulk.Rotate(client(), place, verifier=client(keyring)), writer=writer)) == ALL_DONE
    assert opened(place, keyring) == PLAIN


def rsa_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048)


class Meddling(DefaultMaterialsManager):
    """Has somebody else do something while a message is being rotated."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__(NEW)
        self._meddle = meddle

    def get_encryption_materials(self, request: Any) -> Any:
        if request.plaintext_length != 0:
            self._meddle()
        return super().get_encryption_materials(request)


def test_what_somebody_else_has_changed_meanwhile_is_left(place: Any) -> None:
    theirs = client().encrypt(b"theirs").ciphertext
    writer = Client(materials_manager=Meddling(lambda: put(place, "b.enc", theirs)), threads=1)
    items = [bulk.Item("b.enc", "b.enc")]

    [result] = bulk.run(items, bulk.Rotate(client(), place), client=writer)

    assert isinstance(result.error, StreamError)
    assert held(place)["b.enc"] == theirs


def test_what_somebody_else_has_deleted_meanwhile_stays_deleted(files: bulk.LocalFiles) -> None:
    path = Path(files.root, "b.enc")
    writer = Client(materials_manager=Meddling(path.unlink), threads=1)

    [result] = bulk.run([bulk.Item("b.enc", "b.enc")], bulk.Rotate(client(), files), client=writer)

    assert isinstance(result.error, StreamError)
    assert sorted(held(files)) == ["a.enc", "deep/c.enc"]


def test_a_store_that_fails_in_the_middle(shelf: Shelf) -> None:
    before = held(shelf)
    shelf.failing = {"b.enc"}

    results = rotated(shelf)

    assert statuses(results) == ALL_DONE | {"b.enc": "failed"}
    assert isinstance(results["b.enc"].error, OSError)
    assert held(shelf)["b.enc"] == before["b.enc"]


@contextmanager
def short_files(size: int) -> Iterator[None]:
    """Let no file become longer, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full(files: bulk.LocalFiles) -> None:
    before = held(files)

    with short_files(1000):
        results = rotated(files)

    assert {type(result.error) for result in results.values()} == {OSError}
    assert held(files) == before


def test_a_pipe_is_no_message_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for target in ("pipe", "other"):
        [result] = bulk.run(
            [bulk.Item("pipe", target)], bulk.Rotate(client(), bulk.LocalFiles(str(tmp_path))), client=client(NEW)
        )
        assert isinstance(result.error, OSError)
        assert "not a regular file" in str(result.error)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


class Plain:
    """A place with no more than a place has to have."""

    def __init__(self, shelf: Shelf) -> None:
        self.list, self.entry, self.open, self.create = shelf.list, shelf.entry, shelf.open, shelf.create
        self.words = shelf.words


def test_a_place_that_cannot_replace_says_so_and_can_be_rotated_from(shelf: Shelf) -> None:
    place, before = Plain(shelf), held(shelf)

    results = rotated(place)
    assert {type(result.error) for result in results.values()} == {UsageError}
    assert held(shelf) == before

    target = Shelf()
    assert statuses(rotated(place, bulk.Rotate(client(), place, target))) == ALL_DONE
    assert opened(target) == PLAIN


# --- files -----------------------------------------------------------------------------------------------------------


def test_what_a_file_may_be_read_by_stays(files: bulk.LocalFiles) -> None:
    path = Path(files.root, "a.enc")
    path.chmod(0o640)

    rotated(files)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_followed(files: bulk.LocalFiles, tmp_path: Path) -> None:
    Path(files.root, "a.enc").rename(tmp_path / "elsewhere")
    Path(files.root, "a.enc").symlink_to(tmp_path / "elsewhere")

    [result] = bulk.run([bulk.Item("a.enc", "a.enc")], bulk.Rotate(client(), files), client=client(NEW))

    assert result.status is bulk.Status.DONE
    assert Path(files.root, "a.enc").is_symlink()
    assert client(NEW).decrypt((tmp_path / "elsewhere").read_bytes()).plaintext == plain("a.enc")


def test_items_of_a_folder_are_its_messages_and_no_links(files: bulk.LocalFiles, tmp_path: Path) -> None:
    root, left_out = Path(files.root), []
    (root / "notes").write_bytes(b"no message")
    (root / "link.enc").symlink_to("a.enc")

    items = list(bulk.rotating(root, on_left_out=lambda path, why: left_out.append((path.name, why))))

    assert items == [bulk.Item(str(root / name), str(root / name), (root / name).stat().st_size) for name in NAMES]
    assert left_out == [("link.enc", "it is a link")]
    assert [item.target for item in bulk.rotating(root, "out")] == [str(Path("out", name).absolute()) for name in NAMES]
    with pytest.raises(NotADirectoryError):
        list(bulk.rotating(root / "notes"))


# --- elsewhere -------------------------------------------------------------------------------------------------------


def test_from_one_place_to_another(files: bulk.LocalFiles, tmp_path: Path) -> None:
    before, shelf, back = held(files), Shelf(), bulk.LocalFiles(str(tmp_path / "back"))

    assert statuses(rotated(files, bulk.Rotate(client(), files, shelf))) == ALL_DONE
    assert statuses(rotated(shelf, bulk.Rotate(client(NEW), shelf, back), client())) == ALL_DONE

    assert held(files) == before
    assert opened(shelf) == opened(back, OLD) == PLAIN


def test_what_is_there_is_replaced_only_if_told(place: Any) -> None:
    target = Shelf(**{"b.enc": b"theirs"})

    results = rotated(place, bulk.Rotate(client(), place, target))
    assert statuses(results) == ALL_DONE | {"b.enc": "failed"}
    assert isinstance(results["b.enc"].error, FileExistsError)
    assert target.objects["b.enc"] == b"theirs"

    assert statuses(rotated(place, bulk.Rotate(client(), place, target, overwrite=True))) == ALL_DONE
    assert opened(target) == PLAIN


def test_in_one_place_under_another_name(place: Any) -> None:
    items = [bulk.Item("a.enc", "new.enc")]

    assert [result.error for result in bulk.run(items, bulk.Rotate(client(), place), client=client(NEW))] == [None]
    [again] = bulk.run(items, bulk.Rotate(client(), place), client=client(NEW))

    assert isinstance(again.error, FileExistsError)
    assert client(NEW).decrypt(held(place)["new.enc"]).plaintext == plain("a.enc")
    assert client().decrypt(held(place)["a.enc"]).plaintext == plain("a.enc")


def test_one_message_by_two_places_is_not_replaced_behind_anybodys_back(files: bulk.LocalFiles) -> None:
    before = held(files)

    class Other(bulk.LocalFiles):
        """Not equal to one of the same folder."""

    results = rotated(files, bulk.Rotate(client(), files, Other(files.root), overwrite=True))

    assert {type(result.error) for result in results.values()} == {UsageError}
    assert held(files) == before


def test_a_message_that_is_much_longer_than_its_item_says(shelf: Shelf) -> None:
    shelf.objects["a.enc"] = client().encrypt(bytes(100_000)).ciphertext
    before = held(shelf)

    [result] = bulk.run([bulk.Item("a.enc", "a.enc", 1)], bulk.Rotate(client(), shelf), client=client(NEW))

    assert isinstance(result.error, StreamError)
    assert held(shelf) == before


# --- journals --------------------------------------------------------------------------------------------------------


def test_a_journal_knows_what_was_rotated_in_place(place: Any, tmp_path: Path) -> None:
    """Also where messages are rotated again, so that their headers tell nothing."""
    operation = bulk.Rotate(client(), place, again=True)
    options: dict[str, Any] = {"journal": tmp_path / "journal"}
    assert statuses(rotated(place, operation, **options)) == ALL_DONE

    assert statuses(rotated(place, operation, **options)) == ALL_SKIPPED

    put(place, "b.enc", client().encrypt(b"newer").ciphertext)
    assert statuses(rotated(place, operation, **options)) == ALL_SKIPPED | {"b.enc": "done"}
    assert opened(place) == PLAIN | {"b.enc": b"newer"}


def test_a_journal_notes_what_was_as_wanted(place: Any, tmp_path: Path) -> None:
    rotated(place)
    options: dict[str, Any] = {"journal": tmp_path / "journal"}

    for _ in range(2):
        assert statuses(rotated(place, **options)) == ALL_SKIPPED

    assert (tmp_path / "journal").read_bytes().count(b'{"done"') == 3


def test_what_an_interrupted_run_had_left_is_done(place: Any, tmp_path: Path) -> None:
    for journal in (None, tmp_path / "journal"):
        options: dict[str, Any] = {"client": client(NEW), "journal": journal, "in_flight": 1}
        with bulk.run(same(place), bulk.Rotate(client(), place), **options) as run:
            first = next(run).item.source

        results = rotated(place, journal=journal)

        assert statuses(results) == (ALL_DONE if journal is None else ALL_SKIPPED) | {first: "skipped"}
    assert opened(place) == PLAIN


def test_a_run_elsewhere_is_resumed_by_its_journal(place: Any, tmp_path: Path) -> None:
    target = Shelf()
    options: dict[str, Any] = {"journal": tmp_path / "journal"}
    operation = bulk.Rotate(client(), place, target)
    with bulk.run(same(place), operation, client=client(NEW), in_flight=1, **options) as run:
        first = next(run).item.source

    assert statuses(rotated(place, operation, **options)) == ALL_DONE | {first: "skipped"}
    assert opened(target) == PLAIN


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"new_context": {"a": "b"}}, "new_context"),
        ({"drop_context_keys": ["name"]}, "dropped"),
        ({"again": True}, "again"),
        ({"frame_length": 10}, "new_frame_length"),
        ({"reader": client(NEW)}, "reader"),
        ({"signing_writer": client(NEW, sign=True)}, "signing"),
    ],
)
def test_a_journal_is_bound_to_what_the_run_does(
    shelf: Shelf, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    operation = bulk.Rotate(client(), shelf)
    rotated(shelf, operation, journal=tmp_path / "journal")

    with pytest.raises(JournalError, match=rf"\({named}\)"):
        rotated(shelf, dataclasses.replace(operation, **change), journal=tmp_path / "journal")


# --- recipes ---------------------------------------------------------------------------------------------------------


class Inline(Executor):
    """A worker that keeps its clients from one run to the next, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*pickle.loads(pickle.dumps(args)), **kwargs))
        return future


@pytest.fixture
def recipes(tmp_path: Path) -> Iterator[tuple[bulk.ClientRecipe, bulk.ClientRecipe]]:
    """A client of the old key and one of the new."""
    made = []
    for name, key in (("old", bytes(32)), ("new", bytes(range(32)))):
        path = tmp_path / f"{name}.key"
        path.write_bytes(encode_aes_key_file("test", name, key))
        path.chmod(0o600)
        made.append(bulk.ClientRecipe([str(path)], frame_length=1024))
    forget_clients()
    yield made[0], made[1]
    forget_clients()


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor, Inline], ids=["this thread", "threads", "workers"])
def test_clients_are_made_of_recipes(
    files: bulk.LocalFiles, recipes: tuple[bulk.ClientRecipe, bulk.ClientRecipe], executor: Any
) -> None:
    old, new = recipes
    operation = bulk.Rotate(old, files, signing_writer=dataclasses.replace(new, sign=True), verifier=new)

    results = rotated(files, operation, new, executor=executor)

    assert {name: result.error for name, result in results.items()} == dict.fromkeys(NAMES)
    assert opened(files) == PLAIN
    assert statuses(rotated(files, operation, new, executor=executor)) == ALL_SKIPPED


def test_no_key_travels(recipes: tuple[bulk.ClientRecipe, bulk.ClientRecipe], files: bulk.LocalFiles) -> None:
    sent = pickle.dumps((bulk.Rotate(recipes[0], files), bulk.Rotate(recipes[0], files).prepared(recipes[1])))

    assert bytes(range(32)) not in sent
    assert bytes(32) not in sent


def test_recipes_and_clients_do_not_mix(recipes: tuple[bulk.ClientRecipe, bulk.ClientRecipe]) -> None:
    for reader, writer in ((client(), recipes[1]), (recipes[0], client(NEW))):
        with pytest.raises(UsageError, match="one kind"):
            bulk.run([], bulk.Rotate(reader), client=writer)
    with pytest.raises(UsageError, match="cannot be sent"):
        bulk.run([], bulk.Rotate(client()), client=recipes[1], executor=bulk.Processes)
    with pytest.raises(UsageError, match="ClientRecipe"):
        bulk.run([], bulk.Rotate(client()), client=client(NEW), executor=bulk.Processes)


def test_a_key_that_cannot_be_had_is_told_of_each_item(
    files: bulk.LocalFiles, recipes: tuple[bulk.ClientRecipe, bulk.ClientRecipe], tmp_path: Path
) -> None:
    before = held(files)

    results = rotated(
        files, bulk.Rotate(bulk.ClientRecipe([str(tmp_path / "no.key")]), files), recipes[1], executor=Inline
    )

    assert {type(result.error) for result in results.values()} == {KeyringError}
    assert held(files) == before


@pytest.mark.parametrize("name", ["required_context_keys", "drop_context_keys", "unstored_context_keys"])
def test_keys_are_a_collection(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        bulk.Rotate(client(), **{name: "team"})  # type: ignore[arg-type]


@pytest.fixture
def kms(tmp_path: Path) -> Iterator[LocalKms]:
    with LocalKms.open(tmp_path / "kms.db") as kms:
        yield kms


def key_of(kms: LocalKms, tmp_path: Path, **cache: Any) -> bulk.ClientRecipe:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    return bulk.ClientRecipe([f"local-kms://{key}?store={tmp_path / 'kms.db'}"], **cache)


def test_calls_of_kms_are_added_up_over_all_clients(kms: LocalKms, tmp_path: Path) -> None:
    old, new = key_of(kms, tmp_path), key_of(kms, tmp_path)
    first, second = Shelf(**messages(old.open().client)), Shelf()
    operation = bulk.Rotate(old, first, second)

    run = bulk.run(same(first), operation, client=new)
    results = list(run)

    # The old data key and the new one are unwrapped, and the new one is made.
    assert [result.kms_calls for result in results] == [{"Decrypt": 2, "GenerateDataKey": 1}] * 3
    assert run.kms_calls == run.usage().kms_calls == {"Decrypt": 6, "GenerateDataKey": 3}


def test_data_keys_are_used_again_for_objects_too(kms: LocalKms, tmp_path: Path) -> None:
    old, new = key_of(kms, tmp_path), key_of(kms, tmp_path, cache=bulk.CacheLimits(max_age_seconds=600))
    alike = {name: old.open().client.encrypt(plain(name)).ciphertext for name in NAMES}

    run = bulk.run(same(Shelf(**alike)), bulk.Rotate(old, Shelf(**alike), Shelf()), client=new)
    assert [result.error for result in run] == [None] * 3

    assert run.kms_calls["GenerateDataKey"] == 1


def test_which_keys_are_wanted_is_asked_once_a_worker(kms: LocalKms, tmp_path: Path) -> None:
    old, new = key_of(kms, tmp_path), key_of(kms, tmp_path)
    shelf = bulk.LocalFiles(str(tmp_path / "t"))
    for number in range(40):
        pending = shelf.create(f"{number}.enc", overwrite=False)
        pending.write(new.open().client.encrypt(b"as wanted").ciphertext)
        pending.commit()

    run = bulk.run(same(shelf), bulk.Rotate(old, shelf), client=new, executor=Inline, in_flight=8)

    assert {result.status for result in run} == {bulk.Status.SKIPPED}
    assert run.kms_calls == run.usage().kms_calls == {"GenerateDataKey": 1}


def test_where_an_alias_leads_is_asked_in_every_run(kms: LocalKms, tmp_path: Path) -> None:
    """By workers that stay from one to the next."""
    old, new = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.create_alias(AliasName="alias/key", TargetKeyId=old["KeyId"])
    recipe = bulk.ClientRecipe([f"local-kms://alias/key?store={tmp_path / 'kms.db'}"])
    reader = bulk.ClientRecipe([f"local-kms://{old['KeyId']}?store={tmp_path / 'kms.db'}"])
    files = bulk.LocalFiles(str(tmp_path / "t"))
    pending = files.create("a", overwrite=False)
    pending.write(recipe.open().client.encrypt(b"a").ciphertext)
    pending.commit()
    with Inline() as worker:
        assert statuses(rotated(files, bulk.Rotate(reader, files), recipe, executor=worker)) == {"a": "skipped"}

        kms.update_alias(AliasName="alias/key", TargetKeyId=new["KeyId"])

        assert statuses(rotated(files, bulk.Rotate(reader, files), recipe, executor=worker)) == {"a": "done"}
    (wrapped,) = parse_header(held(files)["a"]).body.encrypted_data_keys
    assert wrapped.provider_info.decode() == new["Arn"]
