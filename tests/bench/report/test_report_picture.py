"""The picture of a report: the same for the same run, with every figure in words, and whatever the run says."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from testkit.bench_runs import LEGACY, OWN, RUNS, measurement, pair, realistic, run, scenario

from envelope_sdk.bench.report.palette import LIGHT, NAMES
from envelope_sdk.bench.report.picture import draw, drawn
from envelope_sdk.bench.report.story import headline, shown
from envelope_sdk.bench.report.wording import number
from envelope_sdk.bench.result import Run
from envelope_sdk.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"
COLOURS = dict(zip(NAMES, LIGHT, strict=True))


def svg(of: Run) -> ElementTree.Element:
    return ElementTree.fromstring(drawn(of, "svg"))


def texts(of: Run) -> list[str]:
    return ["".join(text.itertext()) for text in svg(of).iter(f"{SVG}text")]


def bars(of: Run) -> list[tuple[str, float]]:
    """Return the colour and the length of each bar, in the order in which they were drawn."""
    found = []
    for path in svg(of).iter(f"{SVG}path"):
        style, data = path.get("style", ""), path.get("d", "")
        colour = next((name for name in ("cached", "uncached") if f"fill: {COLOURS[name]}" in style), None)
        if colour is not None:
            across = [float(word) for word in data.replace("z", "").split()[1::3]]
            found.append((colour, max(across) - min(across)))
    return found


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_run_is_drawn_the_same(kind: str) -> None:
    """In another process too, and whatever that has set up for pictures of its own."""
    first = drawn(realistic(), kind)
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "patch.force_edgecolor": True, "savefig.dpi": 10}):
        second = drawn(realistic(), kind)
        kept = mpl.rcParams["font.size"]
    code = (
        "import sys; from testkit.bench_runs import realistic; from envelope_sdk.bench.report.picture import drawn; "
        f"sys.stdout.buffer.write(drawn(realistic(), {kind!r}))"
    )
    path = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    third = subprocess.run(path, capture_output=True, check=True).stdout

    assert first == second == third
    assert kept == 30


def test_a_picture_says_nothing_of_when_and_by_what_it_was_drawn() -> None:
    assert b"date" not in drawn(realistic(), "svg").lower()
    assert b"Matplotlib" not in drawn(realistic(), "svg")
    assert b"tEXt" not in drawn(realistic(), "png")


def test_the_headline_is_over_it_unless_it_stands_elsewhere() -> None:
    of = realistic()
    untitled = ElementTree.fromstring(drawn(of, "svg", titled=False))
    said = ["".join(text.itertext()) for text in untitled.iter(f"{SVG}text")]

    assert headline(of) in " ".join(texts(of))
    assert headline(of) not in " ".join(said)
    assert said == [text for text in texts(of) if text in said]


def test_every_row_is_drawn_with_its_figures() -> None:
    of = realistic()
    said = texts(of)

    for row in (row for group in shown(of, 3) for row in group.rows):
        assert any(text.startswith(number(row.measured.messages_per_second)) for text in said)
        assert number(row.calls_per_thousand) in said
    assert [text for text in said if text in ("cached", "uncached")] == [
        *("uncached", "cached", "uncached", "cached", "uncached"),
        *("uncached", "cached"),
    ]
    assert said.count(OWN) == 2
    assert said.count(LEGACY) == 1
    assert "1,903, 14 failed" in said
    assert "Calls throttled: envelope-sdk 4,600 uncached, 0 cached" in said


def test_bars_are_as_long_as_their_figures() -> None:
    """From zero, each panel by its own longest; cached and uncached by their colours."""
    of = run(*pair())
    (calls, fewer, slower, faster, late, soon) = bars(of)

    assert [bar[0] for bar in bars(of)] == ["uncached", "cached"] * 3
    assert fewer[1] / calls[1] == pytest.approx(3 / 12_000, abs=1e-5)
    assert faster[1] / slower[1] == pytest.approx(60, rel=1e-3)
    assert soon[1] / late[1] == pytest.approx(0.0011 / 0.026, rel=1e-3)


def test_greys_alone_tell_cached_from_uncached() -> None:
    """Printed without colours: the luminance (ITU-R BT.601) of the two differs by a quarter of the range and more."""

    def luminance(colour: str) -> float:
        red, green, blue = struct.unpack("3B", bytes.fromhex(colour[1:]))
        return (0.299 * red + 0.587 * green + 0.114 * blue) / 255

    assert luminance(COLOURS["uncached"]) - luminance(COLOURS["cached"]) > 0.25
    assert luminance(COLOURS["paper"]) - luminance(COLOURS["uncached"]) > 0.25


def test_limits_are_beside_bars_that_differ_in_nothing_else() -> None:
    uncached, cached = pair()
    small = replace(cached, scenario=replace(cached.scenario, max_messages=10))

    assert {"uncached", "10,000, cached", "10, cached"} <= set(texts(run(uncached, cached, small)))


def test_what_has_no_figure_is_drawn_without() -> None:
    failed = replace(pair()[0], messages=0, latency=None, dollars_per_million=None, failures={"KmsError": 7})
    said = texts(run(failed, pair()[1]))

    assert {"none succeeded", "0, 7 failed", "-"} <= set(said)


def test_what_is_not_finite_has_no_bar_and_leaves_the_others_theirs() -> None:
    endless = measurement(scenario(), 12_000, 40.0, calls=12_000, p99=float("inf"))
    late, soon = bars(run(endless, pair()[1]))[-2:]

    assert late[1] == 0
    assert soon[1] == max(length for _, length in bars(run(*pair()))[-2:])


def test_signs_of_mathematics_are_letters() -> None:
    """And a name that is too long for its place is cut."""
    said = texts(run(*pair(subject=r"$\frac{1}{0}$ & <b>"), *pair(subject="long " * 20)))

    assert r"$\frac{1}{0}$ & <b>" in said
    assert max(len(text) for text in said if text.startswith("long")) <= 30


@settings(max_examples=25)
@given(RUNS.filter(lambda of: bool(of.measurements)))
def test_whatever_was_measured_can_be_drawn(of: Run) -> None:
    assert "".join(text for text in svg(of).itertext())
    assert len(bars(of)) == 3 * len([row for group in shown(of, 3) for row in group.rows])


def test_a_picture_is_written_as_its_name_says(tmp_path: Path) -> None:
    for name, begin in (("a.svg", b"<?xml"), ("b.png", b"\x89PNG"), ("c.PNG", b"\x89PNG")):
        (tmp_path / name).write_bytes(b"older")
        draw(realistic(), tmp_path / name)

        assert (tmp_path / name).read_bytes().startswith(begin)


@pytest.mark.parametrize("name", ["a.pdf", "a", "svg"])
def test_other_kinds_of_picture_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a picture is written as png or svg, not"):
        draw(realistic(), tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_nothing_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="nothing was measured, so there is nothing to draw"):
        drawn(run(), "svg")


def test_without_matplotlib_it_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "try:\n    import envelope_sdk.bench.report.picture\n"
        "except ImportError as error:\n    print(error)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "the picture of a bench needs matplotlib: pip install 'envelope-sdk[bench]'\n"
