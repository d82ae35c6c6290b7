"""How many bytes of an encrypted table are read for a part of it, by pandas, pyarrow and dask, through fsspec.

    python benchmarks/encrypted_tables.py                  # a Parquet file and a CSV file of 1 GiB each
    python benchmarks/encrypted_tables.py --mib 128

Proves that a part of an encrypted table costs the frames that it lies in, however long the table is. Counted are the
bytes and requests that a store is asked for; nothing is timed. Baseline: the same done with the same file unencrypted,
through what fsspec puts over files of a store by itself. What comes out of both is compared. "Wanted" are the bytes of
the plain file that nobody could do without: chunks of columns and the metadata, lines, blocks.

Needs pandas, pyarrow and dask, and four times the size on the disk (``TMPDIR``).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dask
import dask.dataframe
import fsspec
import numpy
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
from counted_files import CountedFiles
from interleaved import environment
from report import Report
from tables import markdown

from envelope_sdk.keyrings.key_files import encode_aes_key_file

MIB: Final = 2**20
GROUPS: Final = 16
BLOCKS: Final = 64
FEW: Final = 1000
COLUMNS: Final = ("id", "customer", "amount", "tax", "discount", "quantity", "product", "store")


@dataclass(frozen=True)
class Place:
    """A table as Parquet and as CSV, plain or encrypted."""

    url: str
    options: dict[str, Any]

    def file(self, name: str) -> Any:
        return fsspec.open(f"{self.url}/{name}", **self.options)

    def dataset(self, name: str) -> Any:
        fs, path = fsspec.url_to_fs(f"{self.url}/{name}", **self.options)
        return pyarrow.dataset.dataset(path, filesystem=fs, format="parquet")


# --- the tables ------------------------------------------------------------------------------------------------------


def batches(rows: int) -> Iterator[Any]:
    """Return a table of so many rows, a part at a time; the same in every run."""
    chance = numpy.random.default_rng(0)
    for part in range(GROUPS):
        ids = numpy.arange(rows * part // GROUPS, rows * (part + 1) // GROUPS)
        others = [chance.integers(10**9, 2**31, len(ids)) for _ in COLUMNS[1:]]
        yield pyarrow.table([ids, *others], names=COLUMNS)


def write_parquet(file: Any, rows: int) -> None:
    writer = None
    for batch in batches(rows):
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(file, batch.schema, compression="none", use_dictionary=False)
        writer.write_table(batch, row_group_size=len(batch))
    writer.close()  # type: ignore[union-attr]


def write_csv(file: Any, rows: int) -> None:
    writer = None
    for batch in batches(rows):
        writer = writer or pyarrow.csv.CSVWriter(file, batch.schema)
        writer.write_table(batch)
    writer.close()  # type: ignore[union-attr]


def write(folder: Path, mib: int) -> None:
    """Write both tables, each plain and encrypted, through local files."""
    options = encrypted(folder).options
    for name, write_table, row in (("table.parquet", write_parquet, 64), ("table.csv", write_csv, 86)):
        for url in (f"file://{folder}/plain/{name}", f"esdk::file://{folder}/encrypted/{name}"):
            with fsspec.open(url, "wb", **(options if "esdk" in url else {})) as file:
                write_table(file, mib * MIB // row)


def encrypted(folder: Path) -> Place:
    return Place(f"esdk::counted://{folder}/encrypted", {"esdk": {"keys": [str(folder / "key.json")]}})


def plain(folder: Path) -> Place:
    return Place(f"counted://{folder}/plain", {})


# --- what is read of them --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A part of a table, how it is read, and how many bytes of the plain file it is."""

    name: str
    read: Callable[[Place], object]
    wanted: int


def parts_of_parquet(path: Path) -> list[Part]:
    metadata = pyarrow.parquet.read_metadata(path)
    footer = metadata.serialized_size + 8
    chunk = metadata.row_group(0).column(2).total_compressed_size
    column = sum(metadata.row_group(number).column(2).total_compressed_size for number in range(GROUPS))
    middle = metadata.num_rows // 2 + 7
    few = [("id", ">=", middle), ("id", "<", middle + FEW)]

    def of_pandas(place: Place, columns: list[str], filters: Any = None) -> object:
        url = f"{place.url}/{path.name}"
        table = pandas.read_parquet(url, columns=columns, filters=filters, storage_options=place.options)
        return list(table.sum())

    def of_dask(place: Place) -> Any:
        url = f"{place.url}/{path.name}"
        return dask.dataframe.read_parquet(
            url, columns=["amount"], split_row_groups=True, storage_options=place.options
        )

    def row_group(place: Place) -> object:
        with place.file(path.name) as file:
            return pyarrow.parquet.ParquetFile(file).read_row_group(GROUPS // 2, columns=["amount"])

    def few_rows(place: Place) -> object:
        field = pyarrow.dataset.field("id")
        wanted = (field >= middle) & (field < middle + FEW)
        return place.dataset(path.name).to_table(columns=["id", "amount"], filter=wanted)

    return [
        Part("pyarrow: the metadata", lambda place: read_metadata(place, path.name), footer),
        Part("pyarrow: one column of one row group", row_group, chunk + footer),
        Part("pyarrow: one column, dataset", lambda at: at.dataset(path.name).to_table(["amount"]), column + footer),
        Part("pyarrow: two columns of 1,000 rows, dataset", few_rows, 2 * chunk + footer),
        Part("pandas: one column", lambda place: of_pandas(place, ["amount"]), column + footer),
        Part("pandas: two columns of 1,000 rows", lambda at: of_pandas(at, ["id", "amount"], few), 2 * chunk + footer),
        Part(
            "dask: one column of one partition",
            lambda at: list(of_dask(at).partitions[3].sum().compute()),
            chunk + footer,
        ),
        Part("dask: one column", lambda place: list(of_dask(place).sum().compute()), column + footer),
    ]


def read_metadata(place: Place, name: str) -> object:
    with place.file(name) as file:
        return pyarrow.parquet.read_metadata(file).num_rows


def parts_of_csv(path: Path) -> list[Part]:
    size = path.stat().st_size
    block = -(-size // BLOCKS)
    with path.open("rb") as file:
        lines = sum(len(file.readline()) for _ in range(FEW + 1))

    def first_rows(place: Place) -> object:
        table = pandas.read_csv(f"{place.url}/{path.name}", nrows=FEW, storage_options=place.options)
        return list(table.sum())

    def of_dask(place: Place) -> Any:
        url = f"{place.url}/{path.name}"
        return dask.dataframe.read_csv(url, blocksize=block, usecols=["amount"], storage_options=place.options)

    def middle(place: Place) -> object:
        fs, name = fsspec.url_to_fs(f"{place.url}/{path.name}", **place.options)
        return fs.cat_file(name, size // 2, size // 2 + FEW)

    return [
        Part("pandas: the first 1,000 rows", first_rows, lines),
        Part("cat_file: 1,000 bytes from the middle", middle, FEW),
        Part("dask: one block of 64", lambda place: list(of_dask(place).partitions[30].sum().compute()), block),
        Part("dask: one column", lambda place: list(of_dask(place).sum().compute()), size),
    ]


def counted(part: Part, place: Place) -> tuple[object, int, int]:
    """Return what came out, how many bytes were read for it, and in how many requests."""
    CountedFiles.requests = CountedFiles.bytes_read = 0
    found = part.read(place)
    return found, CountedFiles.bytes_read, CountedFiles.requests


def line(part: Part, folder: Path) -> tuple[list[str], list[str]]:
    """Return a line of the table, and what was missed."""
    truth, plain_bytes, plain_requests = counted(part, plain(folder))
    found, own_bytes, own_requests = counted(part, encrypted(folder))
    assert found == truth, f"{part.name}: other values came back"
    figures = [part.wanted, plain_bytes, plain_requests, own_bytes, own_requests]
    # Ranges begin and end within frames, and who reads on from the beginning is given a MiB at a time.
    target = 1.1 * part.wanted + MIB
    missed = [] if own_bytes <= target else [f"{part.name}: {own_bytes:,} bytes, at most {target:,.0f}"]
    return [part.name, *(f"{figure:,}" for figure in figures), f"{own_bytes / part.wanted:.2f}"], missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="length of each table")
    parser.add_argument("--small", action="store_true", help="tables of 16 MiB: shows that it runs")
    parser.add_argument("--check", action="store_true", help="exit with 1 where much more is read than is wanted")
    options = parser.parse_args()
    mib = 16 if options.small else options.mib
    report = Report(options.check)
    heads = ["wanted", "plain: bytes read", "requests", "encrypted: bytes read", "requests", "encrypted / wanted"]
    with tempfile.TemporaryDirectory() as name, dask.config.set(scheduler="threads", num_workers=2):
        folder = Path(name)
        for kind in ("plain", "encrypted"):
            (folder / kind).mkdir()
        (folder / "key.json").write_bytes(encode_aes_key_file("benchmark", "key", os.urandom(32)))
        (folder / "key.json").chmod(0o600)
        write(folder, mib)
        print(environment())
        for title, parts in (
            ("Parquet", parts_of_parquet(folder / "plain" / "table.parquet")),
            ("CSV", parts_of_csv(folder / "plain" / "table.csv")),
        ):
            size = (folder / "encrypted" / f"table.{title.lower()}").stat().st_size
            lines = [line(part, folder) for part in parts]
            report.add_lines(
                markdown([f"{title}, {size:,} bytes", *heads], [cells for cells, _ in lines]),
                [words for _, missed in lines for words in missed],
            )
    report.end()


if __name__ == "__main__":
    main()
