"""A program that answers each line with what it is told to."""

from __future__ import annotations

import json
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Answer until the standard input ends."""
    for line in sys.stdin:
        told = json.loads(line)
        if told == "die":
            os._exit(7)
        if told == "path":
            told = {"path": sys.path, "aws": {name: value for name, value in os.environ.items() if "AWS" in name}}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
