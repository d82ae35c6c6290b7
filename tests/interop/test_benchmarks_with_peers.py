"""With the peers installed, the comparisons show them all. How fast anything is, no test asks."""

from __future__ import annotations

import pytest
from testkit.benchmarks import figures_missing, run_small, tables

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.xdist_group("benchmarks")]

AWS = {"AWS SDK legacy", "AWS SDK MPL"}
AWS_SIGNED = {"AWS SDK legacy, signed", "AWS SDK MPL, signed"}
OTHERS = {"pyrage", "PyNaCl secretstream"}
IN_MEMORY = AWS | OTHERS | {"AWS SDK caching", "tink AEAD", "tink streaming 4KB", "tink streaming 1MB"}
PEERS = {
    "large_files.py": AWS | AWS_SIGNED | OTHERS | {"tink 4KB", "tink 1MB"},
    "in_memory.py": IN_MEMORY,
    "small_messages.py": IN_MEMORY | AWS_SIGNED | {"AWS SDK caching, signed"},
    "local_kms_server.py": {"moto_server, raw HTTP"},
}


@pytest.mark.parametrize("name", PEERS)
def test_a_comparison_shows_every_peer(name: str) -> None:
    found = tables(run_small(name))

    assert PEERS[name] <= {row[0] for table in found for row in table.body}
    assert figures_missing(found) == []


def test_growth_is_shown_beside_a_peer() -> None:
    found = tables(run_small("growth.py"))

    (by_frame,) = [table for table in found if table.heads[0] == "frame length"]
    column = by_frame.heads.index("vs AWS SDK legacy")
    assert any(row[column] for row in by_frame.body)
