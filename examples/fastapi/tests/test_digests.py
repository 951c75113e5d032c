"""The service in this process, on its event loop: its pages, its feature and its tasks."""

import pytest
from httpx2 import ASGITransport, AsyncClient

from digests import main, tasks

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def inbox(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "INBOX", tmp_path)
    (tmp_path / "a.txt").write_text("one two two")
    (tmp_path / "b.txt").write_text("two three")
    return tmp_path


@pytest.fixture
async def site(orchestrator_client):
    async with (
        main.app.router.lifespan_context(main.app),
        AsyncClient(transport=ASGITransport(main.app), base_url="http://digests") as site,
    ):
        yield site


async def test_a_digest(site, inbox, orchestrator_client):
    asked = await site.post("/digests", json={"files": ["a.txt", "b.txt"], "most": 1})
    place = f"/digests/{asked.json()['id']}"
    assert (await site.get(place)).json()["done"] == 0
    orchestrator_client.feature(asked.json()["id"]).wait()
    assert (await site.get(place)).json()["words"] == {"two": 3}
    first, *others = (await site.get(f"{place}/events")).text.strip().split("\n\n")
    assert "event: all_tasks_complete" in others[-1]
    seen = {"Last-Event-ID": first.splitlines()[0].removeprefix("id: ")}
    assert (await site.get(f"{place}/events", headers=seen)).text.strip().split("\n\n") == others


async def test_what_is_not_there(site):
    assert (await site.get("/digests/none")).status_code == 404


async def test_a_file_outside_the_inbox_is_refused(site):
    assert (await site.post("/digests", json={"files": ["../secret"]})).status_code == 422
