"""`python -m tests.chaos`: a run with faults, judged. It exits non-zero where a law was broken."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import checker, faults
from tests.chaos.report import Report, report, table
from tests.chaos.run import Weather, run


def main() -> int:
    """Run, judge, and print."""
    options = _options()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    print(
        f"seed {seed}: {options.minutes:g} minutes; again with: make chaos SEED={seed} MINUTES={options.minutes:g}"
    )
    # The name is short, for a socket lies in it, and the folder stays where something is wrong.
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    reports = [_ours(folder, seed, options)]
    print(table(reports))
    if options.json:
        Path(options.json).write_text(
            "[" + ",\n".join(each.model_dump_json(indent=2) for each in reports) + "]\n", "utf-8"
        )
    for violation in reports[0].violations:
        print(violation)
    if reports[0].violations:
        print(f"Laws were broken. The logs, and history.json, are in {folder}")
    return bool(reports[0].violations)


def _ours(folder: Path, seed: int, options: argparse.Namespace) -> Report:
    weather = Weather(options.minutes * 60, every=options.every, kinds=options.fault)
    began = time.monotonic()
    history = run(folder, seed, weather, say=lambda text: print(text, flush=True))
    print(f"settled after {time.monotonic() - began:.0f} s")
    (folder / "history.json").write_text(history.model_dump_json(), "utf-8")
    return report(history, checker.check(history))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, help="makes the load and the faults; a random one where it is left out"
    )
    parser.add_argument("--minutes", type=float, default=2.5, help="how long faults happen")
    parser.add_argument("--every", type=float, default=4.0, help="seconds from fault to fault, about")
    parser.add_argument(
        "--fault", action="append", default=[], choices=sorted(faults.FAULTS), help="only these"
    )
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
