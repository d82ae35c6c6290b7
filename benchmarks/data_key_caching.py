"""What caching data keys saves: every combination that ``envelope bench`` knows, with all peers that are installed.

    python benchmarks/data_key_caching.py                          # about twenty minutes
    python benchmarks/data_key_caching.py --folder results         # JSON, texts and pictures, too

Proves that calls of KMS, and what they cost, fall by as much as the limits of the cache say, at every size and number
of threads, and shows what that does to messages a second and to waits. The baseline is the same subject without a
cache, in turn with it. The figures are checked against each other: the KMS counts calls, the client counts what it
sends, and the subject says what it made. It fails where they differ, whatever the options.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from envelope_sdk.bench.consistency import check
from envelope_sdk.bench.engine import Budget, in_words, measure
from envelope_sdk.bench.plan import Choice, not_installed, plan
from envelope_sdk.bench.report import as_markdown, write_report

FULL = Choice(sizes=(1024, 65_536, 1_048_576), threads=(1, 8), quotas=(None, 50.0, 500.0), thorough=True)
SMALL = Choice(sizes=(256,), threads=(2,), thorough=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where files go (default: nothing but the tables is written)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each scenario (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="in which scenarios take turns (default: 3)")
    parser.add_argument("--small", action="store_true", help="shows that it runs, the figures mean nothing")
    options = parser.parse_args()
    choice = SMALL if options.small else FULL
    budget = Budget(seconds=0.1 if options.small else options.seconds, rounds=2 if options.small else options.rounds)
    outcome = measure(
        plan(choice, not_installed()),
        budget,
        command=shlex.join(["python", "benchmarks/data_key_caching.py", *sys.argv[1:]]),
        on_group=lambda number, of, group: print(f"{number} of {of}: {in_words(group[0])}", file=sys.stderr),
    )
    print(as_markdown(outcome.run))
    for path in write_report(outcome.run, options.folder) if options.folder else ():
        print(f"wrote {path}", file=sys.stderr)
    if wrong := [*(f"{name}: {why}" for name, why in outcome.broken.items()), *check(outcome.run)]:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
