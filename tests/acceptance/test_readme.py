"""The README and the tutorial: every step runs, in its order, in one folder, as a reader would type it.

The tutorial's first step, the installation, is an indented block and is not run here: test_wheel.py installs.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import FOLDER
from tests import pages
from tests.pages import BIN, PATIENCE, tools

pytestmark = pytest.mark.real

HOUSE = Path(__file__).parents[2]
README = HOUSE / "README.md"
TUTORIAL = HOUSE / "docs" / "tutorial.md"
HOW_TO = HOUSE / "docs" / "how-to" / "python.md"


@pytest.mark.parametrize(
    ("page", "completed"),
    [
        (README, {"User login", "Nightly report"}),
        (TUTORIAL, {"User login", "Release", "Report", "Nightly report"}),
    ],
    ids=["readme", "tutorial"],
)
def test_every_step_of_a_page_runs(page: Path, completed: set[str], tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()  # so that one further up, which is none of the test's, is not taken for it
    with ExitStack() as stack:
        pages.follow(page, tmp_path, stack)
        with Client(configuration.load(tmp_path)) as client:
            statuses = {progress.title: progress.status for progress in client.features()}
    assert statuses == dict.fromkeys(completed, "completed")


def test_the_code_of_the_pages_passes_a_strict_type_checker(tmp_path: Path) -> None:
    # Given the code of the pages, and what users may write beside it
    for page in (README, TUTORIAL, HOW_TO):
        for language, text in pages.blocks(page):
            if language == "python":
                pages.write(text, tmp_path / page.stem.lower())
    (tmp_path / "more.py").write_text(
        "from orchestrator import Feature, Retries, Task, plan\n\n"
        'tasks = [Task(id="a", tags=["b"], depends_on=["c"], retries=3, estimate="25m", run="echo 1")]\n'
        'tasks += [Task(id="b", tags=("b",), retries=Retries(max=1, backoff="1s"), run=("echo", "1"))]\n'
        'print(plan(Feature(title="a", strategy="dataflow", tasks=tasks)).cap)\n'
    )
    assert len(list(tmp_path.rglob("*.py"))) > 4
    # When a type checker looks, without a plugin
    checked = subprocess.run(
        [str(BIN / "mypy"), "--strict", "--explicit-package-bases", "--config-file=",
         f"--cache-dir={tmp_path / 'cache'}", "."],
        cwd=tmp_path, env=tools(), capture_output=True, text=True, timeout=PATIENCE * 3,
    )  # fmt: skip
    # Then it has nothing to say
    assert checked.returncode == 0, checked.stdout + checked.stderr
