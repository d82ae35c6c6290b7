"""Folders as items: what is in them, and what it becomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from envelope_sdk.bulk.operations import Item
from envelope_sdk.errors import UsageError

__all__ = ["SUFFIX", "Found", "decrypting", "encrypting", "files_below", "renamed", "rotating"]

SUFFIX = ".enc"
"""What the names of encrypted files end with, where the caller says nothing."""

Found = tuple[Path, Path]
"""A file, and where it stands relative to the folder that it was found in."""

OnLeftOut = Callable[[Path, str], object]
"""Is told of what is left out, and why."""


def encrypting(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    suffix: str = SUFFIX,
    on_left_out: OnLeftOut | None = None,
) -> Iterator[Item]:
    """Yield an item for each file in a folder that is to be encrypted, as they are found, in a fixed order.

    ``NAME`` becomes ``NAME.enc``. Left out are files whose names end so already, links to folders, and what is no
    regular file.

    Args:
        folder: what is walked.
        output: where the messages go, in folders as in ``folder``; ``None`` for beside the files.
        suffix: what messages' names end with.
        on_left_out: is told of what is left out, but for its name.

    Raises:
        OSError: a folder cannot be read.
    """
    yield from _items(folder, output, suffix, encrypting=True, on_left_out=on_left_out)


def decrypting(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    suffix: str = SUFFIX,
    on_left_out: OnLeftOut | None = None,
) -> Iterator[Item]:
    """Yield an item for each file in a folder whose name ends in ``suffix``, which is taken off.

    Arguments and errors as of :func:`encrypting`.
    """
    yield from _items(folder, output, suffix, encrypting=False, on_left_out=on_left_out)


def rotating(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    suffix: str = SUFFIX,
    on_left_out: OnLeftOut | None = None,
) -> Iterator[Item]:
    """Yield an item for each file in a folder whose name ends in ``suffix``: in place, where there is no ``output``.

    Left out are links too: what they lead to may not be meant. Arguments and errors as of :func:`encrypting`.
    """
    root, to = _ends(folder, output)
    for path, below in files_below(root, to, suffix, encrypting=False, on_left_out=on_left_out):
        if not path.is_symlink():
            yield Item(str(path), str(path if to is None else to / below), path.stat().st_size)
        elif on_left_out is not None:
            on_left_out(path, "it is a link")


def _ends(folder: str | os.PathLike[str], output: str | os.PathLike[str] | None) -> tuple[Path, Path | None]:
    # Workers may stand elsewhere.
    root = Path(folder).absolute()
    if not root.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    return root, None if output is None else Path(output).absolute()


def _items(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None,
    suffix: str,
    *,
    encrypting: bool,
    on_left_out: OnLeftOut | None,
) -> Iterator[Item]:
    root, to = _ends(folder, output)
    for path, below in files_below(root, to, suffix, encrypting=encrypting, on_left_out=on_left_out):
        target = renamed(path if to is None else to / below, suffix, encrypting=encrypting)
        yield Item(str(path), str(target), _size(path))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        # It has just been there: reading will tell.
        return None


def renamed(path: Path, suffix: str, *, encrypting: bool) -> Path:
    """Return a path with the suffix put on or taken off.

    Raises:
        UsageError: it does not end so.
    """
    if encrypting:
        return path.with_name(path.name + suffix)
    if not path.name.endswith(suffix) or path.name == suffix:
        raise UsageError(f"{path.name} does not end in {suffix}")
    return path.with_name(path.name.removesuffix(suffix))


def files_below(
    root: Path,
    output: Path | None,
    suffix: str,
    *,
    encrypting: bool,
    left_out: Callable[[Path], str | None] = lambda _: None,
    on_left_out: OnLeftOut | None = None,
) -> Iterator[Found]:
    """Yield the files below a folder that are to be encrypted or decrypted, in a fixed order.

    What already is encrypted is not encrypted again, and nothing else is decrypted.

    Args:
        root: the folder.
        output: a folder that is not entered, since it is where things go.
        suffix: what encrypted files' names end with.
        encrypting: whether those without it are meant, or those with it.
        left_out: returns why a file is to be left out; ``None`` where it is not.
        on_left_out: is told of what is left out for another reason than its name.

    Raises:
        OSError: a folder cannot be read.
    """
    for folder, folders, files in os.walk(root, onerror=_refuse):
        here = Path(folder)
        folders.sort()
        if output is not None:
            folders[:] = [name for name in folders if not _same(here / name, output)]
        linked = {name for name in folders if (here / name).is_symlink()}
        for name in sorted([*files, *linked]):
            encrypted = name.endswith(suffix) and name != suffix
            if encrypted is encrypting and name not in linked:
                continue
            path = here / name
            reason = left_out(path) if path.is_file() else _no_file(path)
            if reason is None:
                yield path, path.relative_to(root)
            elif on_left_out is not None:
                on_left_out(path, reason)


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "it is a link to a folder"
    if path.exists():
        return "it is no regular file"
    return "it is a link to nothing" if path.is_symlink() else "it is gone"


def _refuse(error: OSError) -> None:
    raise error


def _same(left: Path, right: Path) -> bool:
    return os.path.realpath(left) == os.path.realpath(right)
