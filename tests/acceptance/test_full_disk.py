"""A full disk: a task that prints fails with the reason, other tasks go on, and the worker lives."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.outcome import Failed
from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import PATIENCE, MakeProject
from tests.full_disk import fill, small_disk
from tests.waiting import wait_until

pytestmark = pytest.mark.real

CHATTY = (sys.executable, "-c", "for _ in range(100_000): print('a line of output')")


def test_on_a_full_disk_of_logs_a_task_ends_with_the_reason_and_the_worker_lives(
    make_project: MakeProject, tmp_path: Path
) -> None:
    with small_disk(tmp_path) as disk:
        # Given a worker whose logs of tasks are on a disk that one task fills, of three that are independent
        project = make_project(logs=str(disk / "logs"), parallelism={"max_parallel_tasks": 1})
        worker = project.start_worker("one", "-c", "1")
        tasks = [
            {"id": "chatty", "run": CHATTY, "priority": "high"},
            {"id": "quiet", "run": ["sh", "-c", "sleep 0"]},
            {"id": "speaks", "run": "echo word"},
        ]
        feature = {"title": "Logs", "max_parallel_tasks": 1, "tasks": tasks}
        handle = project.enqueue(Feature.model_validate(feature))

        # Then that task fails and says why, what has nothing to write is completed, and the worker lives
        assert handle.wait(PATIENCE).status is FeatureStatus.BLOCKED
        chatty, speaks = handle.outcome("chatty"), handle.outcome("speaks")
        assert isinstance(chatty, Failed)
        assert chatty.reason.startswith("exit code ")
        assert chatty.reason.endswith(
            f"nothing more can be written into its log {log(disk, handle.id, 'chatty')}: "
            "No space left on device"
        )
        assert "a line of output" in chatty.tail
        assert isinstance(speaks, Failed)
        assert "No space left on device" in speaks.reason
        states = {state.id: state.status for state in handle.states()}
        assert states == {"chatty": "failed", "quiet": "completed", "speaks": "failed"}
        assert worker.poll() is None

        # And where there is room again, what failed can be tried again
        log(disk, handle.id, "chatty").unlink()
        handle.retry("speaks")
        handle.skip("chatty", "its output is of no use")
        assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED


def log(disk: Path, feature: str, task: str) -> Path:
    return disk / "logs" / feature / f"{task}.1.log"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_lives_whose_own_log_is_on_a_full_disk(
    make_project: MakeProject, tmp_path: Path, pool: str
) -> None:
    with small_disk(tmp_path) as disk:
        # Given a worker that runs, and then can write nothing more into its log
        project = make_project(recovery={"lease": "60s", "sweep": "200ms", "grace": "500ms"})
        own = disk / "one.log"
        worker = project.start_worker("one", "-c", "1", "--pool", pool, log=own)
        wait_until(lambda: " ready." in own.read_text("utf-8"))
        fill(disk / "full")
        fill(own)
        size = own.stat().st_size

        # When it works, well and badly
        tasks = [{"id": "T1", "run": "echo 1"}, {"id": "T2", "run": "false", "depends_on": ["T1"]}]
        handle = project.enqueue(Feature.model_validate({"title": "Login", "tasks": tasks}))

        # Then it says all that it has to say, and lives
        assert handle.wait(PATIENCE).status is FeatureStatus.BLOCKED
        assert [state.status for state in handle.states()] == [TaskStatus.COMPLETED, TaskStatus.FAILED]
        assert worker.poll() is None
        assert own.stat().st_size == size

        # And it ends in order: what does not finish in its time is handed back
        handle = project.enqueue(
            Feature.model_validate({"title": "Long", "tasks": [{"id": "T1", "run": "sleep 1000"}]})
        )
        wait_until(lambda: handle.progress().counts.get(TaskStatus.IN_PROGRESS) == 1)
        worker.send_signal(signal.SIGTERM)
        # 120: of Python itself, which cannot write what its standard output still holds (`sys.exit`)
        assert worker.wait(PATIENCE) in (0, 120)
        (state,) = handle.states()
        assert (state.status, state.attempt, state.lost) == (TaskStatus.PENDING, 2, 0)
