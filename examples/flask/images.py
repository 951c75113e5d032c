"""A service that makes small copies of images, with a Celery app as Flask's documentation makes it."""

import os
from pathlib import Path
from typing import Any

import orchestrator
from celery import Celery, Task, shared_task
from flask import Flask, abort, current_app, request
from orchestrator.model.errors import NoSuchFeature


def make_celery(flask: Flask) -> "Celery[Any]":
    """A Celery app whose tasks run in the context of the Flask app."""

    class FlaskTask(Task):
        def __call__(self, *args, **kwargs):
            with flask.app_context():
                return self.run(*args, **kwargs)

    celery = Celery(flask.name, task_cls=FlaskTask)
    celery.config_from_object(flask.config["CELERY"])
    celery.set_default()
    orchestrator.install(celery)
    return celery


flask = Flask("images")
flask.config["FOLDER"] = Path(os.environ.get("FOLDER", "images"))
flask.config["CELERY"] = {"broker_url": os.environ.get("BROKER_URL", "redis://localhost/0")}
celery = make_celery(flask)


@shared_task
def shrink(name: str, step: int) -> str:
    """Keep every so manieth byte of an image: no real shrinking, which would need a library."""
    folder = current_app.config["FOLDER"]
    small = f"{step}-{name}"
    (folder / small).write_bytes((folder / name).read_bytes()[::step])
    return small


@shared_task
def list_copies(names: list[str]) -> dict[str, int]:
    """The sizes of the copies."""
    return {name: (current_app.config["FOLDER"] / name).stat().st_size for name in names}


@flask.post("/images/<name>")
def order(name: str):
    """Have copies made of an image of the folder."""
    steps = request.get_json()["steps"]
    copies = [orchestrator.Task(id=f"by-{step}", call=shrink, args=[name, step]) for step in steps]
    listed = orchestrator.Task(id="list", call=list_copies, args=[[copy.result() for copy in copies]])
    feature = orchestrator.Feature(title=f"Copies of {name}", strategy="dataflow", tasks=[*copies, listed])
    return {"id": orchestrator.enqueue(feature).id}, 202


@flask.get("/orders/<number>")
def show(number: str):
    """How far an order is."""
    with orchestrator.Client() as client:
        try:
            handle = client.feature(number)
        except NoSuchFeature:
            abort(404)
        progress = handle.progress()
        copies = handle.result("list") if progress.status == "completed" else None
    return {"status": progress.status, "done": progress.completed, "of": progress.total, "copies": copies}
