"""A task of a canvas: its work done from the arguments of its message alone, with no state kept."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from celery import Task as CeleryTask
from celery.exceptions import Ignore
from pydantic import TypeAdapter, ValidationError

from orchestrator import specialists
from orchestrator.config.settings import Settings
from orchestrator.engine import canvas, signing, tasks
from orchestrator.engine.message_validation import Reason
from orchestrator.engine.visibility import CanvasStopped, SpecialistTask, end, shown_as
from orchestrator.model import lifecycle
from orchestrator.model.fields import Id
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Completed, Failed, Outcome
from orchestrator.model.task import Task
from orchestrator.state import folders

if TYPE_CHECKING:
    from orchestrator.engine.app import App

logger = logging.getLogger("orchestrator")


def register(app: App, settings: Settings, specialist: str) -> None:
    """Give a specialist its Celery task for `Plan.canvas()`."""

    @app.task(
        name=canvas.standalone_task(specialist),
        ignore_result=False,
        throws=(CanvasStopped,),
        **{**tasks.CELERY_OPTIONS, "base": CanvasTask},
    )
    def standalone(
        self: CeleryTask[Any, Any], *given: Any, retried: int = 0, later: int = 0
    ) -> dict[str, Any]:
        before, feature, task = given if len(given) == 3 else ({}, *given)
        attempts = Attempts(retried=retried, later=later)
        try:
            alone = Alone(settings, specialist, feature, task, before, self.request.id or "once", attempts)
        except ValidationError:
            tasks.count_refusal(app, Reason.ARGUMENTS)
            refused = "refused: its arguments are no head of a feature and no task"
            raise CanvasStopped(refused, "refused") from None
        outcome = alone.work()
        folders.mark(settings, tasks.shell(app).store, alone.context.feature.id)
        if isinstance(outcome, Completed):
            return outcome.model_dump(mode="json")
        move = alone.conclude(outcome)
        if move.wait is not None:
            error = outcome.error if isinstance(outcome, Failed) else None
            counted = {
                "retried": retried + (move.counts == "retried"),
                "later": later + (move.counts == "later"),
            }
            raise self.retry(kwargs=counted, countdown=move.wait, max_retries=None, exc=cast("Any", error))
        end(outcome, shown_as(alone.task, settings), CanvasStopped)
        raise AssertionError(outcome.status)


class CanvasTask(SpecialistTask):
    """A Celery task of a canvas. A signed message of one begins once; no state would stop another time."""

    shows_result = False
    resultrepr_maxsize = 1  # Celery's log line shows the result, cut to this many characters: a bracket

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called by Celery before its work.

        Raises:
            Ignore: It has ended already, and whoever waits has its result.
            CanvasStopped: It began, and there is no result: whoever waits would wait for ever.
        """
        nonce = self.request.get("nonce")
        store = tasks.shell(cast("App", self.app)).store
        if not nonce or store.take(nonce, seconds=signing.CANVAS_SECONDS + signing.CONTROL_SECONDS):
            return
        store.refuse(Reason.REPEATED)
        logger.warning("A message of a canvas is refused (%s): it began before", Reason.REPEATED)
        if self.AsyncResult(task_id).ready():
            raise Ignore
        raise CanvasStopped("it began before, and a signed message of a canvas begins once", "repeated")


class Alone:
    """One attempt of one task of a canvas.

    Args:
        settings: The settings: they decide whether a `run` of the task is run.
        specialist: Who does it.
        feature: The head of a feature, as it came in the message.
        task: A task of it, as it came in the message.
        before: The outcomes of earlier tasks, by id, as they came in the message.
        message: The id of the message. Like the other two ids it becomes a part of file names.
        attempts: What came before.

    Raises:
        ValidationError: One of them is not what it should be.
    """

    def __init__(
        self,
        settings: Settings,
        specialist: str,
        feature: object,
        task: object,
        before: object,
        message: str,
        attempts: Attempts,
    ) -> None:
        head, self.task = specialists.FeatureHead.model_validate(feature), Task.model_validate(task)
        self.settings = settings
        self.attempts = attempts
        number = attempts.retried + attempts.later + 1
        name = _AN_ID.validate_python(message)
        files = tasks.Files(settings, head.id, self.task.id, f"{name}.{number}" if number > 1 else name)
        self.context = specialists.Context(
            task=self.task,
            feature=head,
            attempt=number,
            specialist=specialist,
            title=settings.title(specialist),
            workdir=files.workdir,
            log_file=files.log,
            dependencies=_depended_on(self.task, _OUTCOMES.validate_python(before)),
        )

    def work(self) -> Outcome:
        """Do the work, and say how it ended."""
        outcome = tasks.perform(self.context, self.settings)
        return lifecycle.bounded(outcome, self.task.retries, self.attempts)

    def conclude(self, outcome: Outcome) -> lifecycle.Move:
        """What the end asks for, by the same rules as of an enqueued task: as a rule a retry, or none."""
        flow = self.settings.flow_for(self.task.tags)
        chance = random.random()  # nosec B311  # it spreads retries
        return lifecycle.conclude(flow, outcome, self.task.retries, self.attempts, chance=chance)


def _depended_on(task: Task, before: Mapping[str, Completed]) -> dict[str, Completed]:
    return {name: before[name] for name in task.depends_on if name in before}


_AN_ID: TypeAdapter[str] = TypeAdapter(Id)
_OUTCOMES: TypeAdapter[dict[str, Completed]] = TypeAdapter(dict[str, Completed])
