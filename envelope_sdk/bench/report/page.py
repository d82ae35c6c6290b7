"""A run as a page to forward: one file that needs no network, no script and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final

from envelope_sdk.bench.report.columns import EXPLAINED, Column, columns
from envelope_sdk.bench.report.rows import Group, Row, groups, rows
from envelope_sdk.bench.report.story import findings, headline, slips
from envelope_sdk.bench.report.style import STYLE
from envelope_sdk.bench.report.wording import plain
from envelope_sdk.bench.result import Run

__all__ = ["as_html"]

_TITLE: Final = "What caching data keys saves"
_OPENING: Final = re.compile(r"<svg\b[^>]*>")
_SIZE: Final = re.compile(r'\s(?:width|height)="[^"]*"')


def as_html(run: Run, picture_svg: str | None, *, instead: str = "") -> str:
    """Return a run as a page of HTML, well-formed as XML too, in which whatever the run says is text.

    Args:
        run: what was measured.
        picture_svg: the picture, as it was drawn; ``None`` where there is none.
        instead: what is said in the picture's place where there is none.
    """
    said = headline(run)
    parts = [
        f"<h1>{_TITLE}</h1>",
        f'<p class="lead">{_text(said)}</p>',
        _list(findings(run)),
        _figure(picture_svg, run) if picture_svg is not None else _paragraph(instead),
        *_tables(run),
        *_circumstances(run),
        *_absent(run),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f'<meta name="description" content="{_text(said)}"/>\n<title>{_TITLE}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _text(said: str) -> str:
    return escape(plain(said))


def _paragraph(said: str) -> str:
    return f"<p>{_text(said)}</p>" if said else ""


def _list(sentences: Iterable[str]) -> str:
    items = [f"<li>{_text(one)}</li>" for one in sentences]
    return "\n".join(["<ul>", *items, "</ul>"]) if items else ""


def _figure(picture_svg: str, run: Run) -> str:
    """Return the picture as a part of the page, described for those who do not see it."""
    drawing = picture_svg[picture_svg.index("<svg") :].strip()
    opening = _OPENING.search(drawing)
    assert opening is not None
    described = (
        f'{_SIZE.sub("", opening[0])[:-1]} role="img" aria-labelledby="picture-title picture-description">\n'
        f'<title id="picture-title">{_text(headline(run))}</title>\n'
        f'<desc id="picture-description">{_text(" ".join(findings(run)))} The tables below hold all figures.</desc>'
    )
    return f"<figure>\n{described}{_untitled(drawing[opening.end() :])}\n</figure>"
