"""Folders of features that are gone are removed; `prune` and `forget` do at once what workers do in time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
import redis
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.client.client import Client
from orchestrator.config import private
from orchestrator.config.folder import FOLDER
from orchestrator.config.settings import Settings
from orchestrator.model import errors, identifiers
from orchestrator.model.outcome import Completed
from orchestrator.planning import planner, routing
from orchestrator.state import folders, refusals, retention
from orchestrator.state.folders import mark, orphans
from orchestrator.state.keys import Keys
from orchestrator.state.store import Store
from tests.model import factories
from tests.model.factories import task
from tests.state.factories import Run

DAY = 86_400.0


@pytest.fixture
def store(fake_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    (tmp_path / FOLDER).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://nowhere:1/0")
    return fake_store


def over(store: Store, feature_id: str, days: float) -> None:
    """A feature that was completed so many days ago, with its folders."""
    feature = factories.feature(task("T1"))
    plan = planner.plan(feature)
    store.enqueue(feature_id, plan, routing.route(feature, Settings()))
    store.schedule(feature_id)
    run = Run(store, feature_id, plan)
    run.start("T1", specialist=Settings().specialist_routing.default)
    run.end("T1", Completed())
    ended = float(str(store.client.hget(run.keys.meta, "finished"))) - days * DAY * 1000
    store.client.hset(run.keys.meta, "finished", ended)
    store.client.zadd(store.keys.finished, {feature_id: ended})
    write(store, feature_id, days)


def write(store: Store | None, feature_id: str, days: float) -> None:
    """The folders of a feature as its attempts left them; without a store, nobody's."""
    for folder in folders.of(Settings(), feature_id):
        (folder / "T1.1").mkdir(parents=True)
    if store:
        mark(Settings(), store, feature_id)
    for folder in folders.of(Settings(), feature_id):
        moment = folder.stat().st_mtime - days * DAY
        os.utime(folder, (moment, moment))


def left() -> list[str]:
    return sorted(path.name for path in (Path(FOLDER) / "logs").iterdir())


def test_only_old_folders_of_features_that_are_gone_are_orphans(store: Store) -> None:
    over(store, "stored", days=40)
    write(store, "gone", days=40)
    write(store, "gone-lately", days=1)
    (Path(FOLDER) / "logs" / "flower.log").write_text("")
    (Path(FOLDER) / "logs" / "elsewhere").symlink_to(Path(FOLDER) / "logs" / "gone")

    found = orphans(Settings(), store, 30 * DAY)

    assert sorted(map(str, found)) == [
        str(Path(FOLDER).resolve() / kind / "gone") for kind in ("logs", "work")
    ]
    assert len(orphans(Settings(), store, 30 * DAY, most=1)) == 1


def test_prune_says_first_and_forgets_then(store: Store) -> None:
    over(store, "old", days=8)
    over(store, "new", days=6)
    write(store, "gone", days=8)

    said = CliRunner().invoke(app, ["prune", "--older-than", "7d", "--dry-run", "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["features"] == ["old"]
    assert len(json.loads(said.stdout)["folders"]) == 4
    assert (store.features.newest(), left()) == (["new", "old"], ["gone", "new", "old"])

    done = CliRunner().invoke(app, ["prune", "--older-than", "7d"])
    assert done.exit_code == 0, done.output
    assert "1 feature was forgotten, 4 folders removed." in done.output
    assert (store.features.newest(), left()) == (["new"], ["new"])


def test_prune_refuses_what_is_no_duration(store: Store) -> None:
    asked = CliRunner().invoke(app, ["prune", "--older-than", "soon"])
    assert asked.exit_code == 2
    assert "a duration is a number of seconds" in " ".join(asked.output.split())


def test_forget_takes_one_feature_that_is_over(store: Store) -> None:
    over(store, "auth", days=0)
    feature = factories.feature(task("T1"))
    store.enqueue("open", planner.plan(feature), routing.route(feature, Settings()))
    client = Client(Settings())

    with pytest.raises(errors.NotOver, match="The feature open is planning"):
        client.forget("open")
    with pytest.raises(errors.NoSuchFeature):
        client.forget("unknown")

    assert CliRunner().invoke(app, ["forget", "auth"]).output == "auth is forgotten.\n"
    assert (store.features.newest(), left()) == (["open"], [])


def test_what_another_redis_knows_or_nobody_made_stays(store: Store) -> None:
    # Given a folder of logs that holds those of a feature on another Redis, and what is no feature's
    other = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), Keys())
    over(store, "old", days=40)
    over(other, "elsewhere", days=40)
    write(other, "gone-elsewhere", days=40)
    write(None, "nginx", days=40)

    # When what is old is pruned, first only to see
    said = CliRunner().invoke(app, ["prune", "--older-than", "7d", "--dry-run", "--json"])
    done = CliRunner().invoke(app, ["prune", "--older-than", "7d", "--json"])

    # Then only our own went, as it was said
    assert json.loads(said.stdout) == {**json.loads(done.stdout), "dry_run": True}
    assert {Path(folder).name for folder in json.loads(done.stdout)["folders"]} == {"old"}
    assert left() == ["elsewhere", "gone-elsewhere", "nginx"]


def test_a_feature_of_one_name_on_two_redises_keeps_its_folders_where_they_are_not_ours(store: Store) -> None:
    other = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), Keys())
    write(other, "nightly", days=40)
    feature = factories.feature(task("T1"))
    plan = planner.plan(feature)
    store.enqueue("nightly", plan, routing.route(feature, Settings()))
    store.requests.update_feature("nightly", "feature_cancelled")

    Client(Settings()).forget("nightly")

    assert (store.features.newest(), left()) == ([], ["nightly"])


def test_an_id_from_redis_leads_nowhere_else(store: Store, tmp_path: Path) -> None:
    # Given somebody who writes a feature into Redis that is called as a folder is
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / private.MARK).write_text(store.identity)
    for name in (str(victim), "../../../victim"):
        store.client.hset(store.keys.feature(name).meta, "status", "completed")
        store.client.zadd(store.keys.finished, {name: 1})

    assert CliRunner().invoke(app, ["prune", "--older-than", "1ms"]).exit_code == 0

    assert victim.is_dir()


def test_folders_of_ids_of_any_script_and_length_are_told_apart(store: Store) -> None:
    # Given features that are stored, and features that are gone, with ids that are encoded, or cut, in names of folders
    for feature_id in ("@acme/app", "日" * 200):
        over(store, feature_id, days=40)
    for feature_id in ("@acme/gone", "日" * 199 + "本"):
        write(store, feature_id, days=40)
    # When somebody looks for orphans
    found = {folder.name for folder in orphans(Settings(), store, 30 * DAY)}
    # Then they are those of the features that are gone
    assert found == {identifiers.file_name("@acme/gone"), identifiers.file_name("日" * 199 + "本")}


def test_a_feature_with_an_overwritten_key_does_not_keep_the_others_from_being_forgotten() -> None:
    stored = ["broken", "old"]

    def delete(feature_id: str, *_: object, **__: object) -> tuple[str, str]:
        if feature_id == "broken":
            answer = redis.ResponseError("WRONGTYPE to:{broken}:states is a string, and should be a hash")
            raise refusals.translate(answer, "redis://cache")
        stored.remove(feature_id)
        return "deleted", "completed"

    store: Any = SimpleNamespace(
        finished=lambda older_than, most, start: stored[start : start + most], delete_feature=delete
    )

    assert retention.forget_old(store, DAY) == ["old"]
