"""A run as one picture: calls and money, messages a second and the slowest of them, cached beside uncached."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from envelope_sdk.bench.report.palette import LIGHT
from envelope_sdk.bench.report.rows import Group, Row
from envelope_sdk.bench.report.story import environment, findings, headline, shown
from envelope_sdk.bench.report.wording import NONE, dollars, duration, number, plain
from envelope_sdk.bench.result import OWN, Run
from envelope_sdk.errors import UsageError

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError("the picture of a bench needs matplotlib: pip install 'envelope-sdk[bench]'") from error

__all__ = ["FORMATS", "draw", "drawn"]

# Its own types leave much open.
_library: Final[Any] = mpl

FORMATS: Final = ("png", "svg")
"""What a picture is written as."""

_PAPER, _INK, _FAINT, _, _CACHED, _UNCACHED, _ = LIGHT
_SETTINGS: Final[Any] = {
    "font.family": "sans-serif",
    # matplotlib brings the first along, the same on every machine; readers of the SVG may have another.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva", "Arial"],
    "font.size": 9.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "envelope bench",
    "text.color": _INK,
    "text.parse_math": False,
}
# All of these are inches.
_WIDTH: Final = 8.0
_MARGIN: Final = 0.12
_BAR: Final = 0.2
_GAP: Final = 0.07
_TITLE: Final = 0.24
_BETWEEN: Final = 0.2
_LINE: Final = 0.21
_NAMES: Final = 2.62
_LABEL: Final = 0.06
_SMALL: Final = 0.8 * _LINE

_DOTS: Final = 200  # an inch
_GROUPS: Final = 3
_NAME_LENGTH: Final = 30


@dataclass(frozen=True, slots=True)
class _Panel:
    """A column of bars.

    Attributes:
        left: where it begins, in inches.
        bar: how long its longest bar is, in inches: 0 where figures alone do.
        title: over it.
        better: below that.
        of: how long a bar is.
        label: at its end.
    """

    left: float
    bar: float
    title: str
    better: str
    of: Callable[[Row], float | None]
    label: Callable[[Row], str]


def draw(run: Run, path: Path) -> None:
    """Write a run as one picture; the same run always gives the same bytes, with the same matplotlib.

    Args:
        run: what was measured.
        path: of the file, which ends in ``.svg`` or ``.png``; one that is there is replaced.

    Raises:
        UsageError: the path ends otherwise, or nothing was measured.
        OSError: the file cannot be written.
    """
    path.write_bytes(drawn(run, path.suffix.lower().removeprefix(".")))


def drawn(run: Run, kind: str, *, titled: bool = True) -> bytes:
    """Return a run as one picture.

    Args:
        run: what was measured.
        kind: one of :data:`FORMATS`.
        titled: whether the headline is over it, which is not needed where it stands in the text.

    Raises:
        UsageError: the kind is none of these, or nothing was measured.
    """
    if kind not in FORMATS:
        raise UsageError(f"a picture is written as {' or '.join(FORMATS)}, not {kind!r}")
    if not run.measurements:
        raise UsageError("nothing was measured, so there is nothing to draw")
    output = io.BytesIO()
    described: dict[str, str | None] = dict.fromkeys(("Date", "Creator") if kind == "svg" else ("Software",))
    if kind == "svg":
        described["Title"] = _letters(headline(run))
    # What a user has set up for other pictures does not change this one.
    with _library.rc_context():
        _library.rcdefaults()
        _library.rcParams.update(_SETTINGS)
        _figure(run, titled=titled).savefig(
            output, format=kind, dpi=_DOTS if kind == "png" else "figure", metadata=described
        )
    return _described(output.getvalue(), run) if kind == "svg" else output.getvalue()


def _described(svg: bytes, run: Run) -> bytes:
    """Return the picture with words for those who do not see it."""
    title = f'<title id="picture-title">{_text(headline(run))}</title>'
    description = f'<desc id="picture-description">{_text(" ".join(findings(run)))}</desc>'
    described = svg.decode("utf-8").replace(
        "<svg ", '<svg role="img" aria-labelledby="picture-title picture-description" ', 1
    )
    return re.sub("<title>.*?</title>", lambda _: f"{title}\n {description}", described, count=1).encode("utf-8")


def _text(said: str) -> str:
    return escape(plain(said))


class _Sheet:
    """The figure, filled from the top."""

    def __init__(self, height: float) -> None:
        self.figure: Any = Figure(figsize=(_WIDTH, height), facecolor=_PAPER)
        self._height = height
        self._top = _MARGIN

    def down(self, inches: float) -> None:
        """Leave so much free."""
        self._top += inches

    def say(self, text: str, left: float, **look: Any) -> None:
        """Write a line below the current height, which stays."""
        y = 1 - self._top / self._height
        self.figure.text(left / _WIDTH, y, _letters(text), va="top", **look)

    def axes(self, height: float) -> Any:
        """Return what is below the current height, which stays; both its axes are in inches, from the upper left."""
        axes = self.figure.add_axes((0, 1 - (self._top + height) / self._height, 1, height / self._height))
        axes.set_axis_off()
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(height, 0)
        return axes


def _figure(run: Run, *, titled: bool) -> Any:
    found = shown(run, _GROUPS)
    title = textwrap.wrap(_letters(headline(run)), 86) if titled else []
    foot = textwrap.wrap(f"Bars begin at 0; each panel has a scale of its own. Measured {environment(run)}.", 138)
    lines = _LINE * (len(title) + 1.6 + 0.75 + 1.25) + _SMALL * len(foot)
    sheet = _Sheet(2 * _MARGIN + lines + sum(map(_group_height, found)))
    for line in title:
        sheet.say(line, _MARGIN, fontsize=11, fontweight="bold")
        sheet.down(_LINE)
    sheet.say(found[0].rows[0].workload.words(), _MARGIN, color=_FAINT)
    sheet.down(1.6 * _LINE)
    _heads(sheet)
    for group in found:
        _group(sheet, group)
    for line in foot:
        sheet.say(line, _MARGIN, color=_FAINT, fontsize=7.5)
        sheet.down(_SMALL)
    return sheet.figure


def _heads(sheet: _Sheet) -> None:
    for panel in _PANELS:
        sheet.say(panel.title, panel.left, fontweight="bold")
    sheet.down(0.75 * _LINE)
    for panel in _PANELS:
        sheet.say(panel.better, panel.left, color=_FAINT, fontsize=8)
    sheet.down(1.25 * _LINE)


def _group(sheet: _Sheet, group: Group) -> None:
    sheet.say(group.condition.words(), _MARGIN, fontweight="bold", color=_FAINT)
    sheet.down(_TITLE)
    lines = _throttled(group)
    for line in lines:
        sheet.say(line, _MARGIN, color=_FAINT, fontsize=8)
        sheet.down(_SMALL)
    sheet.down(_GAP if lines else 0.0)
    height = _rows_height(group)
    axes = sheet.axes(height)
    _names(axes, group)
    for panel in _PANELS:
        _bars(axes, panel, group)
    sheet.down(height + _BETWEEN)


def _group_height(group: Group) -> float:
    lines = _throttled(group)
    return _TITLE + _SMALL * len(lines) + (_GAP if lines else 0.0) + _rows_height(group) + _BETWEEN


def _throttled(group: Group) -> list[str]:
    """Return whose calls were throttled, and how many, in lines; none where no calls were."""
    whose: dict[str, list[str]] = {}
    for row in group.rows:
        how = "cached" if row.scenario.cached else "uncached"
        whose.setdefault(plain(row.scenario.subject), []).append(f"{row.measured.throttles:,} {how}")
    touched = {plain(row.scenario.subject) for row in group.rows if row.measured.throttles}
    said = "; ".join(f"{subject} {', '.join(counts)}" for subject, counts in whose.items() if subject in touched)
    if not said:
        return []
    return textwrap.wrap(f"Calls throttled: {said}", 125)


def _bars(axes: Any, panel: _Panel, group: Group) -> None:
    values = [_finite(panel.of(row)) for row in group.rows]
    longest = max(values) or 1.0
    lengths = [panel.bar * (value / longest) for value in values]
    places = _places(group)
    if panel.bar:
        colours = [_CACHED if row.scenario.cached else _UNCACHED for row in group.rows]
        axes.barh(places, lengths, left=panel.left, height=0.8 * _BAR, color=colours)
        axes.plot([panel.left] * 2, [0, _rows_height(group)], color=_FAINT, linewidth=0.8)
    for row, length, place in zip(group.rows, lengths, places, strict=True):
        end = panel.left + length + (_LABEL if panel.bar else 0.0)
        weight = "bold" if row.scenario.cached else "normal"
        axes.text(end, place, _letters(panel.label(row)), va="center", fontsize=8.5, fontweight=weight)


def _names(axes: Any, group: Group) -> None:
    """Write whose a bar is, left of the panels: the subject once for all its bars."""
    before = None
    for row, place in zip(group.rows, _places(group), strict=True):
        subject = row.scenario.subject
        if subject != before:
            weight = "bold" if subject == OWN else "normal"
            name = "\n".join(textwrap.wrap(plain(subject), _NAME_LENGTH, max_lines=2, placeholder="..."))
            axes.text(_MARGIN, place, _letters(name), va="center", fontweight=weight)
        before = subject
        how, colour = ("cached", _CACHED) if row.scenario.cached else ("uncached", _FAINT)
        limits = [said for fact in group.varying() if (said := fact.of(row)) != NONE]
        axes.text(_NAMES - _LABEL, place, _letters(", ".join([*limits, how])), va="center", ha="right", color=colour)


def _places(group: Group) -> list[float]:
    """Return where the middles of the bars are, from the top, with a gap between subjects."""
    places: list[float] = []
    top, before = 0.0, group.rows[0].scenario.subject
    for row in group.rows:
        top += _GAP if row.scenario.subject != before else 0.0
        places.append(top + _BAR / 2)
        top, before = top + _BAR, row.scenario.subject
    return places


def _rows_height(group: Group) -> float:
    return _places(group)[-1] + _BAR / 2


def _calls(row: Row) -> str:
    return number(row.calls_per_thousand) if row.measured.messages else "none succeeded"


def _speed(row: Row) -> str:
    rate = number(row.measured.messages_per_second)
    return f"{rate}, {row.failed:,} failed" if row.failed else rate


def _slowest(row: Row) -> float | None:
    return None if row.measured.latency is None else row.measured.latency.p99


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0


def _letters(text: str) -> str:
    """Return text with the letters that the font is sure to have."""
    return text.encode("latin-1", "replace").decode("latin-1")


_PANELS: Final[tuple[_Panel, ...]] = (
    _Panel(_NAMES, 0.75, "KMS calls", "for 1,000 messages", lambda row: row.calls_per_thousand, _calls),
    _Panel(3.93, 0.0, "cost", "of a million", lambda row: row.dollars, lambda row: dollars(row.dollars)),
    _Panel(4.75, 0.9, "messages a second", "more is better", lambda row: row.measured.messages_per_second, _speed),
    _Panel(6.6, 0.7, "slowest 1 in 100", "p99: less is better", _slowest, lambda row: duration(_slowest(row))),
)
