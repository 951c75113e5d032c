"""A simulated person who looks after features: resolves, retries, approves, and sometimes has a whim."""

from __future__ import annotations

import contextlib
from random import Random

from chaos.load import Errand
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.model import errors
from orchestrator.model.feature import FeatureStatus
from orchestrator.model.flows import WORKING
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.task import TaskStatus
from orchestrator.state import outage

REFUSALS = (errors.OrchestratorError,)
"""Errors that a person may meet: somebody else was faster, or Redis is away. The next round tries again."""


class Person:
    """Enqueues errands, and looks after their features.

    Args:
        client: The person's own client.
        random: The source of chance.
    """

    def __init__(self, client: Client, random: Random) -> None:
        self.client = client
        self.random = random
        self.is_moody = True
        self.enqueued: dict[str, Errand] = {}
        self._open: dict[str, Handle] = {}

    def enqueue(self, errand: Errand) -> bool:
        """Enqueue an errand; False if Redis or a replica was away. Several calls enqueue it once."""
        key = str(errand.feature.id)
        try:
            handle = self.client.enqueue(errand.feature, auto_launch=errand.auto_launch, idempotency_key=key)
        except (*outage.ERRORS, errors.BrokerUnreachable):
            return False
        self.adopt(handle, errand)
        return True

    def adopt(self, handle: Handle, errand: Errand) -> None:
        """Look after a feature."""
        self.enqueued[handle.id] = errand
        self._open[handle.id] = handle

    def look_after(self) -> None:
        """One round: do what each open feature needs."""
        for feature, handle in list(self._open.items()):
            with contextlib.suppress(*REFUSALS):
                progress = handle.progress()
                if self._is_done_with(feature, progress):
                    del self._open[feature]
                    continue
                self._help(handle, progress)
                if self.is_moody:
                    self._have_a_whim(handle, progress)

    @property
    def has_open(self) -> bool:
        """Whether a feature is open."""
        return bool(self._open)

    def _is_done_with(self, feature: str, progress: Progress) -> bool:
        if progress.status.is_over:
            return progress.in_flight == 0
        return self.enqueued[feature].is_left and progress.is_settled and progress.stopped > 0

    def _help(self, handle: Handle, progress: Progress) -> None:
        if progress.is_paused:
            with contextlib.suppress(*REFUSALS):
                handle.resume()
        if progress.gates_failed:
            handle.retry(progress.gates_failed)
        elif progress.awaits_launch:
            handle.launch()
        elif progress.status is FeatureStatus.PENDING_REVIEW:
            handle.approve_feature()
        elif any(status is not TaskStatus.IN_PROGRESS for status in progress.counts):
            for state in handle.unsettled():
                with contextlib.suppress(*REFUSALS):
                    self._help_task(handle, state)

    def _help_task(self, handle: Handle, state: TaskState) -> None:
        match state.status:
            case _ if state.resolved:
                return
            case TaskStatus.FAILED if self.random.random() < 0.1:
                handle.skip(state.id, because="it is not worth it")
            case TaskStatus.FAILED:
                handle.retry(state.id)
            case TaskStatus.BLOCKED if not self.enqueued[handle.id].is_left:
                handle.unblock(state.id, note="it is decided")
            case TaskStatus.IN_REVIEW if self.random.random() < 0.2:
                handle.request_changes(state.id, "not yet")
            case TaskStatus.IN_REVIEW:
                handle.approve(state.id)
            case TaskStatus.ON_HOLD | TaskStatus.DEFERRED:
                handle.resume_task(state.id)
            case TaskStatus.CANCELLED:
                handle.skip(state.id, because="it was cancelled")

    def _have_a_whim(self, handle: Handle, progress: Progress) -> None:
        """Once in a while a person changes plans while the work goes on."""
        chance = self.random.random()
        if chance < 0.002:
            handle.cancel()
        elif chance < 0.01:
            handle.pause()
        elif chance < 0.03:
            handle.set_cap(self.random.randint(1, 5))
        elif chance < 0.08:
            # Mostly of a running task: the next round resumes or skips it while its attempt ends.
            states = handle.unsettled()
            running = [state for state in states if state.status in WORKING]
            task = self.random.choice(running if running and self.random.random() < 0.8 else states).id
            act = self.random.choice([handle.hold, handle.defer, handle.cancel_task])
            act(task)
