"""The planner on a large graph, in a process of its own, so that its memory can be told."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

from benchmarks import graphs
from benchmarks.measurement import Figure, Row, Target, seconds
from benchmarks.options import Options
from benchmarks.rig import REPOSITORY, Rig
from orchestrator.model.feature import Feature
from orchestrator.planning import planner

TASKS, EDGES = 100_000, 500_000
GIGABYTE = 1024**3


def rows(rig: Rig, options: Options) -> Iterator[Row]:
    """Time of `planner.plan`, and the most memory that validating and planning took."""
    command = [sys.executable, "-m", "benchmarks.planning", str(options.runs)]
    found = json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout)
    yield Row(
        f"plan of {TASKS:,} tasks and {EDGES:,} edges",
        Figure("plan", tuple(found["plan"]), "s"),
        target=Target("at most", 3, of="ours"),
        note=f"validation before it: {found['validate']:.1f} s",
    )
    yield Row(
        "memory of that plan",
        Figure("plan", (found["memory"] / GIGABYTE,), "GB"),
        target=Target("at most", 1, of="ours"),
    )


def main() -> None:
    """Validate once, plan several times, and write what it took as JSON."""
    data = {"title": "Dense", "tasks": graphs.dense(TASKS, EDGES)}
    features: list[Feature] = []
    validate = seconds(lambda: features.append(Feature.model_validate(data)))
    plans = [seconds(lambda: planner.plan(features[0])) for _ in range(int(sys.argv[1]))]
    # Kilobytes on Linux (getrusage(2)).
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"validate": validate, "plan": plans, "memory": memory}))


if __name__ == "__main__":
    main()
