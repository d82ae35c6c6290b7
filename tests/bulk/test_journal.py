"""The journal: what it holds, whom it refuses, and what any damage to it leads to."""

from __future__ import annotations

import json
import os
import re
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.processes import in_child

from envelope_sdk.bulk import Entry, Item
from envelope_sdk.bulk.journal import Journal, Noted
from envelope_sdk.errors import JournalError, UsageError

PLAN = {"do": "encrypt", "frame_length": 4096, "context": {"a": "b"}}
A, B = Item("in/a", "out/a"), Item("in/b", "out/b")
SOURCE, TARGET = Entry("in/a", 10, "1-2"), Entry("out/a", 500, "3-4")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_what_was_noted_is_there_for_the_next_run(path: Path) -> None:
    with Journal(path, PLAN) as journal:
        journal.note_begun([A, B])
        journal.note_done(A, SOURCE, TARGET)

    with Journal(path, PLAN) as journal:
        assert journal.done(A) == Noted((10, "1-2"), (500, "3-4"))
        assert not journal.begun(A)
        assert journal.done(B) is None
        assert journal.begun(B)
        assert journal.done(Item("in/a", "elsewhere")) is None


def test_an_item_that_failed_is_as_if_never_begun(path: Path) -> None:
    with Journal(path, PLAN) as journal:
        journal.note_begun([A])
        journal.note_failed(A, ValueError("a secret, perhaps"))

    assert b"secret" not in path.read_bytes()
    with Journal(path, PLAN) as journal:
        assert not journal.begun(A)


def test_names_are_any(path: Path) -> None:
    items = [Item(name, name) for name in ("\udcff", 'a"b\n', "ü", "\U0001f512", "")]
    with Journal(path, PLAN) as journal:
        for item in items:
            journal.note_done(item, None, TARGET)

    with Journal(path, PLAN) as journal:
        assert [journal.done(item) for item in items] == [Noted(None, (500, "3-4"))] * 5


def test_every_line_is_json(path: Path) -> None:
    with Journal(path, PLAN) as journal:
        journal.note_begun([A])
        journal.note_done(A, SOURCE, TARGET)

    lines = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert lines[0]["plan"] == PLAN
    assert [line.get("done") for line in lines] == [None, None, ["in/a", "out/a"]]


def test_only_its_owner_reads_it(path: Path) -> None:
    Journal(path, PLAN).close()

    assert path.stat().st_mode & 0o777 == 0o600


# --- whom it refuses -------------------------------------------------------------------------------------------------


def test_another_plan_is_refused_and_named(path: Path) -> None:
    Journal(path, PLAN).close()

    with pytest.raises(JournalError, match=r"other settings \(do, suite\)"):
        Journal(path, {**PLAN, "do": "decrypt", "suite": "x"})


def test_a_second_run_is_refused_while_there_is_a_first(path: Path) -> None:
    with Journal(path, PLAN), pytest.raises(JournalError, match="another run"):
        Journal(path, PLAN)

    Journal(path, PLAN).close()


def test_a_forked_worker_does_not_keep_it(path: Path) -> None:
    (ready, is_ready), (over, is_over) = os.pipe(), os.pipe()

    def killed() -> bool:
        held = Journal(path, PLAN)
        if os.fork() == 0:
            os.close(is_over)
            os.write(is_ready, b"!")
            os.read(over, 1)
            os._exit(0)
        os.read(ready, 1)
        assert held is not None
        return True

    assert in_child(killed) == 0
    Journal(path, PLAN).close()
    for end in (ready, is_ready, over, is_over):
        os.close(end)


def test_a_child_that_ends_does_not_let_others_have_it(path: Path) -> None:
    with Journal(path, PLAN):
        assert in_child(lambda: True) == 0
        with pytest.raises(JournalError, match="another run"):
            Journal(path, PLAN)


@pytest.mark.parametrize("data", [b"notes of mine\n", b"{}\n", b'{"journal": "envelope-sdk bulk 2"}\n', b"\0\0"])
def test_another_file_is_refused_and_left(path: Path, data: bytes) -> None:
    path.write_bytes(data)

    with pytest.raises(JournalError):
        Journal(path, PLAN)
    assert path.read_bytes() == data


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        Journal(tmp_path, PLAN)


def test_what_is_no_regular_file_is_no_journal(path: Path) -> None:
    os.mkfifo(path)

    for name in (path, Path("/dev/null")):
        with pytest.raises(UsageError, match="no regular file"):
            Journal(name, PLAN)


def test_a_journal_that_was_dropped_is_free(path: Path) -> None:
    dropped = [Journal(path, PLAN)]
    with pytest.warns(ResourceWarning):
        dropped.clear()

    Journal(path, PLAN).close()


# --- full disks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_full_disk_keeps_whole_lines_alone(path: Path, room: int) -> None:
    """Also where there is room again later: half a line in the middle would be damage."""
    with Journal(path, PLAN) as journal:
        journal.note_begun([A])
        journal.sync()
        before = path.read_bytes()
        for limit in (len(before) + room, -1):
            with disk_of(limit), pytest.raises(OSError, match=re.escape(f"File too large: '{path}'")):
                journal.note_begun([B])
            assert path.read_bytes() == before

    with Journal(path, PLAN) as journal:
        assert journal.begun(A)
        assert not journal.begun(B)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes; -1 for as large as they like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- kills and damage ------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "\udc80", "long" * 50])
EVENTS = st.lists(st.tuples(st.sampled_from(["begun", "done", "failed"]), NAMES, st.integers(0, 2**40)), max_size=12)


def item(name: str) -> Item:
    return Item(f"in/{name}", f"out/{name}")


def written(path: Path, events: list[tuple[str, str, int]]) -> list[int]:
    """Note events; return how long the journal was after each, and before the first."""
    lengths = []
    with Journal(path, PLAN) as journal:
        lengths.append(path.stat().st_size)
        for kind, name, size in events:
            if kind == "begun":
                journal.note_begun([item(name)])
            elif kind == "done":
                journal.note_done(item(name), None, Entry(name, size, f"tag-{size}"))
            else:
                journal.note_failed(item(name), OSError())
            lengths.append(path.stat().st_size)
    return lengths


def model(events: list[tuple[str, str, int]]) -> dict[str, tuple[str, int]]:
    """Return the last thing that happened to each item, as a journal that is read should say."""
    last: dict[str, tuple[str, int]] = {}
    for kind, name, size in events:
        last[name] = (kind, size)
    return last


def agrees(journal: Journal, last: dict[str, tuple[str, int]]) -> bool:
    names = ["a", "b", "c", "\udc80", "long" * 50]
    done = {name: noted.target for name in names if (noted := journal.done(item(name))) is not None}
    begun = {name for name in names if journal.begun(item(name))}
    return done == {name: (size, f"tag-{size}") for name, (kind, size) in last.items() if kind == "done"} and begun == {
        name for name, (kind, _) in last.items() if kind == "begun"
    }


@given(EVENTS, st.data())
def test_a_kill_at_any_byte_loses_no_whole_line(events: list[tuple[str, str, int]], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        lengths = written(path, events)
        cut = data.draw(st.integers(0, lengths[-1]))
        os.truncate(path, cut)
        whole = max([number for number, length in enumerate(lengths) if length <= cut], default=0)

        with Journal(path, PLAN) as journal:
            assert agrees(journal, model(events[:whole]))
            journal.note_done(item("a"), None, Entry("a", 7, "tag-7"))
        with Journal(path, PLAN) as journal:
            assert agrees(journal, model([*events[:whole], ("done", "a", 7)]))


@given(EVENTS, st.data())
def test_a_changed_byte_is_an_error_or_a_line_lost_at_the_end(events: list[tuple[str, str, int]], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        lengths = written(path, events)
        raw = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)

        try:
            with Journal(path, PLAN) as journal:
                # Nobody can tell a line without its end from one that a kill left.
                assert at == lengths[-1] - 1
                assert agrees(journal, model(events[:-1]))
        except JournalError:
            assert path.read_bytes() == raw


@given(EVENTS, st.binary(min_size=1, max_size=200).filter(lambda tail: b"\n" not in tail))
def test_what_a_crash_left_after_the_last_line_is_cut_off(events: list[tuple[str, str, int]], tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        length = written(path, events)[-1]
        with path.open("ab") as file:
            file.write(tail)

        with Journal(path, PLAN) as journal:
            assert agrees(journal, model(events))
            assert path.stat().st_size == length


def test_a_line_in_the_middle_that_is_gone_is_not_noticed_but_its_item_is_done_again(path: Path) -> None:
    written(path, [("done", "a", 1), ("done", "b", 2)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])

    with Journal(path, PLAN) as journal:
        assert agrees(journal, {"b": ("done", 2)})


def test_a_line_without_end_is_not_read_into_memory(path: Path) -> None:
    Journal(path, PLAN).close()
    with path.open("ab") as file:
        file.truncate(file.tell() + 2**25)

    with pytest.raises(JournalError, match="line 2"):
        Journal(path, PLAN)
