"""From the arguments of a command to what is read and what is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from envelope_sdk.bulk.trees import files_below, renamed
from envelope_sdk.cli.guarded import Guarded, identity_of
from envelope_sdk.cli.terminal import printable_name, say
from envelope_sdk.errors import UsageError

__all__ = ["Item", "plan", "plan_rotation"]


@dataclass(frozen=True, slots=True)
class Item:
    """One message to make or to open.

    Attributes:
        source: the file to read; ``None`` for standard input.
        target: the file to write; ``None`` for standard output.
        make_folders: whether the target's folder is made where there is none.
    """

    source: Path | None
    target: Path | None
    make_folders: bool = False

    @property
    def name(self) -> str:
        """The source as messages name it."""
        return "-" if self.source is None else str(self.source)


def plan(
    inputs: Sequence[str],
    output: str | None,
    *,
    recursive: bool,
    suffix: str,
    encrypting: bool,
    guarded: Guarded,
) -> list[Item]:
    """Return what to do, in order. What is left out of folders is warned of.

    Args:
        inputs: files, folders or ``-``.
        output: a file, a folder or ``-``; ``None`` for beside each input.
        recursive: whether folders are entered.
        suffix: what encrypted files' names end with.
        encrypting: whether the suffix is put on or taken off.
        guarded: what is not written over, and not taken out of folders.

    Raises:
        click.UsageError: the inputs and the output do not go together, or something would be lost.
    """
    if "" in (*inputs, output):
        raise click.UsageError("a file's name is empty")
    if "-" in inputs and len(inputs) > 1:
        raise click.UsageError("standard input ('-') goes alone")
    folders = [name for name in inputs if name != "-" and Path(name).is_dir()]
    if folders and not recursive:
        raise click.UsageError(f"{folders[0]} is a folder: add --recursive to take everything in it")
    if not folders and len(inputs) == 1:
        item = _single(inputs[0], output, suffix=suffix, encrypting=encrypting)
        _check_targets([item], guarded)
        return [item]
    if output == "-":
        raise click.UsageError("several messages cannot share standard output: give a folder to --output")
    if output is not None and Path(output).exists() and not Path(output).is_dir():
        raise click.UsageError(f"{output} is not a folder, and several files are to be written")
    folder = None if output is None else Path(output)
    items = [
        Item(source, _renamed(source if folder is None else folder / below, suffix, encrypting=encrypting), True)
        for name in inputs
        for source, below in _sources(Path(name), folder, suffix, encrypting=encrypting, guarded=guarded)
    ]
    _check_targets(items, guarded)
    return items


def plan_rotation(
    inputs: Sequence[str], output: str | None, *, recursive: bool, suffix: str, guarded: Guarded
) -> list[Item]:
    """Return which messages to rotate, in order: in place, where no output is named, so that target and source are one.

    Args:
        inputs: files or folders. In folders, links are left out: what they lead to may not be meant.
        output: a file or folder; ``None`` for in place.
        recursive: whether folders are entered.
        suffix: what encrypted files' names end with. Nothing else in folders is looked at.
        guarded: what is not written over, and not taken out of folders.

    Raises:
        click.UsageError: the inputs and the output do not go together, or something would be lost.
    """
    if "" in (*inputs, output):
        raise click.UsageError("a file's name is empty")
    if "-" in (*inputs, output):
        raise click.UsageError("rotation is for files: standard input and output ('-') are none")
    folders = [name for name in inputs if Path(name).is_dir()]
    if folders and not recursive:
        raise click.UsageError(f"{folders[0]} is a folder: add --recursive to rotate every message in it")
    several = len(inputs) > 1 or bool(folders)
    if output is not None and several and Path(output).exists() and not Path(output).is_dir():
        raise click.UsageError(f"{output} is not a folder, and several files are to be written")
    if output is not None and not several and not output.endswith(os.sep) and not Path(output).is_dir():
        items = [Item(Path(inputs[0]), Path(output))]
    else:
        folder = None if output is None else Path(output)
        items = [
            Item(source, source if folder is None else folder / below, folder is not None)
            for name in inputs
            for source, below in _messages(Path(name), folder, suffix, guarded)
        ]
    if output is not None:
        _check_targets(items, guarded)
        return items
    for item in items:
        if item.target is not None and (what := guarded.what(item.target)):
            raise click.UsageError(f"{item.target} is {what}: it would be lost")
    once: dict[str, Item] = {}
    for item in items:
        once.setdefault(os.path.realpath(item.name), item)
    return list(once.values())


def _messages(root: Path, output: Path | None, suffix: str, guarded: Guarded) -> Iterator[tuple[Path, Path]]:
    for source, below in _sources(root, output, suffix, encrypting=False, guarded=guarded):
        if source != root and source.is_symlink():
            say(f"warning: left out {printable_name(str(source))}: it is a link")
        else:
            yield source, below


def _single(name: str, output: str | None, *, suffix: str, encrypting: bool) -> Item:
    source = None if name == "-" else Path(name)
    if output == "-" or (output is None and source is None):
        return Item(source, None)
    into_folder = output is not None and (output.endswith(os.sep) or Path(output).is_dir())
    if output is None or into_folder:
        if source is None:
            raise click.UsageError(f"{output} is a folder: name a file for what comes from standard input")
        beside = source if output is None else Path(output) / source.name
        return Item(source, _renamed(beside, suffix, encrypting=encrypting), into_folder)
    return Item(source, Path(output))


def _renamed(path: Path, suffix: str, *, encrypting: bool) -> Path:
    try:
        return renamed(path, suffix, encrypting=encrypting)
    except UsageError as error:
        raise click.UsageError(f"{error}: name the output with --output") from None


def _sources(
    root: Path, output: Path | None, suffix: str, *, encrypting: bool, guarded: Guarded
) -> Iterator[tuple[Path, Path]]:
    """Return the files below ``root`` and where they stand relative to it; ``root`` itself where it is no folder."""
    if not root.is_dir():
        yield root, Path(root.name)
        return

    def left_out(path: Path) -> str | None:
        what = guarded.left_out(path)
        return what and f"it is {what}"

    def warn(path: Path, reason: str) -> None:
        say(f"warning: left out {printable_name(str(path))}: {reason}")

    yield from files_below(root, output, suffix, encrypting=encrypting, left_out=left_out, on_left_out=warn)


def _check_targets(items: Sequence[Item], guarded: Guarded) -> None:
    seen: dict[str, str] = {}
    sources = {identity_of(item.source) for item in items if item.source is not None}
    for item in items:
        if item.target is None:
            continue
        if identity_of(item.target) in sources:
            raise click.UsageError(f"{item.target} is an input too: it would be lost")
        if what := guarded.what(item.target):
            raise click.UsageError(f"{item.target} is {what}: it would be lost")
        target = os.path.realpath(item.target)
        if target in seen:
            raise click.UsageError(f"{seen[target]} and {item.name} would both become {item.target}")
        seen[target] = item.name
