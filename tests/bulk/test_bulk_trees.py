"""Folders as items, lazily and by the rules of the command line."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from envelope_sdk import bulk
from envelope_sdk.errors import UsageError


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"12345")


def below(root: Path, items: list[bulk.Item]) -> list[tuple[str, str]]:
    return [(os.path.relpath(item.source, root), os.path.relpath(item.target, root)) for item in items]


def test_what_is_not_encrypted_becomes_so(tmp_path: Path) -> None:
    make(tmp_path, "in/b", "in/a.enc", "in/deep/c", "in/.enc")

    items = list(bulk.encrypting(tmp_path / "in", tmp_path / "out"))

    assert below(tmp_path, items) == [
        ("in/.enc", "out/.enc.enc"),
        ("in/b", "out/b.enc"),
        ("in/deep/c", "out/deep/c.enc"),
    ]
    assert {item.size for item in items} == {5}


def test_what_is_encrypted_becomes_plain(tmp_path: Path) -> None:
    make(tmp_path, "in/b", "in/a.x", "in/deep/c.x")

    assert below(tmp_path, list(bulk.decrypting(tmp_path / "in", suffix=".x"))) == [
        ("in/a.x", "in/a"),
        ("in/deep/c.x", "in/deep/c"),
    ]


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    make(tmp_path, "in/a", "elsewhere/b")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "nothing").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in" / "pipe")
    told: dict[str, str] = {}

    items = list(bulk.encrypting(tmp_path / "in", on_left_out=lambda path, why: told.update({path.name: why})))

    assert len(items) == 1
    assert told == {
        "folder": "it is a link to a folder",
        "nothing": "it is a link to nothing",
        "pipe": "it is no regular file",
    }


def test_the_output_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "in/a", "in/out/b")

    assert below(tmp_path, list(bulk.encrypting(tmp_path / "in", tmp_path / "in" / "out"))) == [
        ("in/a", "in/out/a.enc")
    ]


def test_folders_are_entered_as_they_are_asked_for(tmp_path: Path) -> None:
    make(tmp_path, "in/1/a", "in/2/b")
    items = bulk.encrypting(tmp_path / "in")

    [first] = islice(items, 1)
    make(tmp_path, "in/2/c")

    assert Path(first.source).name == "a"
    assert [Path(item.source).name for item in items] == ["b", "c"]


def test_a_file_that_goes_meanwhile_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "in/a", "in/b", "in/c")
    told: dict[str, str] = {}
    items = bulk.encrypting(tmp_path / "in", on_left_out=lambda path, why: told.update({path.name: why}))

    [first] = islice(items, 1)
    (tmp_path / "in" / "b").unlink()

    assert [Path(item.source).name for item in (first, *items)] == ["a", "c"]
    assert told == {"b": "it is gone"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    make(tmp_path, "a")

    with pytest.raises(NotADirectoryError):
        list(bulk.encrypting(tmp_path / "a"))


def test_local_files_are_a_place(tmp_path: Path) -> None:
    make(tmp_path, "b", "a/c")
    place = bulk.LocalFiles(str(tmp_path))

    assert isinstance(place, bulk.Place)
    assert [entry.name for entry in place.list()] == ["b", "a/c"]
    assert [entry.name for entry in place.list("a/")] == ["a/c"]
    assert place.entry("a") is None
    assert place.entry("nothing") is None
    entry = place.entry("b")
    assert entry is not None
    (tmp_path / "b").write_bytes(b"54321")
    assert place.entry("b") != entry


def test_links_that_lead_nowhere_are_no_files(tmp_path: Path) -> None:
    make(tmp_path, "a")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "under").symlink_to("a/b")

    assert [entry.name for entry in bulk.LocalFiles(str(tmp_path)).list()] == ["a"]


@pytest.mark.parametrize("name", ["../b", "a/../../b", "/b", "..", "a\0b", "a\ud800"])
def test_names_of_others_do_not_lead_out_of_a_folder(tmp_path: Path, name: str) -> None:
    """Objects may be named by anybody who may write to their bucket."""
    make(tmp_path, "b", "in/a")
    place = bulk.LocalFiles(str(tmp_path / "in"))

    for use in (place.entry, place.open, lambda name: place.create(name, overwrite=True)):
        with pytest.raises(UsageError, match="folder"):
            use(name)
    assert (tmp_path / "b").read_bytes() == b"12345"


@pytest.mark.parametrize("name", ["a", "./a", "x/../a", "..a"])
def test_names_that_stay_in_it_are_taken(tmp_path: Path, name: str) -> None:
    make(tmp_path, "in/a", "in/..a", "in/x/y")

    assert bulk.LocalFiles(str(tmp_path / "in")).entry(name) is not None
    assert bulk.LocalFiles(str(tmp_path / "in")).entry(str(tmp_path / "in" / name)) is not None
    assert bulk.LocalFiles("/").entry(str(tmp_path / "in" / name)) is not None
