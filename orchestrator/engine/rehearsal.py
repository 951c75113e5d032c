"""Rehearses a canvas: Celery itself runs it in this process, with tasks that do nothing, and its messages are counted.

So the counts are those of the installed version, with its faults: Celery 5.7 runs the last group of a chain of three
again and again (celery#8180), as others did before (celery#5958). Nothing reaches a broker, and no task of the project
is called. One order of the messages is tried. Where workers race, Celery may send more.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import celery
from celery import Celery, Signature, maybe_signature
from celery.app.trace import build_tracer
from celery.backends.base import BaseBackend

from orchestrator.model.calls import is_signature
from orchestrator.model.celery_counts import CeleryCounts
from orchestrator.model.typed_values import plain

MOST = 20_000
"""Messages after which a rehearsal stops."""

CELERYS_OWN = "celery."
"""The names of Celery's own tasks begin so. They run as they are: they call the tasks that stand in."""


def rehearse(
    signature: Signature[Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    most: int = MOST,
) -> CeleryCounts:
    """Count what Celery would send, if every task succeeded.

    Args:
        signature: The canvas.
        args, kwargs: The arguments of `apply_async`.
        most: Messages after which it stops.

    Example:
        >>> from celery import chain
        >>> rehearse(chain(Signature("fetch"), Signature("parse"))).messages
        {'fetch': 1, 'parse': 1}
    """
    with ThreadPoolExecutor(1) as thread:  # the current app is that of a thread
        return thread.submit(_Rehearsal(most).run, signature, args, kwargs or {}).result()


class _Rehearsal:
    def __init__(self, most: int) -> None:
        self.most = most
        self.messages: Counter[str] = Counter()
        self.waiting: deque[tuple[str, Any]] = deque()
        self.app = Celery(
            "rehearsal",
            broker="memory://",
            backend=f"{__name__}:CountingBackend",
            set_as_current=False,
        )
        amqp: Any = self.app.amqp
        amqp.send_task_message = self._send

    def run(self, signature: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> CeleryCounts:
        self.app.set_current()
        copy = _as_sent(signature)
        for name in set(_names([copy, _as_sent(list(args)), _as_sent(dict(kwargs))])):
            self._stand_in(name)
        fault = ""
        try:
            Signature.from_dict(copy, app=self.app).apply_async(tuple(args), dict(kwargs))
            while self.waiting and self.messages.total() < self.most:
                self._do(*self.waiting.popleft())
        except Exception as error:  # whatever Celery raises, it would raise it for the project too
            fault = f"{type(error).__name__}: {error}"
        return CeleryCounts(celery.__version__, dict(self.messages), not self.waiting, fault)

    def _stand_in(self, name: str) -> None:
        if name.startswith(CELERYS_OWN):
            return
        self.app.tasks.pop(name, None)  # a shared task of the project, which must not be called

        def do_nothing(*_: Any, **__: Any) -> None: ...

        self.app.task(name=name, shared=False, typing=False)(do_nothing)

    def _send(self, _producer: Any, name: str, message: Any, **_: Any) -> None:
        self.messages[name] += 1
        self.waiting.append((name, message))

    def _do(self, name: str, message: Any) -> None:
        """Do what a worker does with a message."""
        args, kwargs, embedded = _as_sent(list(message.body))
        request = {**message.headers, **embedded, "args": args, "kwargs": kwargs, "delivery_info": {}}
        tracer = build_tracer(name, self.app.tasks[name], app=self.app)
        tracer(message.headers["id"], args, kwargs, {**request, "called_directly": False})


class CountingBackend(BaseBackend):
    """A result backend that keeps no result: it only knows when the header of a chord is done."""

    def __init__(self, app: Celery, **options: Any) -> None:
        super().__init__(app, **options)
        self.app: Celery = app
        self.sizes: dict[str, int] = {}
        self.done: Counter[str] = Counter()

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Called by Celery where a chord begins."""
        self.sizes[group_id] = chord_size

    def on_chord_part_return(self, request: Any, state: Any, result: Any, **_: Any) -> None:
        """Called by Celery where a task of a header has ended: after the last one it sends the body."""
        group_id = request.group
        if not group_id or not request.chord:
            return
        self.done[group_id] += 1
        if self.done[group_id] == self.sizes.get(group_id, request.chord.get("chord_size")):
            body: Any = maybe_signature(request.chord, app=self.app)
            body.delay([None] * self.done[group_id])

    def apply_chord(self, *_: Any, **__: Any) -> None:
        """Called by Celery before a chord begins."""

    def store_result(self, *_: Any, **__: Any) -> None:
        """Called by Celery for each result."""

    def save_group(self, *_: Any, **__: Any) -> None:
        """Called by Celery for a group whose result is kept."""


def _as_sent(value: Any) -> Any:
    """A value as it would arrive: signatures become mappings."""
    return json.loads(json.dumps(plain(value)))


def _names(value: Any) -> Iterator[str]:
    """The tasks of all signatures in a value."""
    if isinstance(value, Mapping):
        if is_signature(value):
            yield str(value["task"])
        for part in value.values():
            yield from _names(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _names(part)
