"""The Celery task of a canvas: it does its work from the arguments of its message alone, and keeps no state."""

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
from orchestrator.engine import canvas, signing
from orchestrator.engine.attempt_files import AttemptFiles
from orchestrator.engine.attempt_runner import count_refusal, perform, runner
from orchestrator.engine.message_validation import Reason
from orchestrator.engine.tasks import CELERY_OPTIONS
from orchestrator.engine.visibility import CanvasStopped, SpecialistTask, end_celery_task, name_for_monitors
from orchestrator.model import identifiers, lifecycle
from orchestrator.model.fields import Id
from orchestrator.model.lifecycle import Attempts
from orchestrator.model.outcome import Completed, Failed, Outcome, RetryLater
from orchestrator.model.task import Task
from orchestrator.state import folders

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("orchestrator")


def register(app: Celery, settings: Settings, specialist: str) -> None:
    """Give a specialist its Celery task for `Plan.canvas()`."""

    @app.task(
        name=canvas.canvas_task(specialist),
        ignore_result=False,
        throws=(CanvasStopped,),
        **{**CELERY_OPTIONS, "base": CanvasTask},
    )
    def run(self: CeleryTask[Any, Any], *given: Any, retried: int = 0, later: int = 0) -> dict[str, Any]:
        before, feature, task = given if len(given) == 3 else ({}, *given)
        attempts, message = Attempts(retried=retried, later=later), self.request.id or "once"
        try:
            attempt = CanvasAttempt(settings, specialist, feature, task, before, message, attempts)
        except ValidationError:
            count_refusal(app, Reason.ARGUMENTS)
            text = "refused: its arguments are not the head of a feature and one task"
            raise CanvasStopped(text, "refused") from None
        outcome = attempt.work()
        folders.mark(settings, runner(app).store, attempt.context.feature.id)
        if isinstance(outcome, Completed):
            return outcome.model_dump(mode="json")
        transition = attempt.conclude(outcome)
        if transition.wait is not None:
            error = outcome.error if isinstance(outcome, Failed) else None
            counted = {
                "retried": retried + (transition.counts == "retried"),
                "later": later + (transition.counts == "later"),
            }
            raise self.retry(
                kwargs=counted, countdown=transition.wait, max_retries=None, exc=cast("Any", error)
            )
        end_celery_task(outcome, name_for_monitors(attempt.task, settings), CanvasStopped)
        raise AssertionError(outcome.status)


class CanvasTask(SpecialistTask):
    """The base of canvas tasks. A signed message starts one only once, as no state would stop a second time."""

    shows_result = False
    resultrepr_maxsize = 1  # Celery's log line shows the result, cut to this many characters: a bracket

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called by Celery before the work.

        Raises:
            Ignore: The message came before, and its task has ended: the result is there.
            CanvasStopped: The message came before, and there is no result: a caller would wait for ever.
        """
        nonce = self.request.get("nonce")
        store = runner(self.app).store
        if not nonce or store.take(nonce, seconds=signing.CANVAS_SECONDS + signing.CONTROL_SECONDS):
            return
        store.refuse(Reason.REPEATED)
        logger.warning(
            "A message of a canvas is refused (%s): it has started its task before", Reason.REPEATED
        )
        if self.AsyncResult(task_id).ready():
            raise Ignore
        raise CanvasStopped("refused: a signed message of a canvas starts its task only once", "repeated")


class CanvasAttempt:
    """One attempt of one task of a canvas.

    Args:
        settings: The settings: they decide whether a `run` of the task is run.
        specialist: The specialist that does the work.
        feature: The head of a feature, as it came in the message.
        task: A task of the feature, as it came in the message.
        before: The outcomes of earlier tasks, by id, as they came in the message.
        message: The id of the message. Like the other two ids it becomes a part of file names.
        attempts: The attempts before this one.

    Raises:
        ValidationError: A part of the message is not valid.
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
        name = identifiers.file_name(_ID.validate_python(message))
        files = AttemptFiles(settings, head.id, self.task.id, f"{name}.{number}" if number > 1 else name)
        self.context = specialists.Context(
            task=self.task,
            feature=head,
            attempt=number,
            specialist=specialist,
            title=settings.title(specialist),
            workdir=files.workdir,
            log_file=files.log,
            dependencies=_dependencies(self.task, _OUTCOMES.validate_python(before)),
        )

    def work(self) -> Outcome:
        """Do the work, and return its outcome."""
        outcome = perform(self.context, self.settings)
        if isinstance(outcome, RetryLater):
            outcome = outcome.model_copy(update={"limit": ""})  # beside a feature there is no limit to close
        return lifecycle.bounded(outcome, self.task.retries, self.attempts)

    def conclude(self, outcome: Outcome) -> lifecycle.Transition:
        """Decide, by the rules of an enqueued task, what follows an outcome: a retry or none."""
        flow = self.settings.flow_for(self.task.tags)
        chance = random.random()  # nosec B311  # it spreads retries
        return lifecycle.conclude(flow, outcome, self.task.retries, self.attempts, chance=chance)


def _dependencies(task: Task, before: Mapping[str, Completed]) -> dict[str, Completed]:
    return {name: before[name] for name in task.depends_on if name in before}


_ID: TypeAdapter[str] = TypeAdapter(Id)
_OUTCOMES: TypeAdapter[dict[str, Completed]] = TypeAdapter(dict[str, Completed])
