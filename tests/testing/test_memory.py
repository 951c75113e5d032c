"""`memory://` as a user meets it: one command runs a feature, and what cannot work says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.typed import orchestrate

FEATURE = """\
title: Try
tasks:
  - {id: T1, run: [echo, hello]}
  - {id: T2, run: [sh, -c, 'test -e done || { touch done; exit 1; }'], depends_on: [T1], retries: 1}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".taskorchestrator").mkdir(mode=0o700)
    (tmp_path / ".taskorchestrator" / "config.yaml").write_text(
        "redis: {url: 'memory://'}\ntrust: {inline_commands: true, inline_workdir: project}\n", "utf-8"
    )
    (tmp_path / "try.yaml").write_text(FEATURE, "utf-8")
    return tmp_path


def test_run_needs_no_redis_and_no_worker(project: Path) -> None:
    ran = orchestrate(project, "run", "try.yaml", "--no-live")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "T2: failed" in ran.stdout
    assert "is completed: 2 tasks" in ran.stdout
    assert "memory:// lies in this process" in ran.stderr


def test_a_feature_is_not_enqueued_where_it_would_be_forgotten(project: Path) -> None:
    ran = orchestrate(project, "enqueue", "try.yaml")
    assert ran.returncode == 2
    assert "`orchestrator run`" in ran.stderr


def test_the_doctor_warns_of_it(project: Path) -> None:
    ran = orchestrate(project, "doctor", "--json")
    assert "lies in the memory of each process" in ran.stdout
