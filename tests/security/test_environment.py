"""The environment that a command can see (the page on security): its own, and that of the processes above it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.schema.limits import Limits
from orchestrator.config.schema.notifications import Notification
from orchestrator.config.schema.quality_gates import Gate
from orchestrator.config.settings import Settings
from orchestrator.engine import celery_settings
from orchestrator.engine.app import create
from orchestrator.model import errors
from orchestrator.model.outcome import Completed, Failed
from orchestrator.notify.targets import open_target
from orchestrator.specialists import gates, perform, registry
from orchestrator.specialists.command import CommandRunner
from orchestrator.specialists.environment import PASSED_ON
from tests.specialists.contexts import a_context

SECRET = "sentinel-of-the-worker-4Kz"
VARIABLES = (
    "TASKORCHESTRATOR_REDIS__URL", "REDIS_URL", "REDIS_PASSWORD", "REDIS_ADMIN_PASSWORD", "REDISCLI_AUTH",
    "BROKER_URL", "CELERY_BROKER_URL", "FLOWER_BASIC_AUTH", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN",
    "path", "XPATH", "LCX", "HOMEBREW", "WHATEVER_COMES_NEXT",
)  # fmt: skip
GIVEN = {"PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_TIME", "TZ", "TMPDIR"}

# A shell adds these to what it is given.
OF_THE_SHELL = {"PWD", "SHLVL", "_", "OLDPWD"}
OURS = {"ORCHESTRATOR_TREE"} | {
    f"ORCHESTRATOR_{name}"
    for name in ("FEATURE_ID", "TASK_ID", "ATTEMPT", "PROJECT", "TASK_FILE", "OUTCOME_FILE")
}
ENV = ("/bin/sh", "-c", "env")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, SECRET)
    for name in GIVEN - {"PATH", "HOME", "TMPDIR"}:
        monkeypatch.setenv(name, "C")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def names(text: str) -> set[str]:
    return {line.partition("=")[0] for line in text.splitlines() if "=" in line}


def test_a_command_gets_an_allow_list_of_variables(tmp_path: Path) -> None:
    """Of the worker's environment a command gets PATH, HOME, LANG, LANGUAGE, LC_*, TZ and TMPDIR, and what pass_env
    names."""
    outcome = CommandRunner(ENV, Limits(), project=tmp_path).perform(a_context(tmp_path))
    assert isinstance(outcome, Completed)
    assert names(outcome.tail) - OF_THE_SHELL == GIVEN | OURS
    assert SECRET not in outcome.tail
    assert {name.rstrip("*") for name in PASSED_ON} == {
        "PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LC_",
        "TZ",
        "TMPDIR",
    }


@pytest.mark.parametrize(
    ("declared", "more"),
    [(("PGPASSWORD",), {"PGPASSWORD"}), (("PGPASS*", "X"), {"PGPASSWORD"}), (("REDIS_",), set())],
)
def test_pass_env_names_what_a_command_gets_too(
    declared: tuple[str, ...], more: set[str], tmp_path: Path
) -> None:
    """Declared variables go along, by name, or by their beginning and a star."""
    runner = CommandRunner(ENV, Limits(), project=tmp_path, pass_env=declared)
    outcome = runner.perform(a_context(tmp_path))
    assert names(outcome.tail) - OF_THE_SHELL - GIVEN - OURS == more


@pytest.mark.parametrize("declared", ["*", "A B", "A=B", "", "1A", "A*B"])
def test_pass_env_takes_names_alone(declared: str) -> None:
    """A star alone, which would pass everything, is refused."""
    with pytest.raises(ValueError, match="pattern"):
        Settings.model_validate({"specialists": {"reviewer": {"pass_env": [declared]}}})


def test_a_gate_gets_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for the commands of gates."""
    monkeypatch.delenv("TASKORCHESTRATOR_REDIS__URL")
    gate = Gate(name="tests", command=("/bin/sh", "-c", "env; exit 1"), pass_env=("PGPASSWORD",))
    (result,) = gates.check([gate], "testing", a_context(tmp_path), Settings())
    assert names(result.tail) - OF_THE_SHELL == GIVEN | OURS | {"PGPASSWORD"}


def test_a_command_that_is_told_of_events_gets_no_more(tmp_path: Path) -> None:
    """The same holds for the commands of notifications."""
    command = ("/bin/sh", "-c", f"env > {tmp_path}/seen")
    told = Notification(events=("*",), command=command, pass_env=("GITHUB_TOKEN",))
    assert open_target(told).send({}) is None
    seen = names((tmp_path / "seen").read_text("utf-8"))
    assert seen - OF_THE_SHELL == GIVEN | {"ORCHESTRATOR_TREE", "GITHUB_TOKEN"}


RUNS = """
from pathlib import Path
from orchestrator.config.schema.limits import Limits
from orchestrator.specialists.command import CommandRunner
from tests.specialists.contexts import a_context
folder = Path({folder!r})
runner = CommandRunner(("/bin/sh", "-c", "tr '\\\\0' '\\\\n' < /proc/$PPID/environ"), Limits(), project=folder)
print(runner.perform(a_context(folder)).tail)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_the_parent_of_a_command_has_no_more_than_the_command(tmp_path: Path) -> None:
    """/proc/$PPID/environ of a command, which is that of its reaper, holds no more than its own."""
    done = subprocess.run(
        [sys.executable, "-c", RUNS.format(folder=str(tmp_path))],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "PATH=" in done.stdout
    assert SECRET not in done.stdout + done.stderr


# Another user


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as another user")
USER = "nobody"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder of temporary files that everybody can pass."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", "/tmp")
    yield Path("/tmp")
    monkeypatch.setattr("tempfile.tempdir", None)


def run_as(user: str, script: str, folder: Path) -> Any:
    runner = CommandRunner(("/bin/sh", "-c", script), Limits(), project=folder, user=user)
    return runner.perform(a_context(folder))


@as_root
def test_a_command_of_another_user_has_its_files_and_nothing_of_the_workers(
    tmp_path: Path, temporary: Path
) -> None:
    """With specialists.NAME.user a command runs as that user, with none of the worker's rights: it reads its task,
    writes its outcome, and reaches neither the worker's environment nor its folders."""
    hidden = tmp_path / "hidden"
    hidden.write_text(SECRET)
    hidden.chmod(0o600)
    script = f"""
        id -un; id -G; grep CapEff /proc/self/status; echo "$HOME $USER"; pwd
        grep -c Review "$ORCHESTRATOR_TASK_FILE"
        cat /proc/{os.getpid()}/environ {hidden} && echo reached
        ls {tmp_path} && echo reached
        kill -0 {os.getpid()} && echo reached
        echo '{{"status": "completed", "summary": "mine"}}' > "$ORCHESTRATOR_OUTCOME_FILE"
        touch left
    """
    outcome = run_as(USER, script, tmp_path)
    assert outcome.summary == "mine"
    lines = outcome.tail.splitlines()
    assert lines[0] == USER
    assert "0" not in lines[1].split()
    assert lines[2].split() == ["CapEff:", "0000000000000000"]
    assert lines[3] == f"/nonexistent {USER}"
    assert "reached" not in lines
    assert SECRET not in outcome.tail
    # Its leftovers are among the work folders, where it can no longer reach them
    workdir = a_context(tmp_path).workdir
    assert (workdir / "left").exists()
    assert not Path(lines[4]).exists()


@as_root
@pytest.mark.parametrize(
    "script",
    [
        'ln -s {hidden} "$ORCHESTRATOR_OUTCOME_FILE"',
        'ln {hidden} "$ORCHESTRATOR_OUTCOME_FILE" || ln -s {hidden} "$ORCHESTRATOR_OUTCOME_FILE"',
        'mkfifo "$ORCHESTRATOR_OUTCOME_FILE"',
        'mkdir "$ORCHESTRATOR_OUTCOME_FILE"',
    ],
)
def test_the_outcome_of_another_user_is_a_file_of_its_own(
    script: str, tmp_path: Path, temporary: Path
) -> None:
    """The worker reads no file by a link that such a command laid."""
    hidden = tmp_path / "hidden.json"
    hidden.write_text(json.dumps({"status": "completed", "summary": SECRET}))
    outcome = run_as(USER, script.format(hidden=hidden), tmp_path)
    assert isinstance(outcome, Failed)
    assert "the outcome file cannot be used" in outcome.reason
    assert SECRET not in outcome.model_dump_json()


@as_root
def test_a_gate_runs_as_the_user_of_its_specialist(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gates, which run what it wrote, run as that user too."""
    monkeypatch.delenv("TASKORCHESTRATOR_REDIS__URL")
    settings = Settings.model_validate({"specialists": {"reviewer": {"command": ["true"], "user": USER}}})
    gate = Gate(name="who", command=("/bin/sh", "-c", "id -un; exit 1"))
    workdir = a_context(tmp_path).workdir
    workdir.mkdir(parents=True)
    (workdir / "gate-who").symlink_to(tmp_path)  # laid by the specialist
    (result,) = gates.check([gate], "testing", a_context(tmp_path), settings)
    assert result.tail.split() == [USER]
    assert (workdir.parent / f"{workdir.name}.gate-who" / "task.json").exists()


@pytest.mark.parametrize("user", ["no-such-user", USER])
def test_what_cannot_run_as_another_user_does_not_run(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the worker has no right to that, or there is no such user, the command does not run."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    outcome = run_as(user, f"touch {tmp_path}/ran", tmp_path)
    assert isinstance(outcome, Failed)
    assert ("no user" if user != USER else "not root") in outcome.reason
    assert not (tmp_path / "ran").exists()


def test_a_python_specialist_has_no_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python specialist runs in the worker: it has no user of its own."""
    monkeypatch.delenv("TASKORCHESTRATOR_REDIS__URL")
    with pytest.raises(ValueError, match="python callable, which runs in the worker"):
        Settings.model_validate({"specialists": {"reviewer": {"python": "a:b", "user": USER}}})
    monkeypatch.setattr(registry, "_registered", {"reviewer": lambda context: "done"})
    settings = Settings.model_validate({"specialists": {"reviewer": {"user": USER}}})
    outcome = perform(a_context(tmp_path), settings)
    assert isinstance(outcome, Failed)
    assert "runs in the worker itself" in outcome.reason
    with pytest.raises(errors.RunsInTheWorker):
        registry.resolve("reviewer", a_context(tmp_path).task, settings)


# Another app's broker


@pytest.mark.parametrize("name", [*celery_settings.BROKER, *celery_settings.RESULTS])
def test_another_apps_broker_takes_no_worker_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables by which other Celery apps find their broker change nothing here; a worker names them in its log."""
    monkeypatch.delenv("TASKORCHESTRATOR_REDIS__URL")
    for each in (*celery_settings.BROKER, *celery_settings.RESULTS):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, f"redis://:{SECRET}@elsewhere:6379/0")
    app = create(Settings.model_validate({"redis": {"url": "redis://ours:6379/3"}}))
    for connection in (app.connection_for_read(), app.connection_for_write(), app.connection()):
        assert connection.as_uri().endswith("@ours:6379/3")
    assert app.conf.result_backend == "redis://ours:6379/3"
    (named,) = celery_settings.ignored_variables(app.conf, os.environ)
    assert named == f"{name} (redis://…)"


@pytest.mark.parametrize(
    ("unit", "needs"),
    [
        ("task-orchestrator-worker@.service", set()),
        ("task-orchestrator-flower.service", {"FLOWER_BASIC_AUTH"}),
    ],
)
def test_a_unit_keeps_no_password_that_its_process_does_not_need(unit: str, needs: set[str]) -> None:
    """The systemd units hand the worker and Flower no password but the one in the URL; Redis's administrator has
    another."""
    deploy = Path(__file__).parents[2] / "deploy"
    text = (deploy / "systemd" / unit).read_text("utf-8")
    (unset,) = [line for line in text.splitlines() if line.startswith("UnsetEnvironment=")]
    example = (deploy / "env.example").read_text("utf-8").splitlines()
    secrets = {
        line.partition("=")[0]
        for line in example
        if not line.startswith("#")
        and any(word in line.partition("=")[0] for word in ("PASSWORD", "AUTH", "SECRET"))
    }
    assert "REDIS_ADMIN_PASSWORD" in secrets
    assert secrets - needs == set(unset.removeprefix("UnsetEnvironment=").split())
