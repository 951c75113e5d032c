"""`python -m chaos`: runs a load under faults and judges it. It exits non-zero if a law was broken."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from chaos import agent_laws, agents, checker, faults, plain
from chaos.cluster import AS_SHIPPED, QUICK
from chaos.report import Report, report, table
from chaos.run import Weather, run

AGENTS_EVERY = 2.5
"""Seconds between features of agents: about as many as four agents at once can do."""

PLAIN_FAULTS = ("kill-worker", "kill-child", "kill-all-workers")
"""The faults of the comparison with plain Celery."""


def main() -> int:
    """Run, judge, and print."""
    options = _options()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    again = f"{'chaos-agents' if options.agents else 'chaos'} SEED={seed} MINUTES={options.minutes:g}"
    print(f"seed {seed}, {options.minutes:g} minutes; the same again: make {again}", flush=True)
    if options.agents:
        kinds = options.fault or agents.FAULTS
        return _agents(seed, Weather(options.minutes * 60, options.every, AGENTS_EVERY, kinds))
    weather = Weather(
        options.minutes * 60,
        options.every,
        kinds=options.fault or (faults.SENTINELS if options.sentinels else ()),
        has_sentinels=options.sentinels,
        recovery=AS_SHIPPED if options.as_shipped else QUICK,
    )
    if options.celery:
        weather = replace(weather, kinds=options.fault or PLAIN_FAULTS)
    reports = [_ours(seed, weather)]
    if options.celery:
        reports += [_plain(seed, weather, None), _plain(seed, weather, options.visibility)]
    print(table(reports))
    print("Those that waited longest, with all that happened, in seconds from the kill:")
    print("\n".join(reports[0].recovery.slowest))
    if options.json:
        figures = [each.model_dump(mode="json") for each in reports]
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return bool(reports[0].violations)


def _ours(seed: int, weather: Weather) -> Report:
    folder, began = _make_folder(), time.monotonic()
    history = run(folder, seed, weather, _say)
    violations = checker.check(history)
    _say(f"settled after {time.monotonic() - began:.0f} s")
    if violations:
        (folder / "history.json").write_text(history.model_dump_json(), "utf-8")
        _say(
            "\n".join([*map(str, violations), f"Laws were broken. The logs and history.json are in {folder}"])
        )
    else:
        shutil.rmtree(folder)
    return report(history, violations)


def _agents(seed: int, weather: Weather) -> int:
    folder = _make_folder()
    history, strikes = agents.run_agents(folder, seed, weather, _say)
    violations = agent_laws.check(history)
    print(agent_laws.table(history, strikes, violations))
    if violations:
        (folder / "history.json").write_text(history.model_dump_json(), "utf-8")
        _say("\n".join([*map(str, violations), f"Laws were broken. All that is left is in {folder}"]))
    else:
        shutil.rmtree(folder)
    return bool(violations)


def _plain(seed: int, weather: Weather, visibility: float | None) -> Report:
    _say(f"plain Celery, visibility timeout {f'{visibility:g} s' if visibility else 'as it ships'}")
    folder = _make_folder()
    try:
        return plain.run(folder, seed, weather, visibility, _say)
    finally:
        shutil.rmtree(folder)


def _make_folder() -> Path:
    """Make a folder with a short path, because it holds a socket."""
    return Path(tempfile.mkdtemp(prefix="chaos-"))


def _say(text: str) -> None:
    print(text, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="decides the load and the faults; random by default")
    parser.add_argument("--minutes", type=float, default=2.5, help="how long faults happen")
    parser.add_argument("--every", type=float, default=4.0, help="seconds from fault to fault, about")
    parser.add_argument(
        "--fault", action="append", default=[], choices=sorted(faults.FAULTS), help="only these"
    )
    parser.add_argument(
        "--as-shipped", action="store_true", help="leases of 10 s, as they are configured; not 2 s"
    )
    parser.add_argument(
        "--sentinels",
        action="store_true",
        help="a master, a replica and three sentinels in the place of one Redis; the master is lost",
    )
    parser.add_argument(
        "--agents", action="store_true", help="fake agents in git worktrees, in the place of commands"
    )
    parser.add_argument(
        "--celery", action="store_true", help="and plain Celery under the same kills, beside it"
    )
    parser.add_argument(
        "--visibility", type=float, default=10.0, help="its second run's visibility timeout, s"
    )
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
