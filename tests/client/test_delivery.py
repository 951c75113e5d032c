"""The work of agents is delivered when its feature is completed, and its worktrees go when they are old."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator import workspaces
from orchestrator.client import delivery
from orchestrator.config.settings import Settings
from orchestrator.mcp.reading import Reading
from orchestrator.model import errors
from orchestrator.testing import InProcessClient, in_memory
from tests.agents.places import a_repository, git
from tests.model import factories
from tests.model.factories import task


def done(context: object) -> str:
    """The work of every task here."""
    return "done"


@pytest.fixture
def orchestrator_settings(tmp_path: Path) -> Settings:
    """A project in a git repository, whose worktrees are old at once."""
    project = a_repository(tmp_path / "project")
    (project / ".taskorchestrator").mkdir(mode=0o700)
    given = Settings(specialists={"coder": {"python": f"{__name__}:done"}}, workspaces={"keep": 0.001})
    settings = in_memory(given, logs=tmp_path / "logs")
    settings._start = project
    return settings


def an_agents_work(client: InProcessClient) -> Path:
    """What an agent leaves at T1 of login: its worktree, integrated."""
    project = client.settings.project
    repository = workspaces.find(project)
    folder = project / ".taskorchestrator" / "worktrees" / "login" / "T1"
    found = workspaces.open_workspace(
        repository, "login", "T1", base=repository.resolve("HEAD"), folder=folder
    )
    (folder / "new.py").write_text("1\n")
    found.commit_leftovers({}, "T1")
    workspaces.integrate(found, "T1", {})
    return folder


def test_a_completed_feature_is_delivered_and_tidied_up(orchestrator_client: InProcessClient) -> None:
    client = orchestrator_client
    handle = client.enqueue(factories.feature(task("T1", specialist="coder"), id="login"))
    folder = an_agents_work(client)
    git(client.settings.project, "switch", "--quiet", "--detach")

    assert "+1" in delivery.diff(client, "login", "T1", 1_000)
    assert Reading(client).task("login", "T1", "diff").startswith("diff --git a/new.py b/new.py")

    # What runs is not delivered, and its worktree stays
    with pytest.raises(errors.NotDeliverable, match="only a completed feature"):
        delivery.deliver(client, "login")
    client.prune(1e9)
    assert folder.exists()

    handle.wait()
    told = delivery.deliver(client, "login", "branch")
    assert told.branch == "to/login/integration"
    assert git(client.settings.project, "show", f"{told.branch}:new.py") == "1"
    _, told_of = client.prune(1e9, dry_run=True)
    assert (told_of, folder.exists()) == ([folder], True)
    _, removed = client.prune(1e9)
    assert (removed, folder.exists()) == ([folder], False)
    # The work itself stays
    assert git(client.settings.project, "show", f"{told.branch}:new.py") == "1"


def test_a_feature_without_an_agents_work_has_nothing_to_deliver(
    orchestrator_client: InProcessClient,
) -> None:
    orchestrator_client.enqueue(factories.feature(task("T1", specialist="coder"), id="login")).wait()
    assert delivery.diff(orchestrator_client, "login", "T1", 100) == ""
    with pytest.raises(errors.NothingToDeliver, match="No agent has worked at login"):
        delivery.deliver(orchestrator_client, "login")


def test_a_feature_of_agents_grows(orchestrator_client: InProcessClient) -> None:
    """What agents start from is stored with the feature, and is none of its fields."""
    client = orchestrator_client
    handle = client.enqueue(factories.feature(task("T1", specialist="coder"), id="login"))
    head = client.store.client.hget(client.store.keys.feature("login").meta, "head")
    known = {**json.loads(str(head)), "base": git(client.settings.project, "rev-parse", "HEAD")}
    client.store.client.hset(client.store.keys.feature("login").meta, "head", json.dumps(known))
    handle.add_task(task("T2", specialist="coder"))
    assert handle.wait().completed == 2
