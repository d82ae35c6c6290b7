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
_SLASH: Final = re.compile(r"/(?=\S{3})")
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
        _figure(picture_svg) if picture_svg is not None else _paragraph(instead),
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


def _figure(picture_svg: str) -> str:
    """Return the picture as a part of the page, as large as there is room for."""
    drawing = picture_svg[picture_svg.index("<svg") :].strip()
    return f'<figure tabindex="0">\n{_OPENING.sub(lambda found: _SIZE.sub("", found[0]), drawing, count=1)}\n</figure>'


def _tables(run: Run) -> list[str]:
    found = groups(rows(run))
    if not found:
        return []
    explained = [f"<dt>{_text(one.title)}</dt><dd>{_text(one.explained)}</dd>" for one in EXPLAINED]
    meaning = ["<h3>What the columns say</h3>", "<dl>", *explained, "</dl>"]
    return ["<h2>All figures</h2>", *(_section(group) for group in found), *meaning]


def _section(group: Group) -> str:
    """Return a group's heading, what its rows share, their table, and what it hides."""
    these = columns(group)
    head = "".join(f'<th scope="col"{_kind(one)}>{_breakable(one.title)}</th>' for one in these)
    name = _text(group.condition.words())
    lines = [
        f"<h3>{name}</h3>",
        f'<p class="faint">{_text("; ".join(group.shared()))}.</p>',
        # A table that is wider than the screen is moved by keys too.
        f'<div class="wide" role="region" aria-label="{name}" tabindex="0">\n<table>',
        f"<thead><tr>{head}</tr></thead>",
        "<tbody>",
        *(_row(row, these) for row in group.rows),
        "</tbody>\n</table>\n</div>",
    ]
    return "\n".join([*lines, _list(slips(group))])


def _row(row: Row, these: list[Column]) -> str:
    subject, *others = these
    cells = "".join(f"<td{_kind(one)}>{_text(one.of(row))}</td>" for one in others)
    kind = ' class="cached"' if row.scenario.cached else ""
    return f'<tr{kind}><th scope="row"{_kind(subject)}>{_text(subject.of(row))}</th>{cells}</tr>'


def _breakable(title: str) -> str:
    """Return a title that may go on in a second line after a slash, unless little follows."""
    return _SLASH.sub("/<wbr/>", _text(title))


def _kind(column: Column) -> str:
    return ' class="label"' if column.label else ""


def _circumstances(run: Run) -> list[str]:
    software = ", ".join(f"{name} {version}" for name, version in run.software.items())
    said = {"When": run.began, "Machine": run.machine, "Software": software}
    facts = [f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in said.items() if value]
    repeat = ["<h2>To repeat it</h2>", f"<pre><code>{_text(run.command)}</code></pre>"]
    return ["<h2>How it was measured</h2>", "<dl>", *facts, "</dl>", *repeat]


def _absent(run: Run) -> list[str]:
    if not run.absent:
        return []
    return ["<h2>Left out</h2>", _list(f"{name}: {why}" for name, why in run.absent.items())]
