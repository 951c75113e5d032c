"""The commands that need no Redis, as a person or a script uses them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator.cli.app import app
from orchestrator.config import configuration
from orchestrator.config.folder import FOLDER
from orchestrator.state import connections, embedded

LOGIN = {
    "title": "Login",
    "tasks": [
        {"id": "T1", "title": "Create schema", "tags": ["database"], "estimate": "15m"},
        {"id": "T2", "title": "Mend sign-in", "tags": ["bug", "backend"], "depends_on": ["T1"]},
        {"id": "T3", "title": "Write prose", "tags": ["databse"]},
    ],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a feature file, and no settings from outside."""
    for name in os.environ:
        if name.startswith("TASKORCHESTRATOR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    write("login.yaml", LOGIN)
    return tmp_path


def write(name: str, content: Any) -> str:
    Path(name).write_text(yaml.safe_dump(content), "utf-8")
    return name


def orchestrate(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def as_json(*arguments: str, stdin: str | None = None) -> Any:
    """What a command writes with --json: JSON, and nothing beside it."""
    return json.loads(orchestrate(*arguments, "--json", stdin=stdin).stdout)


# plan


def test_a_plan_shows_batches_critical_path_and_who_does_what() -> None:
    result = orchestrate("plan", "login.yaml")
    assert result.exit_code == 0
    assert "Batch 1: T1 Create schema, T3 Write prose" in result.stdout
    assert "Critical path, by complexity: T1 → T2" in result.stdout
    assert "tag bug → Senior Engineer (before backend)" in result.stdout


def test_a_route_that_falls_to_the_default_suggests_tags() -> None:
    assert "Implementation Specialist, the default; tags that route: database" in orchestrate(
        "plan", "login.yaml"
    ).stdout.replace("\n", " ")


def test_options_go_before_the_file() -> None:
    plan = as_json("plan", "login.yaml", "--strategy", "sequential", "--cap", "1")
    assert (plan["strategy"], plan["cap"], len(plan["batches"])) == ("sequential", 1, 3)


def test_a_plan_in_json_has_the_routes() -> None:
    routes = as_json("plan", "login.yaml")["routes"]
    assert {task: group["specialist"]["name"] for group in routes for task in group["tasks"]}[
        "T2"
    ] == "senior-engineer"


def test_a_feature_can_come_from_standard_input() -> None:
    assert as_json("plan", "-", stdin=yaml.safe_dump(LOGIN))["title"] == "Login"


def test_a_large_plan_counts_the_tasks_of_each_route() -> None:
    write("large.yaml", {"title": "Large", "tasks": [{"id": f"T{number}"} for number in range(500)]})
    result = orchestrate("plan", "large.yaml")
    assert "Implementation Specialist: 500 tasks (" in result.stdout
    assert len(result.stdout.splitlines()) < 20


def test_what_the_private_redis_has_learned_is_in_the_plan_though_none_runs(folder: Path) -> None:
    # Given a Redis that was stopped after each of the tasks had been completed
    settings = configuration.load()
    store = connections.open_store(settings)
    specialists = ("implementation-specialist T1", "senior-engineer T2", "implementation-specialist T3")
    store.client.hset(store.keys.durations("Login"), mapping=dict.fromkeys(specialists, "2 40000,20000"))
    store.client.close()
    embedded.release(settings)

    plan = as_json("plan", "login.yaml")

    assert plan["sources"] == {"written": 1, "learned": 2}
    assert plan["total_seconds"] == 960
    embedded.release(settings)


def test_a_redis_that_does_not_answer_is_said_to_be_the_reason_why_no_time_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://127.0.0.1:1")
    result = orchestrate("plan", "login.yaml")
    assert result.exit_code == 0
    assert "Redis does not answer" in result.stderr
    assert "not known" in result.stdout


def test_a_plan_starts_no_redis_where_there_was_none(folder: Path) -> None:
    orchestrate("plan", "login.yaml")
    assert not (folder / FOLDER).exists()


def test_a_mermaid_text_that_mermaid_does_not_draw_is_said_to_be_one() -> None:
    tasks = [{"id": f"T{at}", "depends_on": [f"T{at - 1}"] if at else []} for at in range(700)]
    write("line.yaml", {"title": "Line", "tasks": tasks})
    result = orchestrate("graph", "line.yaml", "--all")
    assert "at most 500 arrows and 50,000 characters; this has 699 and" in result.stderr
    assert "--all draws all" in orchestrate("graph", "line.yaml").stderr


def test_of_a_file_with_cycles_there_is_no_critical_path_to_draw() -> None:
    tasks = [{"id": "T1", "depends_on": ["T2"]}, {"id": "T2", "depends_on": ["T1"]}]
    write("circle.yaml", {"title": "Circle", "tasks": tasks})
    assert "T1 → T2 → T1" in orchestrate("graph", "circle.yaml", "--critical").stderr
    assert orchestrate("graph", "circle.yaml", "--around", "T1").exit_code == 0
    assert "no task T9" in orchestrate("graph", "circle.yaml", "--around", "T9").stderr


def test_a_plan_names_each_reason_for_a_route_once() -> None:
    tasks = [{"id": f"T{number}", "tags": ["backend"] if number % 2 else []} for number in range(500)]
    write("large.yaml", {"title": "Large", "tasks": tasks})
    result = orchestrate("plan", "large.yaml")
    assert result.stdout.count("the task has no tags") == 1
    assert result.stdout.count("tag backend") == 1
    assert len(result.stdout.splitlines()) < 20


def test_a_title_cannot_colour_the_output_or_swallow_text() -> None:
    # Given a title that looks like rich's markup
    write("odd.yaml", {"title": "[bold]Odd[/bold] [/nonsense]", "tasks": [{"id": "T1", "title": "[red]x"}]})
    # When
    result = orchestrate("plan", "odd.yaml")
    # Then it is shown as it is written
    assert result.exit_code == 0
    assert "[bold]Odd[/bold] [/nonsense]: 1 task" in result.stdout
    assert "T1 [red]x" in result.stdout


# route and graph


def test_route_tells_specialist_queue_tier_and_reason() -> None:
    (route,) = (
        one for one in as_json("route", "login.yaml", "--fields", "all")["routes"] if one["tasks"] == ["T2"]
    )
    assert route["specialist"] == {"name": "senior-engineer", "title": "Senior Engineer"}
    assert route["model_tier"] == "sonnet"
    assert route["tag"] == "bug"
    assert (
        "Senior Engineer (tag bug → Senior Engineer (before backend)): T2"
        in orchestrate("route", "login.yaml").stdout
    )


@pytest.mark.bounds
def test_a_graph_is_mermaid_dot_or_svg() -> None:
    assert orchestrate("graph", "login.yaml").stdout.startswith("flowchart")
    assert orchestrate("graph", "login.yaml", "--format", "dot").stdout.startswith("digraph")
    assert orchestrate("graph", "login.yaml", "--format", "svg").stdout.startswith("<svg")


@pytest.mark.parametrize(("name", "start"), [("x.svg", "<svg"), ("x.dot", "digraph"), ("x.mmd", "flowchart")])
def test_a_graph_is_written_as_its_file_is_named(folder: Path, name: str, start: str) -> None:
    orchestrate("graph", "login.yaml", "-o", name)
    assert (folder / name).read_text().startswith(start)


def test_a_graph_is_not_written_as_what_it_cannot_be(folder: Path) -> None:
    refused = orchestrate("graph", "login.yaml", "-o", "x.png")
    assert refused.exit_code == 2
    assert ".png is none that can be written; choose .svg" in " ".join(refused.stderr.split())
    assert not (folder / "x.png").exists()


def test_a_graph_can_go_into_a_file(folder: Path) -> None:
    result = orchestrate("graph", "login.yaml", "-o", "login.mmd")
    assert result.stdout == ""
    assert (folder / "login.mmd").read_text("utf-8").startswith("flowchart")


# Errors


@pytest.mark.parametrize("command", ["plan", "route", "graph", "run", "enqueue"])
def test_a_mistake_in_the_file_is_told_without_a_traceback(command: str) -> None:
    # Given a feature with an unknown dependency
    write("wrong.yaml", {"title": "Wrong", "tasks": [{"id": "T1", "depends_on": ["T9"]}]})
    # When
    result = orchestrate(command, "wrong.yaml")
    # Then
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "T9" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_in_json_has_code_message_facts_and_ways_out() -> None:
    circle = {
        "title": "Circle",
        "tasks": [{"id": "T1", "depends_on": ["T2"]}, {"id": "T2", "depends_on": ["T1"]}],
    }
    error = as_json("plan", write("circle.yaml", circle))
    assert error["code"] == "circular-dependency"
    assert error["message"] == "Circle cannot be planned: 1 circular dependency."
    assert error["facts"]["paths"] == [["T1", "T2"]]
    assert error["actions"][0]["action"] == "remove-dependency"


def test_a_wrong_id_is_refused_before_anything_is_started(folder: Path) -> None:
    result = orchestrate("enqueue", "login.yaml", "--id", "no:id")
    assert result.exit_code == 2
    assert "--id is not a feature: 1 mistake" in result.stderr
    assert not (folder / ".taskorchestrator").exists()


@pytest.mark.bounds
def test_a_wrong_option_is_a_usage_error() -> None:
    assert orchestrate("plan", "login.yaml", "--cap", "0").exit_code == 2
    assert orchestrate("plan", "login.yaml", "--strategy", "fastest").exit_code == 2


def test_a_redis_that_does_not_answer_is_told_with_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://:sesame@127.0.0.1:1/0")
    result = orchestrate("status")
    assert result.exit_code == 3
    assert "Cannot reach Redis at redis://" in result.stderr
    assert "sesame" not in result.output


# init and config


def test_init_writes_a_file_that_can_be_loaded_and_only_its_owner_can_read(folder: Path) -> None:
    result = orchestrate("init")
    file = folder / ".taskorchestrator" / "config.yaml"
    assert result.exit_code == 0
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in orchestrate("config").stdout


def test_init_overwrites_only_with_force(folder: Path) -> None:
    # Given a file with a change of somebody's own
    orchestrate("init")
    file = folder / ".taskorchestrator" / "config.yaml"
    file.write_text("parallelism: {max_parallel_tasks: 3}", "utf-8")
    # When
    refused = orchestrate("init")
    # Then
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert "max_parallel_tasks: 3" in file.read_text("utf-8")
    # And with --force it is written again
    printed = orchestrate("init", "--print")
    assert printed.exit_code == 0
    assert printed.stdout.startswith("#")
    assert orchestrate("init", "--force").exit_code == 0
    assert "max_parallel_tasks: 3" not in file.read_text("utf-8")


def test_config_says_where_each_value_came_from_and_hides_secrets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    orchestrate("init")
    (folder / ".taskorchestrator" / "config.yaml").write_text(
        "parallelism: {max_parallel_tasks: 3}\nredis: {url: 'redis://:sesame@host:6379/0'}", "utf-8"
    )
    monkeypatch.setenv("TASKORCHESTRATOR_LIMITS__TAIL", "500")
    # When
    shown = {
        row["setting"]: (row["value"], row.get("origin", "default"))
        for row in as_json("config", "--limit", "1000")["settings"]
    }
    # Then
    assert shown["parallelism.max_parallel_tasks"] == (3, "file")
    assert shown["limits.tail"] == (500, "environment")
    assert shown["parallelism.auto_launch"] == (True, "default")
    assert shown["redis.url"][1] == "file"
    assert "sesame" not in orchestrate("config").output
    assert "sesame" not in orchestrate("config", "--json").output


def test_a_configuration_with_a_mistake_is_told(folder: Path) -> None:
    orchestrate("init")
    (folder / ".taskorchestrator" / "config.yaml").write_text("parallelism: {max_paralel_tasks: 3}", "utf-8")
    result = orchestrate("config")
    assert result.exit_code == 2
    assert "did you mean max_parallel_tasks?" in result.stderr
    # And by Celery's own command, without a traceback
    command = [sys.executable, "-m", "celery", "-A", "orchestrator", "report"]
    celery = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert celery.returncode == 2
    assert "did you mean max_parallel_tasks?" in celery.stderr
    assert "Traceback" not in celery.stderr


# Starting up


def test_what_needs_no_redis_imports_neither_redis_nor_celery() -> None:
    script = (
        "import sys; from orchestrator import cli\n"
        "for line in ('plan login.yaml', 'route login.yaml', 'graph login.yaml', 'config'):\n"
        "    sys.argv = ['orchestrator', *line.split()]; assert not cli.run()\n"
        "    print(line, {'celery', 'redis', 'kombu'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()] == ["set()"] * 4, done.stderr


def test_python_m_orchestrator_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"orchestrator {orchestrator.__version__}\n"


def test_a_terminal_without_unicode_gets_question_marks_not_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "plan", "login.yaml"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "Critical path, by complexity: T1 ? T2" in done.stdout


@pytest.mark.bounds
def test_without_a_command_the_help_lists_them() -> None:
    help = orchestrate("--help").stdout
    for command in ("plan", "run", "watch", "explain", "retry", "unblock", "up", "doctor", "init"):
        assert f" {command} " in help


# what is read and started


def test_a_pipe_is_read_and_one_that_nobody_writes_into_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo("pipe.yaml")
    monkeypatch.setattr("orchestrator.feature_file.reader.PIPE_SECONDS", 0.1)
    result = orchestrate("plan", "pipe.yaml")
    assert result.exit_code == 2
    assert "nobody writes into it" in result.stderr

    monkeypatch.setattr("orchestrator.feature_file.reader.PIPE_SECONDS", 60)
    writer = subprocess.Popen(["sh", "-c", "cat login.yaml > pipe.yaml"])
    assert "Create schema" in orchestrate("plan", "pipe.yaml").stdout
    writer.wait(60)


EVIL = "#!/bin/sh\ntouch started\nexit 1\n"


@pytest.fixture
def clone(folder: Path) -> Path:
    """A folder whose configuration names a program as the redis-server, as somebody else's repository may."""
    program = folder / "x" / "evil.sh"
    program.parent.mkdir()
    program.write_text(EVIL)
    program.chmod(0o755)
    (folder / ".taskorchestrator").mkdir(mode=0o700)
    (folder / ".taskorchestrator" / "config.yaml").write_text(
        "redis: {redis_server: x/evil.sh}\nimports: [evil]\nspecialists: {reviewer: {command: [x/review.sh]}}\n"
    )
    return folder


@pytest.mark.real
@pytest.mark.parametrize(
    "command",
    [
        "status",
        "doctor",
        "explain f T1",
        "events f",
        "logs f T1",
        "graph f",
        "limits",
        "plan login.yaml",
        "config",
    ],
)
def test_a_command_that_only_looks_starts_no_program_of_the_folder(clone: Path, command: str) -> None:
    orchestrate(*command.split())
    assert not (clone / "started").exists()


def test_a_command_that_runs_says_what_the_folder_makes_it_start(clone: Path) -> None:
    subfolder = clone / "below"
    subfolder.mkdir()
    os.chdir(subfolder)  # a relative path starts at the project's folder, in whatever folder the command runs
    result = orchestrate("enqueue", str(clone / "login.yaml"))
    assert (
        f"The configuration of this folder starts {clone}/x/evil.sh; imports evil; runs x/review.sh."
        in result.stderr
    )
    assert any(
        (place / "started").exists() for place in (clone, subfolder, clone / ".taskorchestrator/redis")
    )


@pytest.mark.real
def test_a_configuration_that_the_user_names_is_the_users_own(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(clone / ".taskorchestrator" / "config.yaml"))
    assert "evil.sh" in orchestrate("status").stderr
