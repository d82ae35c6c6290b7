"""A run as a folder of files: the figures, the texts and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from envelope_sdk.bench.report.markdown import as_markdown
from envelope_sdk.bench.report.page import as_html
from envelope_sdk.bench.result import Run, to_json

__all__ = ["write_report"]

_PICTURE: Final = "caching.svg"
_PRINT: Final = "caching.png"


def write_report(run: Run, folder: Path) -> list[Path]:
    """Write ``result.json``, ``report.md``, ``caching.svg``, ``caching.png`` and ``report.html`` into a folder.

    The folder is made where it is not there. Files of these names are replaced, each in one step, once all of them are
    made. Where matplotlib is missing or nothing was measured there are no pictures, not those of an older run either;
    the texts say why.

    Returns:
        The files, in this order.

    Raises:
        OSError: one cannot be written; what is there of the others is of this run or of the one before.
    """
    made = _made(run)
    folder.mkdir(parents=True, exist_ok=True)
    for name in {_PICTURE, _PRINT} - made.keys():
        (folder / name).unlink(missing_ok=True)
    return [_replaced(folder / name, content) for name, content in made.items()]


def _made(run: Run) -> dict[str, bytes]:
    """Return what the files hold, by their names."""
    pictures, instead = _pictures(run)
    inline = pictures.pop("", None)
    texts = as_markdown(run, picture=_PICTURE if pictures else None, instead=instead)
    page = as_html(run, None if inline is None else inline.decode("utf-8"), instead=instead)
    # What cannot be encoded is written as JSON escapes it.
    figures = to_json(run).encode("utf-8", "backslashreplace")
    return {"result.json": figures, "report.md": texts.encode(), **pictures, "report.html": page.encode()}


def _pictures(run: Run) -> tuple[dict[str, bytes], str]:
    """Return the pictures by their names, the page's under none, and what is said where there are none."""
    try:
        from envelope_sdk.bench.report.picture import drawn
    except ImportError as error:
        return {}, f"There is no picture: {error}."
    if not run.measurements:
        return {}, ""
    files = {_PICTURE: drawn(run, "svg"), _PRINT: drawn(run, "png")}
    return {**files, "": drawn(run, "svg", titled=False)}, ""


def _replaced(path: Path, content: bytes) -> Path:
    """Write a file that others may read, as the user has set it up, and return its path."""
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
