"""Reads a canvas of Celery's (chain, group, chord, map, chunks, however they are nested) as a feature.

Each signature becomes a task that calls the Celery task which it names. A value that Celery would pass on becomes a
reference to the result of a task, so the same values arrive in the same places, and each task runs once. See Celery's
user guide, "Canvas: Designing Work-flows".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from celery import canvas, group, maybe_signature
from celery.canvas import Signature

from orchestrator.engine import canvas_options
from orchestrator.model import errors, references
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.references import Reference
from orchestrator.model.typed_values import plain

if TYPE_CHECKING:
    from celery import Celery

MOST_EDGES = 100
"""If a group of n tasks follows a group of m, each of the n waits for all m. If that makes more dependencies than this,
a task that gathers the values stands between the groups."""

GATHER = "celery.accumulate"
"""A task that every Celery app has: it returns its arguments as a list."""


@dataclass(frozen=True)
class Part:
    """A part of a canvas that has been read.

    Args:
        value: The value that it passes on, with references in place of results.
        last: The tasks after which it is over.
    """

    value: Any
    last: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """The values and options that a part of a canvas begins with.

    Args:
        args: Positional arguments that stand before its own.
        kwargs: Keyword arguments that are added to its own.
        after: The tasks that have to be over.
        options: Options that are added to its own.
        errbacks: The tasks that are called if one of its tasks fails, beside the errbacks of that task.
        id: The id that its last task sees, in place of its own.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    errbacks: tuple[Mapping[str, Any], ...] = ()
    id: str | None = None

    def behind(self, part: Part) -> Given:
        """The start of the next step of a chain: it gets the value of the part before it."""
        return Given(args=(part.value,), after=part.last, errbacks=self.errbacks)

    def with_errbacks(self, errbacks: Iterable[Mapping[str, Any]]) -> Given:
        """The same with more errbacks. One that an outer part has too is called for the inner part alone."""
        new = list(errbacks)
        said = [_said(errback) for errback in new]
        outer = [errback for errback in self.errbacks if _said(errback) not in said]
        return replace(self, errbacks=(*outer, *new))

    def once(self, chord: str) -> Given:
        """The same for the header of a chord: all are called once for it, however many of its tasks fail."""
        return replace(
            self, errbacks=tuple({**each, "of": each.get("of") or chord} for each in self.errbacks)
        )


def _said(errback: Mapping[str, Any]) -> dict[str, Any]:
    """An errback without the chord for which it is called."""
    return {name: value for name, value in errback.items() if name not in ("of", "body")}


def read(
    signature: Signature[Any],
    app: Celery,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    feature_id: str | None = None,
) -> Feature:
    """The feature that a canvas means.

    Args:
        signature: The canvas.
        app: The Celery app.
        args, kwargs: As `apply_async` takes them: for the tasks that begin it.
        title: The title; "": the canvas as Celery writes it.
        feature_id: The id; None: one is made up.

    Raises:
        NotAFeature: It has a part that cannot be carried over, or no task.

    Example:
        read(chain(fetch.s(url), group(parse.s(), index.s()), report.s()), app)
    """
    reader = _Reader(app)
    first = Given(
        tuple(map(_literal, args)), {name: _literal(value) for name, value in (kwargs or {}).items()}
    )
    whole = _typed(signature, app)
    found = reader.read(whole, first)
    if not reader.tasks:
        raise errors.NotAFeature(canvas=canvas_options.shown(signature), cause="it has no task")
    value = found.value
    if isinstance(whole, group) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # of a group with one chain that ends in a group, Celery gives the value of that
    return Feature(
        id=feature_id,
        title=(title or canvas_options.shown(signature))[:200],
        strategy=Strategy.DATAFLOW,
        tasks=reader.tasks,
        result=value,
    )


def read_part(
    signature: Signature[Any], app: Celery, prefix: str, errbacks: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[dict[str, Any]], Part]:
    """The tasks of a canvas that comes into a feature that exists, and what it passes on.

    Args:
        signature: The canvas.
        app: The Celery app.
        prefix: The start of the ids of its tasks.
        errbacks: Called if it fails, beside its own. In Celery a group that replaces a task is the header of a
            chord, whose errbacks are called once.

    Raises:
        NotAFeature: It has a part that cannot be carried over.
    """
    reader = _Reader(app, prefix)
    given = Given(errbacks=tuple(errbacks))
    found = reader.read(signature, given.once(prefix) if isinstance(signature, group) else given)
    return reader.tasks, found


class _Reader:
    def __init__(self, app: Celery, prefix: str = "") -> None:
        self.app = app
        self.prefix = prefix
        self.tasks: list[dict[str, Any]] = []
        self._numbers: dict[str, itertools.count[int]] = {}
        self._begun: dict[str, int] = {}
        """How many tasks there were when a chord began, by its name."""

    def read(self, signature: Any, given: Given) -> Part:
        """Add the tasks of a part of the canvas."""
        match signature:
            case canvas._chain():
                return self._read_chain(signature, given)
            case canvas.chord():
                return self._read_chord(signature, given)
            case canvas.group():
                return self._read_group(signature, given)
            case canvas.chunks():
                return self._read_group(signature.group(), given)
            case canvas.xmap() | canvas.xstarmap():
                what = {"task": dict(signature.kwargs["task"]), "it": list(signature.kwargs["it"])}
                return self._add(signature, given, [], {name: _literal(of) for name, of in what.items()})
            case _:
                own_args, own_kwargs = _merged(signature, given)
                return self._add(signature, given, own_args, own_kwargs)

    def _read_chain(self, signature: Any, given: Given) -> Part:
        steps = [_unrolled(_typed(step, self.app)) for step in signature.tasks]
        steps = [step for step in steps if not _is_empty(step)]
        options, links = canvas_options.split(signature.options)
        own_id = options.pop("task_id", None)
        last_id, given = given.id or own_id, replace(given, id=None)
        given = given.with_errbacks(canvas_options.errbacks(links))
        if not steps:
            return Part([], given.after)
        begin = given if not signature.immutable else replace(given, args=())
        begin, part = replace(begin, options={**given.options, **options}), Part([], given.after)
        header: str | None = None
        for place, step in enumerate(steps):
            if place:
                begin = given.behind(self._gathered(part, step))
            is_last = place + 1 == len(steps)
            # Task.replace makes a header of the last group too.
            is_header = isinstance(step, canvas.group) and (not is_last or bool(self.prefix))
            body_of, header = header, self._chord() if is_header else None
            begin = replace(begin, id=last_id) if is_last else begin
            part = self.read(step, begin.once(header) if header else begin)
            if body_of:
                self._fail_for(part, body_of)
        self._call_back(links, part, given)
        return part

    def _read_group(self, signature: Any, given: Given) -> Part:
        options, links = canvas_options.split(signature.options)
        given = given.with_errbacks(canvas_options.errbacks(links))
        options.pop("task_id", None)  # that of the group
        begin = replace(given, options={**given.options, **options}, id=None)
        part = self._read_members(signature.tasks, begin)
        self._call_back(links, part, given)
        return part

    def _read_members(self, members: Iterable[Any], given: Given) -> Part:
        """Add the tasks of what runs side by side: a group, or the header of a chord.

        As Celery has it, the members of a group in a group count as its own, and empty ones not at all.
        """
        typed = [_typed(member, self.app) for member in members]
        canvas_options.warn_of_first(typed)
        values: list[Any] = []
        last: list[str] = []
        for member in typed:
            if _is_empty(member):
                continue
            part = self.read(member, given)
            values.extend(part.value if isinstance(member, group) else [part.value])
            last.extend(part.last)
        return Part(values, tuple(last) or given.after)

    def _read_chord(self, signature: Any, given: Given) -> Part:
        body = _typed(signature.body, self.app)
        options, links = canvas_options.split(signature.options)
        own_id = options.pop("task_id", None)
        last_id, given = given.id or own_id, replace(given, id=None)
        options, header = {**given.options, **options}, signature.tasks
        of_body = canvas_options.errbacks_of(body, canvas_options.errbacks(links))
        name = self._chord()
        begin = replace(given.with_errbacks(of_body).once(name), options=options)
        members = self._read_members(header.tasks if isinstance(header, group) else header, begin)
        found = self._gathered(members, body)
        passed = {name: value for name, value in options.items() if name not in ("countdown", "eta")}
        behind = replace(
            given.with_errbacks(canvas_options.errbacks(links)).behind(found), options=passed, id=last_id
        )
        part = self.read(body, behind) if not _is_empty(body) else Part([], found.last)
        self._fail_for(part, name)
        self._call_back(links, part, given)
        return part

    def _add(self, signature: Any, given: Given, args: list[Any], kwargs: dict[str, Any]) -> Part:
        """Add the task of a signature."""
        options, links = canvas_options.split(signature.options)
        options = {**given.options, **options, **({"task_id": given.id} if given.id else {})}
        name = self._name(signature.task)
        self.tasks.append(
            {
                "id": name,
                "call": signature.task,
                "args": args,
                "kwargs": kwargs,
                "depends_on": list(given.after),
                "idempotent": canvas_options.is_idempotent(options, self.app.tasks.get(signature.task)),
                "timeout": canvas_options.limit(options),
                "options": canvas_options.call_options(options, signature) or None,
                "on_failure": [*canvas_options.errbacks(links), *given.errbacks],
            }
        )
        part = Part(Reference(name).written(), (name,))
        self._call_back(links, part, given)
        return part

    def _call_back(self, links: Mapping[str, Any], part: Part, given: Given) -> None:
        """Add what is called with the value of a part (`link`). Nothing waits for it."""
        for callback in links.get("link") or ():
            self.read(_typed(callback, self.app), replace(given.behind(part), options={}, errbacks=()))

    def _gathered(self, part: Part, behind: Any) -> Part:
        """A part that many tasks wait for, as the result of one task, where that saves dependencies."""
        begins = len(behind.tasks) if isinstance(behind, canvas.group | canvas.chord) else 1
        if len(part.last) * begins <= MOST_EDGES or not isinstance(part.value, list):
            return part
        name = self._name("gather")
        self.tasks.append({"id": name, "call": GATHER, "args": part.value, "depends_on": list(part.last)})
        return Part(Reference(name).written(), (name,))

    def _fail_for(self, body: Part, chord: str) -> None:
        """Let those who are called for a chord get the id of its body, as Celery has it."""
        if not body.last:
            return
        for task in self.tasks[self._begun[chord] :]:
            for errback in task.get("on_failure", ()):
                if errback.get("of") == chord:
                    errback["body"] = body.last[-1]

    def _chord(self) -> str:
        """A name for a chord that begins now, by which it is known whether its errbacks were called."""
        name = f"{self.prefix}chord-{len(self._begun) + 1}"
        self._begun[name] = len(self.tasks)
        return name

    def _name(self, task: str) -> str:
        """An id for a task: the last part of its name, and a number from the second on."""
        last = self.prefix + task.rpartition(".")[2]
        number = next(self._numbers.setdefault(last, itertools.count(1)))
        return last if number == 1 else f"{last}-{number}"


def _typed(signature: Any, app: Celery) -> Any:
    """A signature as Celery's class of its kind: one that went through JSON is a mapping."""
    found: Any = maybe_signature(signature, app=app)
    if not isinstance(found, Signature):
        raise errors.NotAFeature(canvas=str(signature)[:100], cause="it is no signature")
    return found


def _unrolled(step: Any) -> Any:
    """A group of one in a chain counts as its member, as Celery has it (celery#9012)."""
    if isinstance(step, canvas.group) and len(step.tasks) == 1:
        return step.tasks[0]
    return step


def _is_empty(step: Any) -> bool:
    """Whether a part has no task: an empty group or chain, or one of such (celery#9772)."""
    if not isinstance(step, canvas.group | canvas._chain):
        return False
    return all(_is_empty(maybe_signature(each)) for each in step.tasks)


def _merged(signature: Any, given: Given) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that are passed to a signature, then its own."""
    own = (
        [*map(_literal, signature.args)],
        {name: _literal(value) for name, value in signature.kwargs.items()},
    )
    if signature.immutable:
        return own
    return [*given.args, *own[0]], {**own[1], **given.kwargs}


def _literal(value: Any) -> Any:
    return value.written() if isinstance(value, Reference) else references.literal(plain(value))
