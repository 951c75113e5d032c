"""Values in Redis' fields are read back as they were written."""

from __future__ import annotations

from typing import Any

from orchestrator.model.plan import Batch, Route
from orchestrator.state import encoding, progress_encoding
from orchestrator.state.encoding import Place
from tests.model.factories import task

BATCHES = [Batch(number=number, tasks=(f"B{number}", f"A{number}"), expected=60.0) for number in range(1, 12)]
ROUTES = {
    task: Route(specialist="writer:eu", title="Writer", queue="writer", rule="default", reason="by default")
    for batch in BATCHES
    for task in batch.tasks
}
DESCRIBED, PLACES, _ = encoding.describe_batches(BATCHES, ROUTES, 11 * 60.0, cap=2)


def test_all_batches_keep_their_order_and_that_of_their_tasks() -> None:
    shuffled = dict(sorted(DESCRIBED.items()))
    assert list(encoding.parse_members(shuffled).items()) == [
        (task, batch.number) for batch in BATCHES for task in batch.tasks
    ]


def test_of_some_batches_one_that_is_not_there_has_no_tasks() -> None:
    asked = [11, 99, 2]
    found = encoding.parse_members([DESCRIBED.get(str(number)) for number in asked], asked)
    assert found == {"B11": 11, "A11": 11, "B2": 2, "A2": 2}


def test_a_place_keeps_all_of_the_name_of_its_specialist() -> None:
    assert Place.parse(PLACES["A2"]) == Place(rank=4, batch=2, specialist="writer:eu")
    assert Place.parse(encoding.ranked(1, PLACES["A2"])) == Place(rank=1, batch=2, specialist="writer:eu")


def test_a_pending_task_of_a_cancelled_feature_is_cancelled_and_waits_for_nothing() -> None:
    circumstances: dict[str, Any] = {
        "specialist": "writer", "batch": 1, "phase": "queued", "due": None, "waits": 0, "limit": "",
    }  # fmt: skip
    states = [
        progress_encoding.parse_state(task("T1"), {}, **circumstances, is_cancelled=is_cancelled)
        for is_cancelled in (False, True)
    ]
    assert [(state.status, state.phase) for state in states] == [("pending", "queued"), ("cancelled", "")]
