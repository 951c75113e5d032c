"""Runs a load of fake agents under faults, in git worktrees, and records what became of it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import yaml

from chaos import agent_load, logged_agent
from chaos.agent_laws import AgentHistory
from chaos.agent_load import AgentErrand
from chaos.agent_record import git, record
from chaos.cluster import ROOT, Cluster, wait_until
from chaos.history import Strike
from chaos.load import Errand
from chaos.person import Person
from chaos.run import People, Weather, live
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.model.outcome import Blocked, BlockKind
from orchestrator.model.progress import TaskState
from orchestrator.model.task import TaskStatus

FAULTS = (
    "kill-agent",
    "kill-child",
    "kill-worker",
    "kill-main-process",
    "kill-all-workers",
    "freeze-worker",
    "terminate-worker",
    "terminate-attempt",
    "kill-redis",
    "cut-connections",
    "pause-redis",
    "duplicate-message",
    "stale-message",
    "drop-message",
)
"""What happens to agents and their workers."""

BUDGET = 0.8
"""Dollars for a feature that names no budget of its own."""


class AgentCluster(Cluster):
    """A cluster whose tasks are done by fake agents, in worktrees of a repository."""

    def __post_init__(self) -> None:
        self.log = self.folder / "agents.log"
        self.script = self.folder / "script.json"
        self.moves: dict[str, Any] = {}
        super().__post_init__()
        self.specialists = (agent_load.CODER,)
        _make_repository(self.project)

    def _configuration(self) -> dict[str, Any]:
        found = super()._configuration()
        agent = {
            "runtime": "fake",
            "workspace": "worktree",
            "ladder": list(agent_load.TIERS),
            "idle_timeout": 4,
        }
        coder = {"agent": agent, "budget": {"cost": agent_load.MOST}, "concurrency": agent_load.AT_ONCE}
        return {
            "redis": found["redis"],
            "recovery": found["recovery"],
            "logs": found["logs"],
            "agent_runtimes": {"fake": _runtime()},
            "specialists": {agent_load.CODER: coder},
            "specialist_routing": {"default": agent_load.CODER},
            "budgets": {"feature": {"cost": BUDGET}},
        }

    def environment(self, clock: int = 0) -> dict[str, str]:
        """The environment variables of a worker, and with them what the fake agent reads."""
        return {
            **super().environment(clock),
            "FAKE_AGENT_SCRIPT": str(self.script),
            "FAKE_AGENT_HOME": str(self.folder / "conversations"),
            logged_agent.LOG: str(self.log),
        }

    def add_script(self, moves: Mapping[str, Any]) -> None:
        """Let agents make these moves too."""
        self.moves.update(moves)
        new = self.script.with_suffix(".new")
        new.write_text(json.dumps(self.moves), "utf-8")
        new.rename(self.script)

    def moved(self) -> int:
        """A number that grows while agents do something: the bytes of their log."""
        return self.log.stat().st_size if self.log.exists() else 0

    def agents(self) -> list[int]:
        """The processes of agents that are alive."""
        return logged_agent.living(self.log)


def _make_repository(folder: Path) -> None:
    """Make the project a git repository with a commit."""
    (folder / ".gitignore").write_text(".taskorchestrator/\n", "utf-8")
    (folder / "shared").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / "shared" / name).write_text("first\n", "utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    # With a thousand worktrees, git's housekeeping takes longer than an agent may be silent.
    git(folder, "config", "gc.auto", "0")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "first")


def _runtime() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples/agents/fake_agent.yaml").read_text("utf-8"))
    for name in ("command", "resume"):
        found[name] = [sys.executable, "-S", str(ROOT / "chaos/logged_agent.py"), *found[name][1:]]
    return found


class AgentPerson(Person):
    """A person who looks after features of agents: answers, raises budgets, tries again."""

    def __init__(self, cluster: AgentCluster, random: Random) -> None:
        super().__init__(Client(cluster.settings), random)
        self.cluster = cluster

    def enqueue(self, errand: Errand) -> bool:
        """Enqueue an errand, once its agents know what to do."""
        if isinstance(errand, AgentErrand):
            self.cluster.add_script(errand.script)
        return super().enqueue(errand)

    def _help_task(self, handle: Handle, state: TaskState) -> None:
        if state.status is not TaskStatus.BLOCKED or state.resolved:
            return super()._help_task(handle, state)
        outcome = handle.outcome(state.id)
        if not isinstance(outcome, Blocked) or outcome.kind is not BlockKind.BUDGET:
            return super()._help_task(handle, state)
        if self.random.random() < 0.3:
            handle.skip(state.id, because="too dear")
        elif outcome.budget == "task":
            handle.set_budget("+0.50", state.id)
        else:
            handle.set_budget("+0.50")
        return None


class AgentPeople(People):
    """The people around a cluster of agents."""

    def __init__(self, cluster: AgentCluster, seed: int, every: float) -> None:
        super().__init__(cluster, seed, every)
        self.person = AgentPerson(cluster, Random(f"{seed}:person"))
        self.load = agent_load.errands(seed)


def run_agents(
    folder: Path, seed: int, weather: Weather, say: Callable[[str], object] = lambda text: None
) -> tuple[AgentHistory, list[Strike]]:
    """Run agents under faults, wait until all has settled, and record what they wrote and what is left.

    Args:
        folder: The folder for all files, with a short path.
        seed: Decides the load and the faults.
        weather: How hard the run is.
        say: Called with a line about each fault.

    Returns:
        The history, and the faults that happened.
    """
    random = Random(f"{seed}:cluster")
    with AgentCluster(folder, random, weather.workers, weather.recovery) as cluster:
        people = AgentPeople(cluster, seed, weather.feature_every)
        strikes = live(cluster, people, weather, seed, say)
        history = record(cluster, [errand.feature for errand in people.person.enqueued.values()], strikes)
        survivors = cluster.agents
    # The workers have been killed by now, and no agent may outlive them.
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not survivors())
    return history.model_copy(update={"still_alive": tuple(survivors())}), strikes
