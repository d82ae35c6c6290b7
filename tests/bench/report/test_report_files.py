"""The folder of a report: five files, whole ones, of one run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from testkit.bench_runs import pair, realistic, run

from envelope_sdk.bench.report import as_markdown, write_report
from envelope_sdk.bench.report.picture import drawn

NAMES = ["result.json", "report.md", "caching.svg", "caching.png", "report.html"]

WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None  # as if it were not installed
sys.path[:0] = {path!r}
from pathlib import Path
from testkit.bench_runs import realistic
from envelope_sdk.bench.report import write_report
print([file.name for file in write_report(realistic(), Path({folder!r}))])
"""


def test_a_report_is_five_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    of = realistic()

    assert write_report(of, folder) == [folder / name for name in NAMES]
    assert sorted(file.name for file in folder.iterdir()) == sorted(NAMES)
    assert json.loads((folder / "result.json").read_text("utf-8")) == asdict(of)
    assert (folder / "report.md").read_text("utf-8") == as_markdown(of, picture="caching.svg")
    assert (folder / "caching.svg").read_bytes() == drawn(of, "svg")
    assert (folder / "caching.png").read_bytes() == drawn(of, "png")
    assert drawn(of, "svg", titled=False).decode().split("<metadata>")[1][-2000:] in (
        (folder / "report.html").read_text("utf-8")
    )


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("older")
    (tmp_path / "notes.txt").write_text("mine")
    write_report(realistic(), tmp_path)

    assert "older" not in [(tmp_path / name).read_bytes()[:5].decode("latin-1") for name in NAMES]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*NAMES, "notes.txt"])


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """Who has the older one open goes on reading it."""
    (tmp_path / "report.md").write_text("older")
    with (tmp_path / "report.md").open() as reader:
        write_report(run(*pair()), tmp_path)

        assert reader.read() == "older"


def test_a_report_is_as_readable_as_the_user_has_it(tmp_path: Path) -> None:
    """It is there to be shown, unlike keys and plaintext."""
    (tmp_path / "usual").write_text("")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in write_report(run(*pair()), tmp_path)}

    assert modes == {stat.S_IMODE((tmp_path / "usual").stat().st_mode)}


def test_of_nothing_there_is_a_report_without_a_picture(tmp_path: Path) -> None:
    """Nor does one of an older run stay beside it."""
    write_report(realistic(), tmp_path)
    written = write_report(run(), tmp_path)

    assert [file.name for file in written] == ["result.json", "report.md", "report.html"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert "caching.svg" not in (tmp_path / "report.md").read_text("utf-8")


def test_without_matplotlib_the_rest_is_written_and_says_so(tmp_path: Path) -> None:
    write_report(run(*pair()), tmp_path)
    code = WITHOUT_MATPLOTLIB.format(path=sys.path, folder=str(tmp_path))
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "['result.json', 'report.md', 'report.html']\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.md", "result.json"]
    said = "There is no picture: the picture of a bench needs matplotlib: pip install "
    assert said in (tmp_path / "report.md").read_text("utf-8")
    assert said in (tmp_path / "report.html").read_text("utf-8")


def test_words_that_have_no_bytes_are_written_as_json_escapes_them(tmp_path: Path) -> None:
    of = run(machine=os.fsdecode(b"\xff"))
    write_report(of, tmp_path)

    assert json.loads((tmp_path / "result.json").read_text("utf-8")) == asdict(of)


def test_a_file_that_cannot_be_written_leaves_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "report.md").mkdir()
    with pytest.raises(OSError, match=r"report\.md"):
        write_report(run(*pair()), tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.md", "result.json"]


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("mine")
    with pytest.raises(OSError, match="report"):
        write_report(run(*pair()), tmp_path / "report")

    assert (tmp_path / "report").read_text() == "mine"
