"""A run that is killed and goes on: every file is right in the end, none was done twice, none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from testkit.kills import killed_and_resumed

from envelope_sdk.bulk.running import IN_FLIGHT

pytestmark = pytest.mark.slow


def test_killed_five_times_and_resumed(tmp_path: Path) -> None:
    after = killed_and_resumed(tmp_path, small=1000, large=4, large_size=2**23, kills=5, seed=7)

    assert after.kills >= 4
    assert after.wrong == []
    assert after.hidden == []
    assert len(after.done) == 1004
    assert set(after.done.values()) == {1}
    # Only what was under way at a kill is begun again.
    assert sum(count - 1 for count in after.begun.values()) <= after.kills * IN_FLIGHT
