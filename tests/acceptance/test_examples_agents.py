"""The agents of examples/agents build their program, as `make run-agents` lets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "agents" / "run.py"


def test_agents_build_a_program(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for told in (
        "the gate run_tests did not pass",
        "goes to the tier strong",
        "conflict with the work of others: wordcount.py",
        "the gate review did not pass: the example says 2 words",
        "4/4 tasks",
        "$0.10",
        "4 words; ten comes 2 times",
    ):
        assert told in ran.stdout
