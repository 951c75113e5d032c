"""Commands take ids of any script, however their accents are typed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.state.store import Store
from tests.model.factories import task
from tests.state.factories import launched

FEATURE, TASK = "größe/2", "é:1/@x"


@pytest.fixture(autouse=True)
def feature(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature that runs, whose ids have accents."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / FOLDER / FILE
    file.parent.mkdir()
    file.write_text(
        "redis: {url: redis://nowhere:1}\nbroker: {url: memory://}\ntrust: {inline_commands: true}\n", "utf-8"
    )
    launched(store, task(TASK), task("b", TASK), task("c", TASK), feature_id=FEATURE)


@pytest.mark.parametrize(
    "words",
    [
        ["status", FEATURE],
        ["progress", FEATURE],
        ["graph", FEATURE],
        ["task", FEATURE, TASK],
        ["explain", FEATURE, TASK],
        ["events", FEATURE, "--task", TASK],
        ["hold", FEATURE, TASK],
        ["depend", FEATURE, "c", "--on", TASK],
        ["add-task", FEATURE, "ö", "--depends-on", TASK, "--run", "true"],
    ],
)
def test_an_id_is_found_however_its_accents_are_typed(words: list[str]) -> None:
    typed = [unicodedata.normalize("NFD", word) for word in words]
    assert typed != words

    told = CliRunner().invoke(app, typed)

    assert told.exit_code == 0, told.output
