"""The options of a called task: how its message is sent, and the errbacks that are called if it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue

from orchestrator.model.calls import is_signature
from orchestrator.model.fields import CeleryName, Id, Line, Model, Number, Seconds, Whole
from orchestrator.model.typed_values import restored


class CallOptions(Model):
    """Celery's options for the message of a call.

    Example:
        >>> CallOptions(queue="fast", countdown="30s").sent_as
        {'queue': 'fast'}
    """

    queue: Line | None = Field(default=None, max_length=200, description="the queue, else the task's own")
    priority: Whole | None = Field(default=None, ge=0, le=255, description="as the broker has it")
    countdown: Seconds | None = Field(default=None, description="it begins this long after it could")
    eta: Number | None = Field(default=None, description="it begins no earlier; seconds since 1970")
    expires: Number | None = Field(
        default=None, description="it fails if it has not begun by then; seconds since 1970"
    )
    task_id: Line | None = Field(
        default=None, max_length=200, description="the id that it sees, else one is made for it"
    )
    headers: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="found in its request, with the stamps of a canvas"
    )

    @property
    def sent_as(self) -> dict[str, Any]:
        """The options that say where the message goes."""
        given = {"queue": self.queue, "priority": self.priority}
        return {name: value for name, value in given.items() if value is not None}


class Errback(Model):
    """A Celery task, or a canvas, that is called when a task has failed for good, as by Celery's `link_error`."""

    call: CeleryName
    args: tuple[JsonValue, ...] = ()
    kwargs: Mapping[str, JsonValue] = Field(default_factory=dict)
    immutable: bool = Field(default=False, description="it is called with its own arguments alone")
    options: Mapping[str, JsonValue] = Field(default_factory=dict, description="Celery's, for sending it")
    kind: Line | None = Field(
        default=None, max_length=64, description="of a canvas: Celery's name for what it is, such as chain"
    )
    of: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="the chord whose body it was given to: called once for it, with a ChordError",
    )
    body: Id | None = Field(
        default=None, description="the last task of that body: in Celery it is the one that failed"
    )

    @property
    def calls(self) -> tuple[str, ...]:
        """The Celery tasks that it calls: itself, or those of a canvas.

        Example:
            >>> tell = {"task": "tell", "args": [], "kwargs": {}, "options": {}}
            >>> Errback(call="celery.chain", kwargs={"tasks": [tell, tell]}, kind="chain").calls
            ('tell',)
        """
        if self.kind is None:
            return (self.call,)
        return tuple(dict.fromkeys(_called_in([self.args, self.kwargs, self.options])))

    @property
    def signature(self) -> dict[str, Any]:
        """The signature, as Celery writes one."""
        return {
            "task": self.call,
            "args": restored(list(self.args)),
            "kwargs": restored(dict(self.kwargs)),
            "options": dict(self.options),
            "subtask_type": self.kind,
            "immutable": self.immutable,
        }


def _called_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if is_signature(value) and not value.get("subtask_type"):
            yield str(value["task"])
        for part in value.values():
            yield from _called_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _called_in(part)
