"""Reads a canvas of Celery's (chain, group, chord, map, chunks, however they are nested) as a feature.

Each signature becomes a task that calls the Celery task which it names. A value that Celery would pass on becomes a
reference to the result of a task, so the same values arrive in the same places, and each task runs once. See Celery's
user guide, "Canvas: Designing Work-flows".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celery import canvas, group, maybe_signature
from celery.canvas import Signature

from orchestrator.model import errors, references
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.references import Reference
from orchestrator.model.typed_values import plain

if TYPE_CHECKING:
    from celery import Celery

MOST_EDGES = 100
"""Where a group of n follows a group of m, each of n tasks waits for m others. Above this number of dependencies a task
that gathers stands between them."""

GATHER = "celery.accumulate"
"""A task that every Celery app has: it returns its arguments as a list."""

OF_SENDING = {
    "add_to_parent", "argsrepr", "compression", "connection", "exchange", "group_id", "group_index", "ignore_result",
    "kwargsrepr", "parent_id", "producer", "reply_to", "result_cls", "retry", "retry_policy", "root_id", "router",
    "routing_key", "serializer", "shadow", "task_id", "chord_size",
}  # fmt: skip
"""Options that change how a message travels, and not what it does: the engine sends its own messages."""


@dataclass(frozen=True)
class Part:
    """A part of a canvas that has been read.

    Args:
        value: What it passes on, with references in place of results.
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
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    errbacks: tuple[Mapping[str, Any], ...] = ()

    def behind(self, part: Part) -> Given:
        """What the next step of a chain begins with: the value of the part before it."""
        return Given(args=(part.value,), after=part.last, errbacks=self.errbacks)

    def with_errbacks(self, errbacks: Iterable[Mapping[str, Any]]) -> Given:
        """The same, and more is called on a failure."""
        found = [errback for errback in errbacks if errback not in self.errbacks]
        return replace(self, errbacks=(*self.errbacks, *found))


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
    found = reader.read(_typed(signature, app), first)
    if not reader.tasks:
        raise errors.NotAFeature(canvas=_shown(signature), cause="it has no task")
    return Feature(
        id=feature_id,
        title=(title or _shown(signature))[:200],
        strategy=Strategy.DATAFLOW,
        tasks=reader.tasks,
        result=found.value,
    )


class _Reader:
    def __init__(self, app: Celery) -> None:
        self.app = app
        self.tasks: list[dict[str, Any]] = []
        self._numbers: dict[str, itertools.count[int]] = {}
        self._chords = itertools.count(1)

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
        options, links = _split(signature.options)
        given = given.with_errbacks(_errbacks(links))
        if not steps:
            return Part([], given.after)
        begin = given if not signature.immutable else replace(given, args=())
        part = self.read(steps[0], replace(begin, options={**given.options, **options}))
        for step in steps[1:]:
            part = self.read(step, given.behind(self._gathered(part, step)))
        self._call_back(links, part, given)
        return part

    def _read_group(self, signature: Any, given: Given) -> Part:
        members = [_typed(member, self.app) for member in signature.tasks]
        options, links = _split(signature.options)
        given = given.with_errbacks(_errbacks(links))
        begin = replace(given, options={**given.options, **options})
        parts = [self.read(member, begin) for member in members]
        part = Part(
            [one.value for one in parts], tuple(itertools.chain(*(one.last for one in parts))) or given.after
        )
        self._call_back(links, part, given)
        return part

    def _read_chord(self, signature: Any, given: Given) -> Part:
        body = _typed(signature.body, self.app)
        options, links = _split(signature.options)
        mine = [*_errbacks(links), *_errbacks_of(body)]
        name = f"chord-{next(self._chords)}" if mine else None
        begin = given.with_errbacks({**errback, "of": name} for errback in mine)
        options = {**given.options, **options}
        header = signature.tasks
        members = [
            _typed(member, self.app) for member in (header.tasks if isinstance(header, group) else header)
        ]
        parts = [self.read(member, replace(begin, options=options)) for member in members]
        last = tuple(itertools.chain(*(one.last for one in parts))) or given.after
        found = self._gathered(Part([one.value for one in parts], last), body)
        passed = {name: value for name, value in options.items() if name not in ("countdown", "eta")}
        behind = replace(given.with_errbacks(_errbacks(links)).behind(found), options=passed)
        part = self.read(body, behind) if not _is_empty(body) else Part([], found.last)
        self._call_back(links, part, given)
        return part

    def _add(self, signature: Any, given: Given, args: list[Any], kwargs: dict[str, Any]) -> Part:
        """Add the task of a signature."""
        options, links = _split(signature.options)
        name = self._name(signature.task)
        self.tasks.append(
            {
                "id": name,
                "call": signature.task,
                "args": args,
                "kwargs": kwargs,
                "depends_on": list(given.after),
                "timeout": _limit({**given.options, **options}),
                "options": _call_options({**given.options, **options}, signature) or None,
                "on_failure": [*_errbacks(links), *given.errbacks],
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

    def _name(self, task: str) -> str:
        """An id for a task: the last part of its name, and a number from the second on."""
        last = task.rpartition(".")[2]
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
    return isinstance(step, canvas.group) and not list(step.tasks)


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


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The options of a signature, and apart from them its callbacks and errbacks."""
    links = {name: _listed(options[name]) for name in ("link", "link_error") if options.get(name)}
    return {name: value for name, value in options.items() if name not in ("link", "link_error")}, links


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _errbacks(links: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_errback(signature) for signature in links.get("link_error") or ()]


def _errbacks_of(body: Any) -> Iterator[dict[str, Any]]:
    """The errbacks that are called if the body of a chord cannot run."""
    yield from _errbacks(_split(body.options)[1])
    if isinstance(body, canvas.group):
        for member in body.tasks:
            yield from _errbacks_of(member)


def _errback(signature: Any) -> dict[str, Any]:
    if signature.get("subtask_type"):
        raise errors.NotAFeature(
            canvas=_shown(signature),
            cause="an errback is a single task here; let it start what else is to run",
        )
    options = {
        name: plain(value) for name, value in signature["options"].items() if name in ("queue", "priority")
    }
    return {
        "call": signature["task"],
        "args": plain(list(signature["args"])),
        "kwargs": plain(dict(signature["kwargs"])),
        "immutable": bool(signature["immutable"]),
        "options": options,
    }


def _call_options(options: Mapping[str, Any], signature: Any) -> dict[str, Any]:
    """The options of a call. Moments are counted from now.

    Raises:
        NotAFeature: An option cannot be carried over.
    """
    found: dict[str, Any] = {}
    headers = dict(options.get("headers") or {})
    stamps = options.get("stamped_headers") or ()
    for name, value in options.items():
        if value is None or name in OF_SENDING or name in ("headers", "chord", "chain"):
            continue
        match name:
            case "queue" | "priority" | "countdown":
                found[name] = str(getattr(value, "name", value)) if name == "queue" else value
            case "eta" | "expires":
                found[name] = _moment(value)
            case "time_limit" | "soft_time_limit" | "stamped_headers":
                pass
            case _ if name in stamps:
                headers[name] = plain(value)
            case _:
                raise errors.NotAFeature(
                    canvas=_shown(signature),
                    cause=f"{signature.task} has the option {name}, which is not carried over",
                )
    if stamps:
        headers["stamped_headers"] = plain(list(stamps))
    return {**found, "headers": plain(headers)} if headers else found


def _limit(options: Mapping[str, Any]) -> float | None:
    """The shorter of the two time limits, at which Celery interrupts the task first."""
    limits = [options[name] for name in ("soft_time_limit", "time_limit") if options.get(name)]
    return min(limits) if limits else None


def _moment(value: Any) -> float:
    """A moment as Celery takes it: a datetime, or seconds from now."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return (datetime.now(UTC) + timedelta(seconds=float(value))).timestamp()


def _shown(signature: Any) -> str:
    return " ".join(str(signature).split())[:200]
