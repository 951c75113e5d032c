"""A specialist that is a command: writes the summaries of earlier tasks into a Markdown file.

specialists:
  report-writer: {command: [python, workers/write_report.py, report.md], workdir: project}
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(report: Path) -> None:
    """Read the outcomes of the dependencies from the task file, and write a line for each."""
    given = json.loads(Path(os.environ["ORCHESTRATOR_TASK_FILE"]).read_text("utf-8"))
    lines = [f"# {given['feature']['title']}", "", "| task | found |", "|---|---|"]
    for task, outcome in given["dependencies"].items():
        lines.append(f"| {task} | {outcome['summary'].replace('|', '/') or 'nothing to say'} |")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(lines) + "\n", "utf-8")
    outcome = {"status": "completed", "summary": f"{report} written", "result": {"lines": len(lines)}}
    Path(os.environ["ORCHESTRATOR_OUTCOME_FILE"]).write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
