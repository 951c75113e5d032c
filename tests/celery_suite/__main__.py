"""Runs the suite both ways, and compares."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.celery_suite import expectations, source
from tests.redis_tcp import free_port, serve_tcp

CONFIGURATION = """
redis: {{url: "redis://127.0.0.1:{port}/1"}}
parallelism: {{max_parallel_tasks: 100}}
"""


MODES = ("ours", "celery")

PAGE = source.HOUSE / "docs" / "how-to" / "canvases.md"
BEGIN, END = "<!-- `make celery-suite` writes this. -->", "<!-- That was it. -->"


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """A private Redis, and the environment variables by which the suite, the worker and we find it."""
    with tempfile.TemporaryDirectory(prefix="celery-suite-") as place:
        folder, port = Path(place), free_port()
        (folder / "config.yaml").write_text(CONFIGURATION.format(port=port), "utf-8")
        url = f"redis://127.0.0.1:{port}"
        with serve_tcp(folder / "redis", f"port {port}", 'save ""', ready=url):
            yield {
                **os.environ,
                "TEST_BROKER": f"{url}/0",
                "TEST_BACKEND": f"{url}/0",
                "REDIS_HOST": "127.0.0.1",
                "REDIS_PORT": str(port),
                "TASKORCHESTRATOR_CONFIG": str(folder / "config.yaml"),
            }


def run(mode: str, arguments: list[str]) -> dict[str, str]:
    """Run the suite one way; each test with its verdict.

    Raises:
        SystemExit: The run broke off, so that some tests have no verdict.
    """
    found = source.CACHE / f"{mode}.json"
    found.unlink(missing_ok=True)
    with surroundings() as environment:
        environment["SUITE_LOG"] = str(source.CACHE / f"{mode}.log")
        adapter = [sys.executable, "-m", "tests.celery_suite.adapter", mode, str(found), *arguments]
        with subprocess.Popen(adapter, cwd=source.HOUSE, env=environment) as process:
            try:
                process.wait()
            finally:
                process.terminate()
    if process.returncode not in (0, 1):  # pytest's: all passed, some failed
        raise SystemExit(
            f"{mode}: the suite broke off with exit code {process.returncode}; nothing is written"
        )
    verdicts: dict[str, str] = json.loads(found.read_text("utf-8"))
    return verdicts


def table(ours: dict[str, str], plain: dict[str, str]) -> str:
    """The section of the page on canvases: who passes what, and why we differ."""
    lines = [
        f"`t/integration/test_canvas.py` of Celery {source.VERSION} has {len(ours)} tests. {_passed(ours)} pass as "
        f"features, and {_passed(plain)} with Celery alone, on Redis:",
        "",
        "| tests | pass with Celery alone | why they end otherwise as features |",
        "|---|---|---|",
    ]
    for one in expectations.load():
        lines.append(
            f"| {len(one.tests)} | {_passed({test: plain[test] for test in one.tests})} | {one.why} |"
        )
    listed = {test for one in expectations.load() for test in one.tests}
    if others := [test for test, verdict in plain.items() if verdict != "passed" and test not in listed]:
        lines += ["", f"With Celery alone these fail, too: {', '.join(f'`{test}`' for test in others)}."]
    return "\n".join(lines)


def _passed(verdicts: dict[str, str]) -> int:
    return sum(verdict == "passed" for verdict in verdicts.values())


def write(section: str) -> None:
    """Put the section into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{section}\n{END}{rest.partition(END)[2]}", "utf-8")


def main() -> int:
    """Run the suite, and tell what is not as expected; returns 1 if anything is.

    The last two lines say which tests fail and are not listed, and which are listed and do not fail.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the Redis and the worker end with it
    parser = argparse.ArgumentParser("python -m tests.celery_suite", description=__doc__)
    parser.add_argument("--only", choices=MODES, help="run one side")
    parser.add_argument("--write", action="store_true", help="write the table in docs/how-to/canvases.md")
    given, arguments = parser.parse_known_args()
    found = {mode: run(mode, arguments) for mode in MODES if given.only in (None, mode)}
    for mode, verdicts in found.items():
        print(f"{mode}: {_passed(verdicts)} of {len(verdicts)} pass")
    if "ours" not in found:
        return 0
    for test in found.get("celery", {}):
        found["ours"].setdefault(test, "no verdict")
    expected = expectations.load()
    wrong = {
        "failed − listed": expectations.unlisted(found["ours"], expected),
        "listed − failed": expectations.needless(found["ours"], expected, whole=not arguments),
    }
    surprises = any(wrong.values())
    if given.write and given.only is None and not arguments and not surprises:
        write(table(found["ours"], found["celery"]))
        print(f"written: {PAGE.relative_to(source.HOUSE)}")
    for name, tests in wrong.items():
        print(f"{name}: {'; '.join(tests) or 'empty'}")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
