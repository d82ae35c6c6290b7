"""The page of a report: well-formed, alone in the world, and safe whatever the run says."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from testkit.bench_runs import RUNS, pair, realistic, run

from envelope_sdk.bench.report import as_html
from envelope_sdk.bench.report.columns import columns
from envelope_sdk.bench.report.picture import drawn
from envelope_sdk.bench.report.rows import groups, rows
from envelope_sdk.bench.report.wording import plain
from envelope_sdk.bench.result import Run

DOCTYPE = "<!DOCTYPE html>\n"
PICTURE = '<?xml version="1.0"?>\n<svg width="8pt" height="9pt" viewBox="0 0 8 9"><title>A title</title></svg>\n'
SVG = "{http://www.w3.org/2000/svg}"


def parsed(page: str) -> ElementTree.Element:
    """Return the page as XML, which is stricter than HTML."""
    assert page.startswith(DOCTYPE)
    return ElementTree.fromstring(page.removeprefix(DOCTYPE))


def words(element: ElementTree.Element | None) -> str:
    assert element is not None
    return "".join(element.itertext())


class Outline(HTMLParser):
    """Reads a page as browsers do: which elements and attributes it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@given(RUNS)
def test_every_row_is_in_a_table_with_its_figures(of: Run) -> None:
    found = [[words(cell) for cell in line] for line in parsed(as_html(of, PICTURE)).iterfind(".//tbody/tr")]

    assert found == [[one.of(row) for one in columns(group)] for group in groups(rows(of)) for row in group.rows]
    assert len(found) == len(of.measurements)


@given(RUNS)
def test_what_a_run_says_adds_no_elements(of: Run) -> None:
    """A browser sees what an XML parser sees: elements of this page's making, none that loads or runs something."""
    page = as_html(of, PICTURE)
    outline = Outline(page)

    assert outline.tags == [element.tag for element in parsed(page).iter()]
    assert not {"script", "img", "link", "iframe", "object", "a", "form"} & set(outline.tags)
    assert not [name for name, _ in outline.attributes if name.startswith("on") or name in {"src", "href", "style"}]


@given(RUNS)
def test_what_a_run_says_is_there(of: Run) -> None:
    page = parsed(as_html(of, None))

    assert words(page.find(".//pre/code")) == plain(of.command)
    said = " ".join(words(page).split())
    for word in (of.began, of.machine, *(f"{name}: {why}" for name, why in of.absent.items())):
        assert " ".join(plain(word).split()) in said


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = as_html(realistic(), drawn(realistic(), "svg").decode())

    assert "script" not in Outline(page).tags
    assert not re.search(r"@import|url\(\s*[\"']?(?!#)", page)
    assert not [
        value for name, value in Outline(page).attributes if name.endswith("href") and not value.startswith("#")
    ]


def test_the_picture_is_part_of_the_page_and_described() -> None:
    of = realistic()
    page = parsed(as_html(of, drawn(of, "svg").decode()))
    picture = page.find(f".//figure/{SVG}svg")

    assert picture is not None
    assert (picture.get("role"), picture.get("aria-labelledby")) == ("img", "picture-title picture-description")
    assert "60 times as many messages" in words(picture.find(f"{SVG}title[@id='picture-title']"))
    assert "without a cache, 26.0 ms" in words(picture.find(f"{SVG}desc[@id='picture-description']"))
    assert (picture.get("width"), picture.get("height")) == (None, None)


def test_the_names_of_things_in_a_page_are_not_given_twice() -> None:
    of = realistic()
    names = [value for name, value in Outline(as_html(of, drawn(of, "svg").decode())).attributes if name == "id"]

    assert len(names) == len(set(names)) > 1


def test_without_a_picture_the_page_says_why() -> None:
    page = as_html(realistic(), None, instead="There is no picture: <none>.")

    assert "<figure" not in page
    assert "<p>There is no picture: &lt;none&gt;.</p>" in page


def test_the_page_can_be_walked_by_its_headings_and_tables() -> None:
    page = parsed(as_html(realistic(), PICTURE))
    headings = [element.tag for element in page.iter() if re.fullmatch(r"h\d", element.tag)]

    assert page.get("lang") == "en"
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert all(int(after[1]) <= int(before[1]) + 1 for before, after in itertools.pairwise(headings))
    assert {cell.get("scope") for cell in page.iterfind(".//thead//th")} == {"col"}
    assert {line[0].get("scope") for line in page.iterfind(".//tbody/tr")} == {"row"}
    assert {area.get("tabindex") for area in page.iterfind(".//*[@role='region']")} == {"0"}


@pytest.mark.parametrize("text", ["prefers-color-scheme: dark", "@media print", "max-width: 36rem"])
def test_the_page_fits_where_it_is_read(text: str) -> None:
    assert text in as_html(run(*pair()), None)


def test_the_command_to_repeat_it_is_told() -> None:
    assert "<pre><code>envelope bench --threads 8</code></pre>" in as_html(run(), None)
