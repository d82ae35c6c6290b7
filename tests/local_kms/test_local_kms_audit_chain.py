"""The audit log's files: nothing that was written can be changed unseen, and nothing that was answered is lost."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.audit import AuditLog, Head, Verification, read_events, verify
from envelope_sdk.local_kms.audit.chain import LINE_START, MAX_LINE, START, line_of, parse_line
from envelope_sdk.local_kms.audit.files import LogFile
from envelope_sdk.local_kms.audit.parts import head_path, parts

EVENT = b'{"eventName":"ListKeys","eventTime":"2026-11-22T00:00:00Z"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def _write(path: Path, count: int, *, durable: bool = False, max_size: int = 1 << 20) -> Head:
    file = LogFile(path, durable=durable, max_size=max_size)
    for _ in range(count):
        file.append(EVENT)
    file.close()
    return file.head


def _texts(found: Verification) -> list[str]:
    return [str(problem).rpartition("/")[2] for problem in found.problems]


# --- lines -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**14), st.binary(min_size=32, max_size=32), st.dictionaries(st.text(), st.text(), min_size=1))
def test_a_line_says_what_it_was_made_of(sequence: int, digest: bytes, event: dict[str, str]) -> None:
    event.pop("chain", None)
    event["eventName"] = "x"
    before = Head(sequence, digest.hex())
    line, head = line_of(before, json.dumps(event).encode())

    assert parse_line(line) == (before, head, event)


@given(st.binary())
def test_any_bytes_are_a_line_or_none(line: bytes) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    "chain", ["1", "{}", '{"sequence":true,"previous":"00"}', '{"sequence":1e400,"previous":"00"}']
)
def test_a_line_with_another_chain_is_none(chain: str) -> None:
    assert parse_line(f'{{"chain":{chain}}}'.encode()) is None


def test_a_head_is_text_and_back() -> None:
    head = Head(12, "ab" * 32)

    assert Head.parse(str(head)) == Head.parse(head.padded().decode()) == head
    assert Head.parse("12:ab") is None


# --- what has been tampered with -------------------------------------------------------------------------------------


def test_an_untouched_log_is_as_it_was_written(path: Path) -> None:
    head = _write(path, 5)

    assert verify([path]) == Verification(5, head, torn=False, problems=())


def test_an_empty_log_is_one(path: Path) -> None:
    AuditLog(path).close()

    assert verify([path]) == Verification(0, None, torn=False, problems=())


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"ListKeys", b"ListKexs"), *lines[3:]]


TAMPERINGS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[str]]] = {
    "changed": (_changed, ["audit.jsonl: line 3: changed: event 4 does not follow from it"]),
    "removed": (lambda lines: [*lines[:2], *lines[3:]], ["audit.jsonl: line 3: event 3 is missing before it"]),
    "several removed": (
        lambda lines: [lines[0], *lines[4:]],
        ["audit.jsonl: line 2: events 2 to 4 are missing before it"],
    ),
    "first removed": (lambda lines: lines[1:], ["audit.jsonl: line 1: event 1 is missing before it"]),
    "last removed": (lambda lines: lines[:-1], ["audit.jsonl: event 5 is missing at the end"]),
    "all removed": (lambda lines: [], ["audit.jsonl: events 1 to 5 are missing at the end"]),
    "twice": (
        lambda lines: [*lines[:3], *lines[2:]],
        ["audit.jsonl: line 4: event 3 stands where event 4 is due: out of order, or twice"],
    ),
    "swapped": (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        [
            "audit.jsonl: line 2: event 2 is missing before it",
            "audit.jsonl: line 3: event 2 stands where event 4 is due: out of order, or twice",
            "audit.jsonl: line 4: event 3 is missing before it",
        ],
    ),
    "last changed": (
        lambda lines: [*lines[:4], lines[4].replace(b"ListKeys", b"ListKexs")],
        ["audit.jsonl: line 5: event 5 is not the one that was noted elsewhere"],
    ),
    "inserted": (
        lambda lines: [*lines[:2], b'{"eventName":"Decrypt"}\n', *lines[2:]],
        [
            "audit.jsonl: line 3: no line of an audit log: it was changed or inserted",
            "audit.jsonl: line 4: event 3 stands where event 4 is due: out of order, or twice",
        ],
    ),
    "joined": (
        lambda lines: [lines[0], lines[1][:-1] + lines[2], *lines[3:]],
        [
            "audit.jsonl: line 2: no line of an audit log: it was changed or inserted",
            "audit.jsonl: line 3: event 3 is missing before it",
        ],
    ),
}


@pytest.mark.parametrize(("tamper", "texts"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_is_found_where_it_was_done(
    path: Path, tamper: Callable[[list[bytes]], list[bytes]], texts: list[str]
) -> None:
    _write(path, 5)
    path.write_bytes(b"".join(tamper(_lines(path))))

    assert _texts(verify([path])) == texts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_one_change_of_any_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / f"{os.urandom(8).hex()}.jsonl"
    _write(path, 4)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    change = data.draw(st.sampled_from(["flip", "remove", "insert", "cut"]))
    byte = data.draw(st.integers(1, 255))
    if change == "flip":
        content[place] ^= byte
    elif change == "remove":
        del content[place]
    elif change == "insert":
        content.insert(place, byte)
    else:
        del content[place:]
    path.write_bytes(content)

    assert verify([path]).problems


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6))
def test_any_other_order_or_number_of_lines_is_found(tmp_path: Path, order: list[int], count: int) -> None:
    path = tmp_path / f"{os.urandom(8).hex()}.jsonl"
    _write(path, 6)
    lines = _lines(path)
    path.write_bytes(b"".join(lines[index] for index in order[:count]))

    assert bool(verify([path]).problems) == (order[:count] != list(range(6)))


def test_a_chain_made_anew_is_found_by_a_head_that_was_kept_elsewhere(path: Path) -> None:
    _write(path, 3)
    kept = verify([path]).head
    assert kept is not None
    _write(path, 2)
    events = [json.dumps(event).encode() for event in read_events([path])]
    for file in (path, head_path(path)):
        file.unlink()
    forged = LogFile(path, durable=False, max_size=1 << 20)
    for event in [events[0].replace(b"ListKeys", b"ListKexs"), *events[1:]]:
        forged.append(event)
    forged.close()

    assert _texts(verify([path])) == []
    assert _texts(verify([path], heads=[kept])) == [
        "audit.jsonl: line 3: event 3 is not the one that was noted elsewhere"
    ]


def test_each_of_several_heads_of_one_event_has_to_be_right(path: Path) -> None:
    head = _write(path, 3)
    forged = Head(3, "0" * 64)

    for heads in ([forged, head], [head, forged]):
        assert _texts(verify([path], heads=heads)) == [
            "audit.jsonl: line 3: event 3 is not the one that was noted elsewhere"
        ]


def test_a_head_of_more_than_there_is_is_found(path: Path) -> None:
    _write(path, 2)

    assert _texts(verify([path], heads=[Head(9, "ab" * 32)])) == ["audit.jsonl: events 3 to 9 are missing at the end"]


@pytest.mark.parametrize("damage", [b"", b"nonsense\n", b"\xff"])
def test_without_a_head_the_end_is_not_vouched_for(path: Path, damage: bytes) -> None:
    _write(path, 2)
    head_path(path).write_bytes(damage)

    assert _texts(verify([path])) == [
        "audit.jsonl: no head is kept beside it: whether events are missing at the end cannot be told"
    ]


def test_events_that_were_removed_stay_missing_when_the_log_goes_on(path: Path) -> None:
    _write(path, 5)
    path.write_bytes(b"".join(_lines(path)[:2]))
    _write(path, 2)

    assert _texts(verify([path])) == ["audit.jsonl: line 3: events 3 to 5 are missing before it"]


def test_a_last_line_that_was_changed_shows_when_the_log_goes_on(path: Path) -> None:
    _write(path, 2)
    path.write_bytes(path.read_bytes().replace(b"ListKeys", b"ListKexs"))
    _write(path, 1)

    assert _texts(verify([path])) == [
        "audit.jsonl: line 1: changed: event 2 does not follow from it",
        "audit.jsonl: line 2: changed: event 3 does not follow from it",
    ]


def test_a_file_that_cannot_be_read_is_no_proof_of_anything(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify([tmp_path / "missing"])


def test_a_line_without_end_does_not_fill_memory(path: Path) -> None:
    _write(path, 1)
    with path.open("ab") as file:
        file.write(b"x" * (2 * MAX_LINE))

    assert "line 2: no line of an audit log" in _texts(verify([path]))[0]


# --- torn lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 20, 100])
def test_a_torn_line_is_told_from_tampering_and_cut_off_by_the_next_to_write(path: Path, kept: int) -> None:
    head = _write(path, 2)
    line, _ = line_of(head, EVENT)
    with path.open("ab") as file:
        file.write(line[:kept])
    found = verify([path])

    assert (found.torn, found.events, found.problems) == (True, 2, ())
    _write(path, 1)
    assert (verify([path]).torn, verify([path]).events, verify([path]).problems) == (False, 3, ())


def test_a_torn_line_of_a_process_that_died_while_another_goes_on(path: Path) -> None:
    file = LogFile(path, durable=False, max_size=1 << 20)
    file.append(EVENT)
    with path.open("ab") as other:
        other.write(b'{"chain":')
    file.append(EVENT)
    file.close()

    assert (verify([path]).events, verify([path]).problems) == (2, ())


def test_a_torn_line_with_lines_after_it_is_tampering(path: Path) -> None:
    _write(path, 2, max_size=1)
    older = parts(path)[0]
    older.write_bytes(older.read_bytes() + b'{"chain":')

    assert "audit.jsonl: line 1: the line before it is cut off" in _texts(verify([path]))


def test_a_log_whose_last_line_is_none_is_not_gone_on_with(path: Path) -> None:
    _write(path, 1)
    path.write_bytes(path.read_bytes() + b"damaged\n")
    with pytest.raises(KeyStoreError, match="its last line is damaged"):
        AuditLog(path)


@pytest.mark.parametrize(
    "content", [b"SQLite format 3\x00 and more", b"a\nfile\nof lines\n", b"a\nfile\nof", b'{"chain":1}', b"\x00" * 100]
)
def test_a_file_of_another_kind_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(KeyStoreError, match="is no audit log"):
        AuditLog(path)

    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("length", [1, len(LINE_START), 60])
def test_a_torn_first_line_is_cut_off(path: Path, length: int) -> None:
    path.write_bytes(line_of(START, EVENT)[0][:length])
    _write(path, 1)

    assert (verify([path]).events, verify([path]).problems) == (1, ())


def test_a_database_is_not_taken_for_its_own_log(database: Path) -> None:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(KeyStoreError, match="is no audit log"):
        LocalKms.open(database, audit=database)
    with LocalKms.open(database) as kms:
        assert kms.describe_key(KeyId=key_id)


# --- rotation --------------------------------------------------------------------------------------------------------


def test_the_chain_goes_on_from_file_to_file(path: Path) -> None:
    _write(path, 10, max_size=400)

    assert len(parts(path)) > 2
    assert (verify([path]).events, verify([path]).problems) == (10, ())
    assert len(list(read_events([path]))) == 10


def test_a_rotated_file_is_named_for_its_last_event(path: Path) -> None:
    _write(path, 3, max_size=1)

    assert [file.name for file in parts(path)] == [
        "audit.jsonl.000000000000001",
        "audit.jsonl.000000000000002",
        "audit.jsonl",
    ]


def test_a_rotated_file_that_is_gone_is_missed_unless_it_is_known_to_be(path: Path) -> None:
    _write(path, 3, max_size=1)
    parts(path)[0].unlink()

    assert _texts(verify([path])) == ["audit.jsonl.000000000000002: line 1: event 1 is missing before it"]
    assert _texts(verify([path], first=2)) == []


def test_rotated_files_are_verified_wherever_they_are(path: Path, tmp_path: Path) -> None:
    _write(path, 4, max_size=1)
    archive = tmp_path / "archive"
    archive.mkdir()
    moved = [file.rename(archive / file.name) for file in parts(path)[:-1]]

    assert (verify([path, *reversed(moved)]).events, verify([path, *moved]).problems) == (4, ())


def test_no_event_is_left_out_by_a_reader_while_the_log_is_rotated(path: Path) -> None:
    _write(path, 7, max_size=600)
    events = read_events([path])
    first = next(events)
    _write(path, 3, max_size=600)

    assert len([first, *events]) >= 7


@pytest.mark.parametrize("kept", [0, 3])
def test_a_rotated_file_is_known_by_its_name_to_be_cut_off(path: Path, kept: int) -> None:
    _write(path, 8, max_size=600)
    part = parts(path)[0]
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:kept]))

    missing = "event 4 is" if kept else "events 1 to 4 are"
    assert [problem.text for problem in verify([part]).problems] == [f"{missing} missing at the end"]


def test_the_chain_goes_on_after_a_crash_right_after_a_rotation(path: Path) -> None:
    _write(path, 2)
    path.rename(path.with_name("audit.jsonl.000000000000002"))
    head_path(path).unlink()
    _write(path, 1)

    assert (verify([path]).events, verify([path]).problems) == (3, ())


def test_a_log_that_was_moved_away_goes_on_in_a_new_file(path: Path) -> None:
    file = LogFile(path, durable=True, max_size=1 << 20)
    file.append(EVENT)
    moved = path.rename(path.with_name("old.jsonl"))
    file.append(EVENT)
    file.close()

    assert (verify([moved, path]).events, verify([moved, path]).problems) == (2, ())


# --- several writers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_threads_share_a_log(path: Path, durable: bool) -> None:
    heads: list[Head] = []
    file = LogFile(path, durable=durable, max_size=5_000)

    def work() -> None:
        heads.extend([file.append(EVENT) for _ in range(50)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()

    assert sorted(head.sequence for head in heads) == list(range(1, 401))
    assert (verify([path]).events, verify([path]).problems) == (400, ())


def test_an_event_is_on_disk_before_it_is_answered(path: Path) -> None:
    on_disk: list[int] = []
    file = LogFile(path, durable=True, max_size=600, sync=lambda _: on_disk.append(verify([path]).events))
    answered: list[tuple[int, int]] = []
    for _ in range(5):
        answered.append((file.append(EVENT).sequence, on_disk[-1]))

    assert answered == [(count, count) for count in range(1, 6)]


def test_without_durability_nobody_waits_for_the_disk(path: Path) -> None:
    synced: list[int] = []
    file = LogFile(path, durable=False, max_size=1 << 20, sync=synced.append)
    file.append(EVENT)

    assert synced == []


def test_those_who_wait_share_one_trip_to_the_disk(path: Path) -> None:
    trips: list[int] = []
    release = threading.Event()

    def sync(_: int) -> None:
        trips.append(1)
        release.wait(10)

    file = LogFile(path, durable=True, max_size=1 << 20, sync=sync)
    threads = [threading.Thread(target=file.append, args=(EVENT,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    # The first is at the disk; the others queue up behind it.
    while len(file._waiting) < 8:
        assert threads[0].is_alive()
    release.set()
    for thread in threads:
        thread.join()

    assert (len(trips), verify([path]).events) == (2, 9)


def test_a_disk_that_fails_fails_all_who_wait(path: Path) -> None:
    def sync(_: int) -> None:
        raise OSError(5, "Input/output error")

    file = LogFile(path, durable=True, max_size=1 << 20, sync=sync)
    errors: list[OSError] = []

    def work() -> None:
        try:
            file.append(EVENT)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(errors) == 5


def test_a_rotated_file_is_never_written_over(path: Path) -> None:
    _write(path, 3, max_size=1)
    older = {part: part.read_bytes() for part in parts(path)[:-1]}
    # The log as it was when there was one event, put back from a backup.
    path.write_bytes(older[parts(path)[0]])
    head_path(path).unlink()
    _write(path, 1, max_size=1)

    assert {part: part.read_bytes() for part in older} == older
    assert path.with_name("audit.jsonl.000000000000001-2").exists()


def test_logs_open_twice_agree_on_one_chain(path: Path) -> None:
    one, two = (LogFile(path, durable=False, max_size=600) for _ in range(2))
    for file in (one, two, two, one, two, one, one):
        file.append(EVENT)
    one.close()
    two.close()

    assert (verify([path]).events, verify([path]).problems) == (7, ())


@pytest.mark.parametrize("locked", [lambda path: path, head_path], ids=["log", "head"])
def test_a_log_that_another_does_not_let_go_of_is_an_error_and_goes_on_later(
    path: Path, locked: Callable[[Path], Path]
) -> None:
    file = LogFile(path, durable=False, max_size=1 << 20, patience=0.01)
    file.append(EVENT)
    with locked(path).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(KeyStoreError, match=r"locked by another process for 0\.01 seconds"):
            file.append(EVENT)
        with pytest.raises(KeyStoreError, match="locked by another process"):
            LogFile(path, durable=False, max_size=1 << 20, patience=0.01)
    file.append(EVENT)
    file.close()

    assert verify([path]).problems == ()


_WRITE = """
import sys
from envelope_sdk.local_kms.audit.files import LogFile
from pathlib import Path
file = LogFile(Path(sys.argv[1]), durable=True, max_size=2_000)
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    head = file.append(b'{"eventName":"%d"}' % number)
    print(head.sequence, flush=True)
"""


def _writer(path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITE, str(path), str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_processes_share_a_log(path: Path) -> None:
    processes = [_writer(path, 100) for _ in range(4)]
    numbers = [int(line) for process in processes for line in process.communicate()[0].splitlines()]

    assert sorted(numbers) == list(range(1, 401))
    assert (verify([path]).events, verify([path]).problems) == (400, ())


def _forked_writer(path: Path) -> tuple[int, int]:
    """Return the id of a process that writes for ever, and where it says what it has been answered."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            file = LogFile(path, durable=True, max_size=2_000)
            while True:
                os.write(writer, b"%d\n" % file.append(EVENT).sequence)
        finally:
            os._exit(1)
    os.close(writer)
    return child, reader


def _kill_writers(path: Path, times: int) -> None:
    answered = 0
    for number in range(times):
        child, reader = _forked_writer(path)
        with os.fdopen(reader) as answers:
            for _ in range(number % 12):
                answered = int(answers.readline())
            os.kill(child, signal.SIGKILL)
            # What it was answered before the kill came through counts too, up to the last whole line.
            answered = max([answered, *map(int, answers.read().rpartition("\n")[0].split())])
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        found = verify([path]) if parts(path) else None
        assert found is None or found.problems == ()
        assert (found.events if found else 0) >= answered
    assert answered > times


def test_a_writer_killed_30_times_loses_no_event_that_was_answered(path: Path) -> None:
    _kill_writers(path, 30)


@pytest.mark.slow
def test_a_writer_killed_100_times_loses_no_event_that_was_answered(path: Path) -> None:
    _kill_writers(path, 100)


# --- interrupts and forks --------------------------------------------------------------------------------------------


class _Interrupted(LogFile):
    """Something happens in this very thread in the middle of a line."""

    def interrupt(self) -> None:
        """Nothing, unless a test says otherwise."""

    def _write(self, lines: bytes) -> None:
        super()._write(lines)
        self.interrupt()


def test_a_signal_handler_in_the_middle_of_a_line_is_refused(path: Path) -> None:
    class Handled(_Interrupted):
        def interrupt(self) -> None:
            with pytest.raises(UsageError, match="signal handler"):
                self.append(EVENT)

    file = Handled(path, durable=False, max_size=1 << 20)
    file.append(EVENT)
    file.close()

    assert (verify([path]).events, verify([path]).problems) == (1, ())


def test_an_interrupt_in_the_middle_of_a_line_does_no_harm(path: Path) -> None:
    class Broken(_Interrupted):
        fail = True

        def interrupt(self) -> None:
            if self.fail:
                self.fail = False
                raise KeyboardInterrupt

    file = Broken(path, durable=False, max_size=1 << 20)
    with pytest.raises(KeyboardInterrupt):
        file.append(EVENT)
    file.append(EVENT)
    file.close()

    assert (verify([path]).events, verify([path]).problems) == (2, ())


def test_a_forked_child_is_told_to_open_the_log_again(path: Path) -> None:
    file = LogFile(path, durable=False, max_size=1 << 20)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            file.append(EVENT)
        except KeyStoreError as error:
            status = 0 if "open it again" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    file.append(EVENT)
    file.close()


def test_a_closed_log_takes_nothing(path: Path) -> None:
    file = LogFile(path, durable=False, max_size=1 << 20)
    file.close()
    file.close()
    with pytest.raises(KeyStoreError, match="is closed"):
        file.append(EVENT)


def test_a_kms_of_many_threads_leaves_a_whole_log(path: Path) -> None:
    with LocalKms.in_memory(audit=path) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]

        def work() -> None:
            for _ in range(20):
                kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (verify([path]).events, verify([path]).problems) == (121, ())
