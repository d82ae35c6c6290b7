"""Every benchmark runs in its small form and prints tables full of figures. How fast anything is, no test asks."""

from __future__ import annotations

import pytest
from testkit.benchmarks import BENCHMARKS, figures_missing, run_small, tables

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("benchmarks")]

OWN_ROWS = {
    "large_files.py": {"copy", "SHA-384 (hashlib)", "API, 64 KiB frames, workers", "CLI, 4 KiB frames, one thread"},
    "in_memory.py": {"bare call", "cached materials, 4 KiB frames", "raw AES keyring, 64 KiB frames"},
    "small_messages.py": {"bare call", "raw AES keyring", "cached materials and key pair, signed"},
    "bulk.py": {"in turn", "2 threads", "1 process", "2 processes", "4 processes", "2 processes, with a journal"},
    "parallel.py": {"frames of 256 B", "frames of 4,194,304 B", "2 files of 16,384 KiB"},
    "memory.py": {"envelope encrypt", "decrypt_file(), signed", "open(), writing"},
    "start_up.py": {"interpreter alone", "import envelope_sdk", "envelope encrypt, 1 KiB"},
    "growth.py": {"1 MiB", "8 MiB", "1 B", "1,048,576 B", "100 messages"},
    "local_kms_server.py": {
        "in process",
        "in process, audited",
        "served, raw HTTP",
        "served, raw HTTP, signed",
        "boto3, served",
    },
    "streams.py": {"copyfileobj", "EncryptingReader", "DecryptingWriter", "chunks under asyncio", "chunks under trio"},
    "rotation.py": {"decrypt_file, encrypt_file", "rotate_file", "rotate_file, one thread", "1 MiB", "2 MiB"},
    "frame_length.py": {"1,024", "4,194,304"},
    "s3.py": {"boto3", "EncryptedS3"},
    "random_access.py": {"pread", "read_at(), 1 MiB from the middle", "65,536 B: to open"},
}


CACHING = "data_key_caching.py"
"""Its tables are those of ``envelope bench``, which begin with words."""


TABLES = "encrypted_tables.py"
"""Tried where the libraries that it is about are: in ``tests/doors``."""


def test_every_benchmark_is_tried() -> None:
    assert {*OWN_ROWS, CACHING, TABLES} == set(BENCHMARKS)


def test_caching_is_compared_with_no_caching_in_every_table() -> None:
    found = tables(run_small(CACHING))

    assert len(found) >= 3
    for table in found:
        column = table.heads.index("data keys")
        assert {row[column] for row in table.body} == {"cached", "uncached"}
        assert all(len(row) == len(table.heads) for row in table.body)


@pytest.mark.parametrize("name", OWN_ROWS)
def test_a_benchmark_prints_its_rows(name: str) -> None:
    printed = run_small(name)

    found = tables(printed)
    assert OWN_ROWS[name] <= {row[0] for table in found for row in table.body}
    assert figures_missing(found) == []
