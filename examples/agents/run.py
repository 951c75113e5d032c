"""Lets agents build a small program in a git repository, and shows how they did it.

    python examples/agents/run.py [FOLDER]

The project is made in FOLDER, else in a temporary one. No model, no key and no network is needed: the agents are
fake_agent.py (see README.md for real ones). It exits with 0 only if the program works.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
TEXT = "Ten green bottles. Ten!"
EXPECTED = "4 words; ten comes 2 times"
AUTHOR = ["-c", "user.name=Example", "-c", "user.email=example@localhost"]


def main() -> int:
    """Run the example."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="agents-")) / "wordcount"
    make_project(folder)
    print(f"The project is {folder}\n")
    ran = orchestrate(folder, "run", str(HERE / "feature.yaml"))
    feature = only_feature(folder)
    for title, command in {
        "How each task went": ["status", feature],
        "What it cost": ["usage", feature],
    }.items():
        print(f"\n{title}: orchestrator {' '.join(command)}")
        orchestrate(folder, *command)
    branch = f"to/{feature}/integration"
    print(f"\nWhat was integrated: git log --first-parent {branch}")
    run(["git", "log", "--first-parent", "--format=%h %s", branch], folder)
    run(["git", *AUTHOR, "merge", "--quiet", "--ff-only", branch], folder)
    said = subprocess.run(
        [sys.executable, "wordcount.py"], cwd=folder, input=TEXT, capture_output=True, text=True
    ).stdout.strip()
    print(f"\nThe program says of {TEXT!r}: {said}")
    if ran or said != EXPECTED:
        print(f"It was to say: {EXPECTED}")
        return 1
    return 0


def make_project(folder: Path) -> None:
    """Make a git repository of the template, with the configuration of the agents."""
    shutil.copytree(HERE / "project", folder)
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "-m", "Begin"],
    ):
        run(["git", *AUTHOR, *words], folder)
    settings = yaml.safe_load((HERE / "config.yaml").read_text("utf-8"))
    settings["agent_runtimes"] = {"fake": yaml.safe_load((HERE / "fake_agent.yaml").read_text("utf-8"))}
    own = folder / ".taskorchestrator"
    own.mkdir(mode=0o700)
    (own / "config.yaml").write_text(yaml.safe_dump(settings), "utf-8")


def orchestrate(folder: Path, *words: str) -> int:
    """Run `orchestrator` in the project, and return its exit code."""
    command = [sys.executable, "-m", "orchestrator", *words]
    return subprocess.run(command, cwd=folder, env=environment(folder)).returncode


def environment(folder: Path) -> dict[str, str]:
    """The variables of the agents: where fake_agent.py is, its script, and where it keeps its conversations."""
    return {
        **os.environ,
        "PATH": f"{HERE}{os.pathsep}{os.environ['PATH']}",
        "FAKE_AGENT_SCRIPT": str(HERE / "script.json"),
        "FAKE_AGENT_HOME": str(folder / ".taskorchestrator" / "conversations"),
    }


def only_feature(folder: Path) -> str:
    """The id of the feature, by its branch."""
    command = ["git", "for-each-ref", "--format=%(refname:short)", "refs/heads/to/*/integration"]
    found = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()
    return found[0].split("/")[1]


def run(command: list[str], folder: Path) -> None:
    """Run a command in the project."""
    subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main())
