"""Passwords of Redis (the page on security): whatever form its URL has, what others can ask a worker for holds none."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.worker import WorkController
from celery.worker import control as celery_control

from orchestrator.config import urls
from orchestrator.config.settings import Settings
from orchestrator.engine.app import create
from orchestrator.state import connections

control: Any = celery_control

SECRET = "hidden/of#a?pass@word:7"
QUOTED = "hidden%2Fof%23a%3Fpass%40word%3A7"
PARTS = ("hidden", "pass@word", "pass%40word")

FORMS = [
    # redis-py, ConnectionPool.from_url
    f"redis://:{QUOTED}@localhost:6379/0",
    f"redis://amy:{QUOTED}@localhost:6379/0",
    f"rediss://:{QUOTED}@localhost:6379/0",
    f"rediss://amy:{QUOTED}@localhost:6379/0",
    f"unix:///path/to/socket.sock?db=0&password={QUOTED}",
    f"unix://amy@/path/to/socket.sock?db=0&password={QUOTED}",
    f"redis://localhost?db=2&username=amy&password={QUOTED}",
    f"redis://localhost/0?password={QUOTED}",
    f"rediss://localhost?ssl_cert_reqs=none&password={QUOTED}",
    # kombu
    f"redis+socket://:{QUOTED}@/path/to/socket.sock?virtual_host=1",
    f"unix://:{QUOTED}@/path/to/socket.sock",
    f"sentinel://:{QUOTED}@a:26379;sentinel://:{QUOTED}@b:26379/mymaster",
    # ours
    f"sentinel://:{QUOTED}@a,b/mymaster/1?sentinel_password={QUOTED}",
    f"sentinels://amy:{QUOTED}@a,b/mymaster?sentinel_username=amy&sentinel_password={QUOTED}",
]


@pytest.mark.parametrize("place", ["redis", "broker"])
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_url_shows_its_password(form: str, place: str) -> None:
    """The password is in no message of ours, nor in Celery's `inspect stats`, `inspect conf`, `report`, or Flower, in
    any form of URL."""
    given: dict[str, Any] = {"redis": {"url": "redis://localhost"}, place: {"url": form}}
    settings = Settings.model_validate(given)
    app = create(settings)
    worker: Any = WorkController(app=app, hostname="w1@here", pool_cls="solo")
    worker.consumer.connection = app.connection_for_read()
    state: Any = SimpleNamespace(app=app, consumer=worker.consumer)
    shown = {
        # Flower's page of a worker shows the first two.
        "inspect stats": json.dumps(control.stats(state), default=str),
        "inspect conf": json.dumps(control.conf(state, with_defaults=True), default=str),
        "inspect report": str(control.report(state)),
        "celery report": app.bugreport(),
        "banner": app.connection_for_read().as_uri() + app.backend.as_uri(),
        "settings": repr(settings) + settings.model_dump_json(),
        "errors": connections.open_store(settings).url,
    }
    assert "hostname" in shown["inspect stats"]
    assert "broker_url" in shown["inspect conf"]
    assert {name: part for name, text in shown.items() for part in PARTS if part in text} == {}


@pytest.mark.parametrize("form", [form for form in FORMS[:9] if "ssl" not in form])
def test_the_password_is_the_one_that_redis_py_reads(form: str) -> None:
    """Every form that redis-py documents is read as redis-py reads it."""
    theirs = redis.ConnectionPool.from_url(form).connection_kwargs
    ours = urls.read(form)
    assert ours.account == {name: theirs[name] for name in ("username", "password") if name in theirs}
    assert ours.account["password"] == SECRET
    assert ours.db == theirs.get("db", 0)
