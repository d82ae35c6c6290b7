"""A bulk run as a program, to be killed: ``bulk_program.py KEY JOURNAL IN OUT PROCESSES``."""

from __future__ import annotations

import sys
from functools import partial

from envelope_sdk import bulk


def main() -> None:
    key, journal, source, target, processes = sys.argv[1:]
    results = bulk.run(
        bulk.encrypting(source, target),
        bulk.Encrypt(),
        client=bulk.ClientRecipe([key]),
        executor=partial(bulk.Processes, int(processes)),
        journal=journal,
    )
    failed = [result for result in results if result.error is not None]
    sys.exit(f"{failed[0].item.source}: {failed[0].error}" if failed else 0)


if __name__ == "__main__":
    main()
