"""The comparison of encrypted tables with plain ones runs, and prints figures."""

from __future__ import annotations

import pytest
from testkit.benchmarks import figures_missing, run_small, tables

for name in ("dask.dataframe", "fsspec", "pandas", "pyarrow"):
    pytest.importorskip(name)


@pytest.mark.slow
def test_parts_of_tables_are_compared_with_those_of_plain_ones():
    parquet, csv = found = tables(run_small("encrypted_tables.py"))

    assert figures_missing(found) == []
    assert {row[0].split(":")[0] for row in parquet.body} == {"pyarrow", "pandas", "dask"}
    assert {row[0].split(":")[0] for row in csv.body} == {"pandas", "cat_file", "dask"}
    # Of a dataset with 16 row groups, which is why even short ones show it.
    column = {row[0]: int(row[4].replace(",", "")) for row in parquet.body}["pyarrow: one column, dataset"]
    assert column < 16 * 2**20 / 4
