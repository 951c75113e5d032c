"""The Django example, as its user runs it: its own workers, its own beat, its own server, and its own tests."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.local import processes
from orchestrator.model.feature import FeatureStatus
from tests.acceptance.conftest import PATIENCE, Project
from tests.acceptance.example_projects import (
    EXAMPLES,
    Site,
    attempts,
    open_example,
    run_own_tests,
    start_celery,
    start_worker,
    wait_for_attempt,
    write_when_read,
)
from tests.pages import blocks
from tests.waiting import wait_until

pytest.importorskip("django", reason="Django is not installed")
pytestmark = pytest.mark.real

MOST_LINES = 9
QUEUES = ("-Q", "celery,courier")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The project, with one article in its database."""
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    with open_example("django", tmp_path, monkeypatch) as project:
        (tmp_path / "data" / "labels").mkdir(parents=True)
        prepare(project)
        yield project


def prepare(project: Project) -> None:
    """Make the tables, and put an article into the shop."""
    manage(project, "migrate", "--verbosity", "0")
    tell(project, "insert into shop_article (name, price, stock) values ('lamp', 19.9, 5)")


def manage(project: Project, *command: str) -> None:
    """`python manage.py …`"""
    done = project.run(sys.executable, "manage.py", *command)
    assert done.returncode == 0, done.stdout + done.stderr


def data(project: Project) -> Path:
    return project.folder.parent / "data"


def tell(project: Project, sql: str) -> list[tuple[object, ...]]:
    """The answer of the shop's database."""
    with sqlite3.connect(data(project) / "shop.sqlite3", timeout=PATIENCE) as database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


def place(site: Site, amount: int = 1) -> int:
    """Place an order; its number."""
    order = {"customer": "ada@example.org", "article": "lamp", "amount": amount}
    return int(site.ask("/orders/", order)["order"])


def serve_shop(project: Project) -> Site:
    return Site(project, "manage.py", "runserver", "--noreload", "PORT")


def diffs() -> list[str]:
    """The diffs of the README: to join, to have a feature of one's own, and to have an outbox and beat."""
    return [text for language, text in blocks(EXAMPLES / "django" / "README.md") if language == "diff"]


def apply(diff: str, folder: Path, *options: str) -> None:
    subprocess.run(["git", "apply", "-p1", *options], cwd=folder, input=diff, text=True, check=True)


def changed_lines(diff: str) -> list[str]:
    return re.findall(r"^[-+](?![-+]{2} ).*\S.*$", diff, re.M)


def test_the_diff_to_join_is_short() -> None:
    """It has fewer than ten lines, those that it removes included, and touches no task."""
    join, *_ = diffs()
    assert 5 < len(changed_lines(join)) <= MOST_LINES
    assert "tasks.py" not in join


def test_a_project_joins(shop: Project) -> None:
    """Before the diff the project sends its canvas; after it, and a restart of the workers, the canvas is a feature."""
    join, feature, beat = diffs()
    for diff in (beat, feature, join):
        apply(diff, shop.folder, "--reverse")
    old = [path for place in ("proj", "shop") for path in (shop.folder / place).glob("*.py")]
    assert not [path for path in old if "orchestrator" in path.read_text("utf-8")]
    for order in (1, 2):
        (data(shop) / "labels" / f"{order}.txt").write_text("RR1")

    worker = start_worker(shop, "proj", "before", *QUEUES)
    site = serve_shop(shop)
    number = place(site)
    wait_until(lambda: site.ask(f"/orders/{number}/")["confirmed"])
    site.stop()
    processes.stop(worker)
    assert shop.client().features() == []

    apply(join, shop.folder)
    start_worker(shop, "proj", "after", *QUEUES)
    site = serve_shop(shop)
    number = place(site)
    wait_until(lambda: site.ask(f"/orders/{number}/")["confirmed"])
    (progress,) = shop.client().features()
    assert shop.client().feature(progress.id).wait(timeout=PATIENCE).status == FeatureStatus.COMPLETED
    assert [paid for (paid,) in tell(shop, "select order_id from shop_payment")] == [1, 2]


def test_a_killed_worker(shop: Project) -> None:
    """A worker is killed while it reads a label. Another one fulfils the order, and nobody pays twice."""
    label = data(shop) / "labels" / "1.txt"
    os.mkfifo(label)  # who reads it waits until it is written
    first = start_worker(shop, "proj", "first", *QUEUES)
    handle = shop.client().feature(f"order-{place(serve_shop(shop), amount=2)}")
    wait_for_attempt(handle, "label", 1)
    wait_until(lambda: handle.progress().completed == 3)
    os.killpg(first.pid, signal.SIGKILL)
    start_worker(shop, "proj", "second", *QUEUES)
    wait_for_attempt(handle, "label", 2)
    write_when_read(label, "RR1")
    assert handle.wait(timeout=PATIENCE).status == FeatureStatus.COMPLETED
    assert attempts(handle) == {"reserve": 1, "charge": 1, "invoice": 1, "label": 2, "confirm": 1}
    assert tell(shop, "select stock from shop_article") == [(3,)]
    assert tell(shop, "select amount from shop_payment") == [(39.8,)]
    assert tell(shop, "select tracking from shop_order") == [("RR1",)]
    assert len(list((data(shop) / "mail").iterdir())) == 1


QUICK = """
from proj.settings import *

for each in CELERY_BEAT_SCHEDULE.values():
    each["schedule"] = 1.0
"""


def test_beat(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the outbox enqueued, which was written while Redis was away. It closes a day once."""
    (data(shop) / "labels" / "1.txt").write_text("RR1")
    (shop.folder / "orders.csv").write_text("ada@example.org,lamp,2\n")
    with monkeypatch.context() as away:
        away.setenv("TASKORCHESTRATOR_REDIS__URL", "redis://127.0.0.1:1/0")
        away.setenv("BROKER_URL", "redis://127.0.0.1:1/0")
        manage(shop, "import_orders", "orders.csv")
    assert tell(shop, "select count(*) from flows_outboxentry") == [(1,)]
    (shop.folder / "quick.py").write_text(QUICK)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "quick")
    first_day = yesterday()
    start_worker(shop, "proj", "first", *QUEUES)
    start_celery(shop, "proj", "beat", "--schedule", str(data(shop) / "beat"))
    wait_until(lambda: tell(shop, "select is_confirmed from shop_order") == [(1,)])
    log = shop.folder / "worker.log"
    wait_until(lambda: len(re.findall(r"start_closing\[.*succeeded", log.read_text("utf-8"))) > 2)
    wait_until(lambda: (first_day,) in tell(shop, "select day from shop_report"))
    assert tell(shop, "select count(*) from flows_outboxentry") == [(0,)]
    expected = {"order-1", f"closing-{first_day}", f"closing-{yesterday()}"}
    assert {progress.id for progress in shop.client().features()} == expected


def yesterday() -> str:
    """Its date, as the project's tasks have it."""
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


def test_its_own_tests(tmp_path: Path) -> None:
    """They pass, without a Redis."""
    pytest.importorskip("pytest_django", reason="pytest-django is not installed")
    run_own_tests("django", tmp_path)
