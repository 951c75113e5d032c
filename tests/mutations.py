"""Breaks one law at a time in a copy of the tree, and asks the tests of that law whether they see it.

    python -m tests.mutations [WORD…]

With words, only the mutations whose law has one of them. A mutation is caught if a test fails that passes without it.
The work tree itself is not touched. `make nightly` runs this too.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HOUSE = Path(__file__).parent.parent
FAILED = re.compile(r"^FAILED (\S+::.+?)(?: - .*)?$", re.MULTILINE)
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


class Mutation(NamedTuple):
    """A law, and the text of a file that breaks it when it is replaced.

    Args:
        law: What the code promises.
        tests: The tests that hold it.
        file: The file, below `orchestrator`.
        text: What stands there, once.
        wrong: What takes its place.
    """

    law: str
    tests: str
    file: str
    text: str
    wrong: str

    def fits(self, tree: Path) -> bool:
        """The text stands in the file exactly once.

        Example:
            >>> [mutation.law for mutation in MUTATIONS if not mutation.fits(HOUSE)]
            []
        """
        return (tree / "orchestrator" / self.file).read_text("utf-8").count(self.text) == 1

    @contextmanager
    def breaking(self, tree: Path) -> Iterator[None]:
        """A tree that breaks the law inside the block."""
        path = tree / "orchestrator" / self.file
        whole = path.read_text("utf-8")
        path.write_text(whole.replace(self.text, self.wrong), "utf-8")
        try:
            yield
        finally:
            path.write_text(whole, "utf-8")


MUTATIONS = (
    Mutation(
        "planner: a batch as wide as the cap is not divided",
        "tests/planning/test_planner.py",
        "planning/planner.py",
        "if len(tasks) > cap:",
        "if len(tasks) >= cap:",
    ),
    Mutation(
        "graph: every edge of a cycle is in a cycle that is shown",
        "tests/planning/test_graph.py",
        "planning/cycle_search.py",
        "candidates = sorted(_short_cycles(knot, searches), key=len)",
        "candidates = sorted(_short_cycles(knot, searches), key=len)[:1]",
    ),
    Mutation(
        "status flow: a task that a worker holds cannot be skipped",
        "tests/model",
        "model/flows.py",
        "skippable = [status for status in self.leavable if status not in working]",
        "skippable = list(self.leavable)",
    ),
    Mutation(
        "lifecycle: a task is retried as often as its policy says, and not once more",
        "tests/model",
        "model/lifecycle.py",
        "is_wanted and attempts.retried < retries.max",
        "is_wanted and attempts.retried <= retries.max",
    ),
    Mutation(
        "schedule: no more tasks run than the cap",
        "tests/state/test_store_schedule.py",
        "state/lua/parts/launch.lua",
        "return meta.cap - redis.call('ZCARD', slots_key)",
        "return meta.cap + 1 - redis.call('ZCARD', slots_key)",
    ),
    Mutation(
        "semaphores: a task gives back every unit that it holds",
        "tests/state/test_store_limits.py",
        "state/lua/parts/semaphores.lua",
        "use(limit, -units)",
        "use(limit, -1)",
    ),
    Mutation(
        "finish: a stale attempt commits nothing",
        "tests/state/test_store_attempts.py",
        "state/lua/finish.lua",
        "if state.attempt ~= tonumber(attempt) then return {'stale', state.status} end",
        "",
    ),
    Mutation(
        "message validation: a launch has no keyword arguments",
        "tests/engine/test_consumer.py",
        "engine/message_validation.py",
        "if kwargs or len(args) != 3:",
        "if len(args) != 3:",
    ),
    Mutation(
        "masking: of two secrets of which one holds the other, the longer is hidden first",
        "tests/specialists/test_masking.py",
        "specialists/masking.py",
        "return -len(text), text",
        "return len(text), text",
    ),
    Mutation(
        "cli: an error exits with the code of its kind",
        "tests/cli/test_cli.py",
        "cli/app.py",
        "raise typer.Exit(error.exit_code) from None",
        "raise typer.Exit(1) from None",
    ),
)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the files that git knows, as they are in the work tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HOUSE, check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = Path(folder) / "tree"
        for name in filter(None, listed.stdout.split("\0")):
            if (HOUSE / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(HOUSE / name, tree / name)
        yield tree


def run_tests(tree: Path, *arguments: str) -> tuple[int, str]:
    """The exit code of pytest in a tree, whose code goes before what is installed, and what it wrote."""
    ran = subprocess.run(
        [*PYTEST, f"--basetemp={tree.parent / 'pytest'}", *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return ran.returncode, ran.stdout


def catch(mutation: Mutation, tree: Path) -> str:
    """The test that sees a mutation; "" if none does."""
    with mutation.breaking(tree):
        _, output = run_tests(tree, "-x", mutation.tests)
    failed = FAILED.search(output)
    # A test that fails without the mutation too has not seen it.
    return failed[1] if failed and run_tests(tree, failed[1])[0] == 0 else ""


def main(*words: str) -> int:
    """Try each mutation, and say which test caught it; the exit code is 1 if one was not caught."""
    chosen = [one for one in MUTATIONS if not words or any(word in one.law for word in words)]
    missed = 0
    with copied() as tree:
        for mutation in chosen:
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            test = catch(mutation, tree)
            seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
            missed += not test
            found = f"caught by {test}" if test else f"NOT CAUGHT by {mutation.tests}"
            print(f"{mutation.law}\n    {found} ({seconds:.1f} s of CPU)", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
