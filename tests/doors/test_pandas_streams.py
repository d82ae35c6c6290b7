"""Tables written and read by pandas through encrypted streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import EnvelopeError

pandas = pytest.importorskip("pandas")


@pytest.fixture
def table():
    return pandas.DataFrame({"id": range(1000), "name": [f"größe {number}" for number in range(1000)]})


def test_a_table_comes_back_as_it_was_written(client: Client, table, tmp_path: Path):
    with client.open(tmp_path / "table.csv", "wb") as writer:
        table.to_csv(writer, index=False)
    with client.open(tmp_path / "table.csv") as reader:
        found = pandas.read_csv(reader)

    pandas.testing.assert_frame_equal(found, table)
    assert "größe".encode() not in (tmp_path / "table.csv").read_bytes()


def test_a_table_is_written_and_read_as_text(client: Client, table, tmp_path: Path):
    with client.open(tmp_path / "table.csv", "wt", encoding="utf-8", newline="") as writer:
        table.to_csv(writer, index=False)
    with client.open(tmp_path / "table.csv", "rt", encoding="utf-8") as reader:
        found = pandas.read_csv(reader)

    pandas.testing.assert_frame_equal(found, table)


def test_a_table_is_read_piece_by_piece(client: Client, table, tmp_path: Path):
    with client.open(tmp_path / "table.csv", "wb") as writer:
        table.to_csv(writer, index=False)
    with client.open(tmp_path / "table.csv") as reader:
        pieces = list(pandas.read_csv(reader, chunksize=64))

    assert len(pieces) == 16
    pandas.testing.assert_frame_equal(pandas.concat(pieces), table)


def test_a_compressed_table_is_written_and_read(client: Client, table, tmp_path: Path):
    with client.open(tmp_path / "table.csv.gz", "wb") as writer:
        table.to_csv(writer, index=False, compression="gzip")
    with client.open(tmp_path / "table.csv.gz") as reader:
        found = pandas.read_csv(reader, compression="gzip")

    pandas.testing.assert_frame_equal(found, table)


def test_a_table_that_was_altered_is_refused(client: Client, table, tmp_path: Path):
    with client.open(tmp_path / "table.csv", "wb") as writer:
        table.to_csv(writer, index=False)
    message = bytearray((tmp_path / "table.csv").read_bytes())
    message[-100] ^= 1
    (tmp_path / "table.csv").write_bytes(message)

    with pytest.raises(EnvelopeError), client.open(tmp_path / "table.csv") as reader:
        pandas.read_csv(reader)
