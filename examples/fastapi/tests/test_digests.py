"""The service in this process: its pages, its feature and its tasks."""

import pytest
from fastapi.testclient import TestClient

from digests import main, tasks


@pytest.fixture
def inbox(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "INBOX", tmp_path)
    (tmp_path / "a.txt").write_text("one two two")
    (tmp_path / "b.txt").write_text("two three")
    return tmp_path


@pytest.fixture
def site(orchestrator_client):
    with TestClient(main.app) as site:
        yield site


def test_a_digest(site, inbox, orchestrator_client):
    number = site.post("/digests", json={"files": ["a.txt", "b.txt"], "most": 1}).json()["id"]
    assert site.get(f"/digests/{number}").json()["done"] == 0
    orchestrator_client.feature(number).wait()
    assert site.get(f"/digests/{number}").json()["words"] == {"two": 3}
    first, *others = site.get(f"/digests/{number}/events").text.strip().split("\n\n")
    assert "event: all_tasks_complete" in others[-1]
    seen = {"Last-Event-ID": first.splitlines()[0].removeprefix("id: ")}
    assert site.get(f"/digests/{number}/events", headers=seen).text.strip().split("\n\n") == others


def test_what_is_not_there(site):
    assert site.get("/digests/none").status_code == 404


def test_a_file_outside_the_inbox_is_refused(site):
    assert site.post("/digests", json={"files": ["../secret"]}).status_code == 422
