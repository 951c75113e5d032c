"""A specialist in Python: runs tests with pytest, and returns how many passed as its result.

specialists:
  test-runner: {python: "workers.run_tests:run_tests", timeout: 10m}

tasks:
  - {id: test-planning, specialist: test-runner, params: {paths: [tests/planning]}}
"""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree  # nosec B405  # pytest wrote what is read

from orchestrator import Blocked, Completed, Context, Failed


def run_tests(context: Context) -> Completed | Blocked | Failed:
    """Run the tests in `params.paths`, with the pytest options in `params.options`."""
    paths, options = (context.task.params.get(name) or [] for name in ("paths", "options"))
    if not isinstance(paths, list) or not paths or not isinstance(options, list):
        return Blocked(
            kind="missing-information", reason="params.paths has to be a list of files and folders"
        )
    context.workdir.mkdir(parents=True, exist_ok=True)
    report = context.workdir / "tests.xml"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    ran = subprocess.run(
        [*pytest, *map(str, options), *map(str, paths)], capture_output=True, text=True, check=False
    )
    if not report.exists():
        return Failed(
            cause="failing-tests", reason="pytest ran no tests", tail=(ran.stdout + ran.stderr)[-4_000:]
        )
    cases = list(ElementTree.parse(report).iter("testcase"))  # nosec B314
    wrong = [case.get("name", "") for case in cases if {"failure", "error"} & {part.tag for part in case}]
    if wrong or ran.returncode:
        reason = f"{len(wrong)} of {len(cases)} tests failed: {', '.join(wrong[:5])}"
        return Failed(cause="failing-tests", reason=reason, tail=ran.stdout[-4_000:])
    return Completed(summary=f"{len(cases)} tests passed", result={"tests": len(cases)})
