"""Runs the suite both ways, and compares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.celery_suite import source
from tests.redis_tcp import free_port, serve_tcp

CONFIGURATION = """
redis: {{url: "redis://127.0.0.1:{port}/1"}}
parallelism: {{max_parallel_tasks: 100}}
"""


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
    """Run the suite one way; each test with its verdict."""
    found = source.CACHE / f"{mode}.json"
    found.unlink(missing_ok=True)
    with surroundings() as environment:
        environment["SUITE_LOG"] = str(source.CACHE / f"{mode}.log")
        adapter = [sys.executable, "-m", "tests.celery_suite.adapter", mode, str(found), *arguments]
        subprocess.run(adapter, cwd=source.HOUSE, env=environment, check=False)
    verdicts: dict[str, str] = json.loads(found.read_text("utf-8"))
    return verdicts


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
