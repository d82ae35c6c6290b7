"""What each operation does: functions from a call to the members of its answer, by group.

Each checks its parameters, then finds and admits its keys, then acts, in AWS's order. None knows of HTTP, files or SQL.
"""

from __future__ import annotations
