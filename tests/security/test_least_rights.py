"""deploy/users.acl gives what the product's commands need, and nothing else: counted by the server itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
import redis
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from orchestrator.cli.app import app as commands
from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import ENV_PREFIX, FILE, FOLDER
from orchestrator.config.schema.operation import Trust
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.state import redis_binary, rights
from orchestrator.state.script_sources import sources
from tests.acceptance.conftest import BIN, Project, tools
from tests.redis_server import client_of, find_binaries, find_valkey
from tests.redis_tcp import free_port, serve_tcp
from tests.waiting import wait_until

pytestmark = pytest.mark.real

USERS = Path(__file__).parents[2] / "deploy" / "users.acl"
CANVAS = """
from orchestrator import Feature, Task, plan
given = {"run": "echo 1", "specialist": "feature-architect"}
tasks = [Task(id="a", **given), Task(id="b", **given), Task(id="c", depends_on=["a", "b"], **given)]
print(plan(Feature(title="Login", tasks=tasks)).canvas().apply_async().get(timeout=60)["status"])
print(len(plan(Feature(title="Two", tasks=tasks[:2])).canvas().apply_async().get(timeout=60)))
"""
SETTINGS: dict[str, Any] = {
    "specialists": {
        "implementation-specialist": {"command": ["echo", "built"], "rate": "1000/m"},
        "senior-engineer": {"command": ["sh", "-c", "echo begun; sleep 600"], "concurrency": 9},
        "planning-specialist": {"command": ["false"]},
        "reviewer": {"agent": {"runtime": "pull"}},
    },
    "recovery": {"lease": "3s", "sweep": "200ms", "grace": "100ms", "worker_lost_retries": 3},
    "notifications": [{"events": ["*"], "log": True}],
    "trust": {"inline_commands": True, **({"canvas": True} if "canvas" in Trust.model_fields else {})},
}


@dataclass
class Secured:
    """A project whose user may do what deploy/users.acl says, and one who looks on."""

    project: Project
    admin: redis.Redis
    url: str

    def used(self) -> set[str]:
        """Every command that Redis has run since the counts were reset, those inside of scripts too."""
        stats: Any = self.admin.info("commandstats")
        return {name.removeprefix("cmdstat_") for name, found in stats.items() if found["calls"]} - OURS

    def refused(self) -> list[tuple[str, str]]:
        """The commands that the user lacks the right for."""
        return [(str(entry["reason"]), str(entry["object"])) for entry in self.admin.acl_log()]


OURS = {"config|resetstat", "acl|log", "auth", "hello"}
"""Commands that the test itself sends as the administrator. AUTH and HELLO need no right."""

RARELY = {
    "unwatch": "redis-py, where a transaction is cut off by an error",
    "mget": "Celery, where a program that waits for results has lost its connection",
    "pexpire": "kombu, for the queue of a program that waits long for the answers of remote control",
    "zrevrangebyscore": "kombu before 5.7, for messages whose worker was silent",
}
"""Commands that are needed only when things go wrong that a test cannot cause, and the library that sends them."""


def line_of(user: str) -> str:
    """The line of a user in the file."""
    (line,) = [one for one in USERS.read_text("utf-8").splitlines() if one.startswith(f"user {user} ")]
    return line


def granted() -> set[str]:
    """The commands that the file gives to the project's user."""
    return {word[1:] for word in line_of("orchestrator").split() if word.startswith("+")}


@contextlib.contextmanager
def secured(folder: Path, binary: str) -> Iterator[Secured]:
    """A Redis with the users of deploy/, and a project on it."""
    lines = ["user default off", line_of("orchestrator"), line_of("admin")]
    acl = "\n".join(lines).replace("CHANGE-ME-TOO", "admin").replace("CHANGE-ME", "letters") + "\n"
    (folder / "users.acl").write_text(acl, "utf-8")
    port = free_port()
    admin = f"redis://admin:admin@127.0.0.1:{port}"
    url = f"redis://orchestrator:letters@127.0.0.1:{port}/0"
    with ExitStack() as stack:
        settings = (f"port {port}", "appendonly yes", f"aclfile {folder / 'users.acl'}")
        stack.enter_context(serve_tcp(folder / "redis", *settings, ready=admin, binary=binary))
        home = folder / "project"
        (home / FOLDER).mkdir(parents=True)
        (home / FOLDER / FILE).write_text(yaml.safe_dump({"redis": {"url": url}, **SETTINGS}))
        yield Secured(Project(home, configuration.load(home), stack), client_of(admin), url)


NEEDS_NO_REDIS = {"adopt", "init", "schema", "specialists"}
NOT_HERE = {"up", "mcp"}
"""up brings a worker and Flower, which run here by themselves; mcp serves until its caller goes, and its tools call
what the other commands call."""

asked: set[str] = set()
"""The commands of ours that were run."""


def orchestrate(*arguments: str, code: int = 0) -> str:
    """Run a command of ours as a person does, in this process."""
    asked.add(arguments[0])
    result = CliRunner().invoke(commands, arguments)
    assert result.exit_code == code, f"{arguments} {result.output} {result.exception!r}"
    return result.output


def feature(name: str, *tasks: dict[str, Any], **fields: Any) -> str:
    """Write a feature file; returns its name."""
    Path(f"{name}.yaml").write_text(yaml.safe_dump({"id": name, "title": name, "tasks": tasks, **fields}))
    return f"{name}.yaml"


BUILT: dict[str, Any] = {"id": "T1", "tags": ["backend"]}
HANGS: dict[str, Any] = {"id": "T1", "tags": ["bug"]}
FAILS: dict[str, Any] = {"id": "T1", "tags": ["planning"]}


def run_everything(secured: Secured) -> None:
    """Every command of the product, workers that are lost and that end, a canvas, remote control and Flower."""
    project, client = secured.project, secured.project.client()
    one = project.start_worker("one", "-c", "9", "-E")

    def waits(feature_id: str, status: str, task: str = "T1") -> None:
        wait_until(
            lambda: (
                {str(state.status) for state in client.feature(feature_id).states() if state.id == task}
                == {status}
            )
        )

    def begins_again(feature_id: str) -> None:
        wait_until(lambda: client.feature(feature_id).states()[0].attempt > 1)
        wait_until(lambda: "begun" in CliRunner().invoke(commands, ["logs", feature_id, "T1"]).output)

    # Before a run, and features that run to their end
    after = {"id": "T2", "tags": ["backend"], "depends_on": ["T1"]}
    plain = feature("plain", BUILT, after, strategy="batched")
    for command in ("plan", "route", "graph"):
        orchestrate(command, plain)
    orchestrate("run", plain, "--key", "once")
    orchestrate("run", feature("flow", BUILT, after, strategy="dataflow"))
    orchestrate("enqueue", feature("again", {**FAILS, "retries": {"max": 1, "backoff": "100ms"}}, after))
    orchestrate("watch", "again", code=1)
    orchestrate("status")
    for command in ("status", "events", "graph"):
        orchestrate(command, "plain")
    orchestrate("explain", "again", "T1")
    orchestrate("recommend", "again", "T1")
    orchestrate("logs", "plain", "T1")
    orchestrate("progress", "plain")
    orchestrate("task", "plain", "T1")
    orchestrate("wait", "plain")

    # Tasks that stopped, and decisions of a person
    orchestrate("retry", "again", "T1")
    waits("again", "failed")
    orchestrate("skip", "again", "T1", "--because", "not needed")
    orchestrate("watch", "again")
    for name in ("held", "put-off", "stopped", "given-up", "in-the-way", "lost", "handed"):
        orchestrate("enqueue", feature(name, HANGS, after))
        waits(name, "in-progress")
    orchestrate("logs", "held", "T1")
    orchestrate("hold", "held", "T1")
    orchestrate("resume", "held", "T1")
    orchestrate("defer", "put-off", "T1")
    orchestrate("block", "put-off", "T2", "--because", "no licence")
    orchestrate("status", "put-off")
    orchestrate("unblock", "put-off", "T2")
    orchestrate("add-task", "held", "T9", "--tag", "backend")
    orchestrate("depend", "held", "T2", "--on", "T9")
    orchestrate("assign", "held", "T2", "planning-specialist")
    orchestrate("cap", "held", "7")
    orchestrate("budget", "held", "20")
    orchestrate("budget", "held", "2.50", "T1")
    orchestrate("pause", "held")
    orchestrate("resume", "held")
    orchestrate("fail", "given-up", "--because", "too late")
    orchestrate("cancel", "stopped")
    orchestrate("cancel", "in-the-way", "T1")
    orchestrate("enqueue", feature("steps", BUILT, after), "--stop-before", "2")
    waits("steps", "completed")
    orchestrate("launch", "steps")
    orchestrate("enqueue", feature("review", {**BUILT, "tags": ["backend", "needs-review"]}))
    waits("review", "in-review")
    orchestrate("request-changes", "review", "T1", "--note", "shorter")
    waits("review", "in-review")
    orchestrate("approve", "review", "T1")
    orchestrate("enqueue", feature("by-hand", BUILT), "--stop-before", "1")
    orchestrate("advance", "by-hand", "T1")
    orchestrate("enqueue", feature("claimed", {"id": "T1", "specialist": "reviewer"}))
    token = orchestrate("claim", "--feature", "claimed").splitlines()[0]
    orchestrate("report", token, "--note", "reading")
    orchestrate("report", token, "--released")
    token = orchestrate("claim").splitlines()[0]
    orchestrate("report", token, "--completed", "read")
    orchestrate("deliver", "claimed", code=2)
    orchestrate("usage", "claimed")
    orchestrate("usage", "--by", "model")
    orchestrate("limits")
    orchestrate("limits", "set", "total", "19")
    orchestrate("limits", "reset")

    # A worker that is killed, one that ends amid its work, and one that takes up what they had
    two = project.start_worker("two", "-c", "9", "-E")
    wait_until(lambda: "ready" in (project.folder / "two.log").read_text("utf-8"))
    os.killpg(one.pid, signal.SIGKILL)
    for name in ("lost", "handed", "held"):
        begins_again(name)
    two.terminate()
    wait_until(lambda: two.poll() is not None)
    project.start_worker("three", "-c", "9", "-E")
    wait_until(lambda: client.feature("handed").states()[0].attempt > 2)

    # A message whose worker said nothing for an hour
    keys = client.store.keys
    unacked = json.dumps([{"body": "", "headers": {}, "properties": {}}, "to", "implementation-specialist"])
    secured.admin.hset(f"{keys.celery()}unacked", "silent", unacked)
    secured.admin.zadd(f"{keys.celery()}unacked_index", {"silent": 1})
    wait_until(lambda: not secured.admin.hexists(f"{keys.celery()}unacked", "silent"))

    # A canvas, remote control, Flower
    ran = project.run("python", "-c", CANVAS)
    assert ran.stdout.split() == ["completed", "2"], ran.stderr
    there = ("--timeout", "60", "--destination", f"three@{gethostname()}")
    for order in (("inspect", "active_queues"), ("control", "rate_limit", "senior-engineer", "9/m")):
        project.run("celery", "-A", "orchestrator", order[0], *there, *order[1:], check=True)
    look_at_flower(project)

    # Replicas that outcomes wait for; Redis has none
    settings = project.settings.model_copy(
        update={"redis": project.settings.redis.model_copy(update={"replicas": 1})}
    )
    with Client(settings) as careful, pytest.raises(errors.OrchestratorError):
        careful.enqueue(Feature.model_validate({"title": "Kept", "tasks": [BUILT]}))

    # Tidying up
    for name in ("held", "put-off", "lost", "handed"):
        orchestrate("cancel", name)
    orchestrate("prune", "--older-than", "1ms")
    orchestrate("run", feature("last", BUILT))
    orchestrate("forget", "last")
    orchestrate("config")
    project.run("celery", "-A", "orchestrator", "control", "--timeout", "0.1", "shutdown")
    wait_until(lambda: project.workers[-1].poll() is not None)


def look_at_flower(project: Project) -> None:
    """Start Flower, ask for its pages, and end it."""
    port = free_port()
    flower = [str(BIN / "celery"), "-A", "orchestrator", "flower", f"--port={port}"]
    log = project.folder / "flower.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(flower, cwd=project.folder, env=tools(), stdout=output, stderr=output) as process,
    ):
        try:

            def answers(page: str) -> bool:
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as found,
                ):
                    return bool(found.status == 200)
                return False

            wait_until(lambda: answers("healthcheck"))
            for page in ("workers", "tasks", "broker"):
                assert answers(page), log.read_text("utf-8")
        finally:
            process.terminate()


def newest() -> str | None:
    """A server that counts subcommands by themselves (Redis 7, Valkey)."""
    found = [*find_binaries(), find_valkey()]
    return next((one for one in found if one and redis_binary.version_of(one) >= (7,)), None)


def test_the_user_of_a_project_has_what_the_commands_need_and_no_right_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user `orchestrator` has each command that the product uses by its name, none more."""
    binary = newest()
    if not binary:
        pytest.skip("there is no server here that counts subcommands")
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    with secured(tmp_path, binary) as found:
        monkeypatch.chdir(found.project.folder)
        found.admin.config_resetstat()
        # When everything runs that there is; the doctor comes later, for it tries each command
        run_everything(found)
        needed = found.used() | in_scripts() | RARELY.keys()

        # Then nothing was refused, and each right was of use
        assert found.refused() == []
        assert granted() - needed == set(), "rights of no use"
        assert needed - granted() == set(), "rights that are missing"

        # And the doctor tries nothing else, and misses nothing; and no command of ours was left out
        assert "that are needed can be used" in orchestrate("doctor")
        assert found.refused() == []
        group: Any = get_command(commands)
        assert set(group.commands) - NEEDS_NO_REDIS - NOT_HERE - asked == set()
    assert {name.lower().replace(" ", "|") for name in rights.COMMANDS} - granted() == set()


def in_scripts() -> set[str]:
    """The commands of our scripts, also where no run of theirs has come to them."""
    texts = "".join(sources().values())
    return {name.lower() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", texts)}


def test_rights_are_named_one_by_one() -> None:
    """Each command is given by its name: a category would grow with the next version of Redis."""
    assert "-@all" in line_of("orchestrator").split()
    assert not re.search(r"\+@", line_of("orchestrator"))
