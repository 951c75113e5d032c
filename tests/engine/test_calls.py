"""A Celery task of an app of one's own, run inside an attempt: what it sees, and what becomes of how it ends."""

from __future__ import annotations

import asyncio
import datetime
import functools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, Signature, chain, group, signals
from celery import Task as CeleryTask
from celery.contrib.abortable import AbortableTask
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from pydantic import BaseModel, SecretStr, ValidationError

import orchestrator
from orchestrator.config.schema.operation import Trust
from orchestrator.config.schema.servers import RedisSettings
from orchestrator.config.schema.specialists import SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.engine import calls, installation
from orchestrator.model.calls import request_id
from orchestrator.model.feature import Feature
from orchestrator.model.outcome import (
    Blocked,
    Cancelled,
    Completed,
    Failed,
    FailureCause,
    NextCall,
    Outcome,
    RetryLater,
)
from orchestrator.model.raised import Raised
from orchestrator.model.task import Task
from orchestrator.specialists import Context, FeatureHead
from tests.specialists.contexts import a_context

Run = Callable[..., Outcome]


class Size(BaseModel):
    """An argument that Celery validates."""

    width: int


def an_app(**settings: Any) -> Celery:
    """An app of somebody else, which runs features too. Its Redis does not exist."""
    app = Celery("proj", broker="memory://", set_as_current=False)
    orchestrator.install(app, Settings(redis=RedisSettings(url="redis://127.0.0.1:1"), **settings))
    app.task = functools.partial(app.task, shared=False)  # type: ignore[method-assign]
    return app


def perform(context: Context, app: Celery) -> Outcome:
    return calls.perform(context, app, installation.of(app).settings)


@pytest.fixture
def app() -> Celery:
    return an_app()


@pytest.fixture
def run(app: Celery, tmp_path: Path) -> Run:
    """Runs a Celery task of the app in an attempt, called with these arguments."""

    def run(task: Any, *args: Any, context: dict[str, Any] | None = None, **kwargs: Any) -> Outcome:
        wanted = Task(id="T1", call=task, args=args, kwargs=kwargs)
        return perform(a_context(tmp_path, wanted, specialist=f"call:{task.name}", **(context or {})), app)

    return run


def test_a_value_is_the_result(app: Celery, run: Run) -> None:
    @app.task
    def resize(name: str, width: int = 100) -> str:
        return f"{name}@{width}"

    @app.task
    def measure() -> dict[str, Any]:
        return {"rows": (1, 2)}

    assert run(resize, "a.png", width=3) == Completed(summary="a.png@3", result="a.png@3")
    assert run(measure) == Completed(result={"rows": [1, 2]})


def test_the_request(app: Celery, run: Run) -> None:
    """A bound task sees a request as Celery makes one; its id is the same in each attempt."""
    seen: list[Any] = []

    @app.task(bind=True)
    def look(self: Any, x: int) -> str:
        seen.append(self.request)
        return str(self.request.id)

    first, again = run(look, 1), run(look, 1, context={"attempt": 2, "retries": 1})
    request = seen[0]
    assert first == again
    assert (request.args, request.kwargs, request.task) == ([1], {}, look.name)
    assert [one.retries for one in seen] == [0, 1]
    assert (request.is_eager, request.called_directly, request.parent_id, request.chain) == (
        False,
        False,
        None,
        None,
    )
    other = run(look, 1, context={"feature": FeatureHead(id="shop", title="Shop")})
    assert isinstance(other, Completed)
    assert isinstance(first, Completed)
    assert other.result != first.result


def test_a_retry(app: Celery, run: Run) -> None:
    """`self.retry` is tried again later, within the task's own limit, and sends no message."""

    @app.task(bind=True, max_retries=2)
    def flaky(self: Any) -> None:
        raise self.retry(countdown=7, exc=ValueError("busy"))

    assert run(flaky) == RetryLater(after=7.0, reason="ValueError: busy")
    last = run(flaky, context={"retries": 2})
    assert isinstance(last, Failed)
    assert (last.reason, last.cause) == ("ValueError: busy", FailureCause.CODE)


def test_a_retry_at_a_moment(app: Celery, run: Run) -> None:
    @app.task(bind=True)
    def tomorrow(self: Any) -> None:
        raise self.retry(eta=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))

    outcome = run(tomorrow)
    assert isinstance(outcome, RetryLater)
    assert 86_000 < outcome.after <= 86_400


def test_an_automatic_retry(app: Celery, run: Run) -> None:
    @app.task(autoretry_for=(OSError,), retry_kwargs={"max_retries": 1, "countdown": 3})
    def fetch() -> None:
        raise OSError("refused")

    assert run(fetch) == RetryLater(after=3.0, reason="OSError: refused")
    assert isinstance(run(fetch, context={"retries": 1}), Failed)


def test_a_retry_with_other_arguments(app: Celery, run: Run) -> None:
    """The next attempt gets the arguments that a retry names, and the one after it too."""

    @app.task(bind=True)
    def climb(self: Any, x: int, step: int = 1) -> int:
        if x < 3:
            raise self.retry(args=[x + step], countdown=1)
        if self.request.retries < 3:
            raise self.retry(countdown=1)
        return x

    first = run(climb, 1)
    assert isinstance(first, RetryLater)
    assert first.next == NextCall(call=climb.name, args=(2,))
    second = run(climb, 1, context={"retries": 1, "continues": first.next})
    assert isinstance(second, RetryLater)
    third = run(climb, 1, context={"retries": 2, "continues": second.next})
    assert isinstance(third, RetryLater)
    assert third.next == NextCall(call=climb.name, args=(3,))
    assert run(climb, 1, context={"retries": 3, "continues": third.next}) == Completed(result=3)


def test_a_task_that_is_replaced(app: Celery, run: Run) -> None:
    """`self.replace`: the other task goes on in its place, under the same id, with retries of its own."""
    seen: list[Any] = []

    @app.task(bind=True, name="proj.finish")
    def finish(self: Any, given: Any) -> Any:
        seen.append((self.request.id, self.request.retries))
        if self.request.retries < 1:
            raise self.retry(countdown=1)
        return given

    @app.task(bind=True, name="proj.begin")
    def begin(self: Any) -> None:
        seen.append((self.request.id, self.request.retries))
        raise self.replace(finish.s({"result": "T0"}))

    first = run(begin, context={"retries": 2})
    assert isinstance(first, RetryLater)
    literal = {"literal": {"result": "T0"}}
    assert first.next == NextCall(call="proj.finish", args=(literal,), moves=True, since=3)
    second = run(begin, context={"retries": 3, "continues": first.next})
    assert isinstance(second, RetryLater)
    assert second.next == NextCall(call="proj.finish", args=(literal,), since=3)
    last = run(begin, context={"retries": 4, "continues": second.next})
    assert last == Completed(result={"result": "T0"})
    request = request_id("auth", "T1")
    assert seen == [(request, 2), (request, 0), (request, 1)]


def test_a_task_that_is_replaced_by_a_canvas(app: Celery, run: Run) -> None:
    """Its tasks come into the feature under names of its own; it waits for them, and gives the canvas's value."""

    @app.task(name="proj.part")
    def part(x: int = 0) -> int:
        return x

    @app.task(bind=True)
    def begin(self: Any) -> None:
        raise self.replace(chain(part.s(1), group(part.s(), part.s())))

    outcome = run(begin)

    assert isinstance(outcome, RetryLater)
    assert outcome.replaced is not None
    assert [(one.id, one.depends_on) for one in outcome.replaced.added] == [
        ("T1.part", ()),
        ("T1.part-2", ("T1.part",)),
        ("T1.part-3", ("T1.part",)),
    ]
    assert outcome.replaced.task.depends_on == ("T1.part-2", "T1.part-3")
    given = [{"result": "T1.part-2"}, {"result": "T1.part-3"}]
    assert outcome.next == NextCall(call=begin.name, gives=given)
    known = {name: Completed(result=place) for place, name in enumerate(outcome.replaced.task.depends_on)}
    last = run(begin, context={"retries": 1, "continues": outcome.next, "dependencies": known})
    assert last == Completed(result=[0, 1])


def test_a_second_attempt_that_is_replaced_adds_tasks_of_other_names(app: Celery, run: Run) -> None:
    @app.task(name="proj.part")
    def part() -> None: ...

    @app.task(bind=True)
    def begin(self: Any) -> None:
        raise self.replace(group(part.s(), part.s()))

    outcome = run(begin, context={"attempt": 2})

    assert isinstance(outcome, RetryLater)
    assert outcome.replaced is not None
    assert [one.id for one in outcome.replaced.added] == ["T1-2.part", "T1-2.part-2"]


def test_a_task_cannot_add_to_the_header_that_it_is_in(app: Celery, run: Run) -> None:
    @app.task(bind=True)
    def begin(self: Any) -> None:
        self.add_to_chord(begin.s())

    outcome = run(begin)

    assert isinstance(outcome, Failed)
    assert "replace the task by a group that holds what is to be added" in outcome.reason


@pytest.mark.parametrize(
    ("canvas", "cause"),
    [
        (chain(), "Cannot replace with an empty chain"),
        ("proj.part", "self.replace takes a signature, and no str"),
        (Signature("proj.part", options={"chord": Signature("proj.part")}), "must not be part of a chord"),
        (Signature("proj.part", options={"magic": 1}), "magic"),
        (chain(Signature("proj.part", ("x" * 200_000,)), Signature("proj.part")), "T1.part"),
    ],
)
def test_a_replacement_that_cannot_be_is_refused(app: Celery, run: Run, canvas: Any, cause: str) -> None:
    @app.task(bind=True)
    def begin(self: Any) -> None:
        raise self.replace(canvas)

    outcome = run(begin)

    assert isinstance(outcome, Failed)
    assert cause in outcome.reason


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Ignore("not today"), Cancelled(reason="the task asked to be ignored: not today")),
        (Reject("bad"), Failed(reason="rejected: bad", retry=False)),
        (
            Reject("busy", requeue=True),
            RetryLater(after=calls.SOON, reason="rejected, to be tried again: busy"),
        ),
    ],
)
def test_celerys_own_exceptions(app: Celery, run: Run, error: Exception, outcome: Outcome) -> None:
    @app.task
    def stop() -> None:
        raise error

    assert run(stop).model_copy(update={"tail": ""}) == outcome


def test_an_outcome_of_ours(app: Celery, run: Run) -> None:
    """A task that knows of features may return an outcome."""

    @app.task
    def ask() -> Blocked:
        return Blocked(reason="no key")

    assert run(ask) == Blocked(reason="no key")


def test_hooks_and_signals(app: Celery, run: Run) -> None:
    """The hooks of a base class, and the signals, are called as Celery calls them, once each."""
    seen: list[Any] = []

    class Base(CeleryTask):  # type: ignore[type-arg]
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append(("before_start", task_id, args, kwargs))

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append(("on_success", retval))

        def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(("on_failure", str(exc)))

        def on_retry(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(("on_retry", str(exc)))

        def after_return(
            self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
        ) -> None:
            seen.append(("after_return", status))

    @app.task(base=Base, bind=True)
    def work(self: Any, how: str) -> str:
        if how == "fail":
            raise ValueError("no")
        if how == "retry":
            raise self.retry(exc=ValueError("later"), countdown=1)
        return how

    def heard(name: str) -> Callable[..., None]:
        def hear(sender: Any = None, **_: Any) -> None:
            seen.append((name, sender.name))

        return hear

    handlers = {name: heard(name) for name in ("task_prerun", "task_postrun", "task_failure", "task_success")}
    for name, handler in handlers.items():
        getattr(signals, name).connect(handler)
    try:
        run(work, "well")
        request = request_id("auth", "T1")
        assert seen == [
            ("task_prerun", work.name),
            ("before_start", request, ["well"], {}),
            ("on_success", "well"),
            ("task_success", work.name),
            ("after_return", "SUCCESS"),
            ("task_postrun", work.name),
        ]
        seen.clear()
        run(work, "fail")
        assert [name for name, *_ in seen] == [
            "task_prerun", "before_start", "on_failure", "task_failure", "after_return", "task_postrun",
        ]  # fmt: skip
        seen.clear()
        run(work, "retry")
        assert ("on_retry", "later") in seen
        assert "task_failure" not in [name for name, *_ in seen]
    finally:
        for name, handler in handlers.items():
            getattr(signals, name).disconnect(handler)


def test_a_failure_keeps_its_traceback(app: Celery, run: Run) -> None:
    @app.task(throws=(KeyError,))
    def look_up() -> None:
        raise KeyError("colour")

    outcome = run(look_up)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "KeyError: 'colour'"
    assert "look_up" in outcome.tail


def test_a_pydantic_task(app: Celery, run: Run) -> None:
    @app.task(pydantic=True)
    def grow(size: Size) -> Size:
        return Size(width=size.width * 2)

    assert run(grow, {"width": 4}) == Completed(result={"width": 8})


def test_progress(app: Celery, run: Run) -> None:
    """`update_state` becomes progress; no result backend is written to."""
    told: list[Any] = []

    @app.task(bind=True)
    def climb(self: Any) -> None:
        self.update_state(state="PROGRESS", meta={"current": 1, "total": 4, "step": "base camp"})
        self.update_state(state="PROGRESS", meta={"percent": 50})
        self.update_state(state="RESTING")

    run(climb, context={"progress": lambda percent=None, note="": told.append((percent, note))})
    assert told == [(25.0, "step: base camp"), (50.0, "PROGRESS"), (None, "RESTING")]


def test_a_run_that_is_not_ours_is_not_touched(app: Celery, run: Run) -> None:
    """After a run in a feature the task retries as Celery has it, where a message of its own starts it."""

    @app.task(bind=True, max_retries=5)
    def flaky(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return int(self.request.retries)

    assert isinstance(run(flaky), RetryLater)
    assert flaky.apply().get(disable_sync_subtasks=False) == 2


def test_a_time_limit(app: Celery, tmp_path: Path) -> None:
    import time

    @app.task
    def sleep() -> None:
        time.sleep(60)

    wanted = Task(id="T1", call=sleep, timeout="50ms")
    outcome = perform(a_context(tmp_path, wanted, specialist=f"call:{sleep.name}"), app)
    assert isinstance(outcome, Failed)
    assert outcome.cause == FailureCause.TIMEOUT


def test_a_task_may_catch_its_soft_time_limit(app: Celery, tmp_path: Path) -> None:
    import time

    @app.task
    def sleep() -> str:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            return "as far as it came"
        return "all"

    wanted = Task(id="T1", call=sleep, timeout="50ms")
    outcome = perform(a_context(tmp_path, wanted, specialist=f"call:{sleep.name}"), app)
    assert outcome == Completed(summary="as far as it came", result="as far as it came")


def test_what_was_raised_is_kept_without_secrets(tmp_path: Path) -> None:
    app = an_app(specialists={"caller": SpecialistSettings(env={"KEY": SecretStr("s3cr3t-one")})})

    @app.task
    def refuse() -> None:
        raise LookupError("no such key", "s3cr3t-one", 3)

    wanted = Task(id="T1", call=refuse)
    outcome = perform(a_context(tmp_path, wanted, specialist=f"call:{refuse.name}"), app)
    assert isinstance(outcome, Failed)
    assert outcome.raised == Raised(module="builtins", name="LookupError", args=("no such key", "**", 3))


def test_an_unknown_task(app: Celery, tmp_path: Path) -> None:
    @app.task(name="proj.resize")
    def resize() -> None: ...

    app.finalize()
    context = a_context(tmp_path, Task(id="T1", call="proj.resise"), specialist="call:proj.resise")
    outcome = perform(context, app)
    assert isinstance(outcome, Failed)
    assert "did you mean proj.resize" in outcome.reason


def test_a_worker_calls_what_the_operator_allows(tmp_path: Path) -> None:
    app = an_app(trust=Trust(calls=("proj.images.*",)))

    @app.task(name="proj.mail.send")
    def send() -> None: ...

    context = a_context(tmp_path, Task(id="T1", call="proj.mail.send"), specialist="call:proj.mail.send")
    outcome = perform(context, app)
    assert isinstance(outcome, Failed)
    assert 'calls: ["proj.mail.send"]' in outcome.reason


def test_where_the_messages_of_a_call_go(app: Celery) -> None:
    """A call goes to the queue of its task: by `task_routes`, by the task's own option, else to the app's default."""
    app.conf.task_routes = {"proj.images.*": {"queue": "images"}}

    @app.task(name="proj.mail.send", queue="mail")
    def send() -> None: ...

    app.finalize()
    queue = orchestrator.engine.installation.of(app).settings.queue
    assert queue("call:proj.images.resize") == "images"
    assert queue("call:proj.mail.send") == "mail"
    assert queue("call:proj.other") == "celery"
    assert queue("senior-engineer") == "senior-engineer"


def known(**results: Any) -> dict[str, Completed]:
    return {name: Completed(result=value) for name, value in results.items()}


def test_values_that_flow(app: Celery, tmp_path: Path) -> None:
    """An argument may be the result of a dependency, or a part of it; what only looks like one stays as it is."""

    @app.task
    def show(*args: Any, **kwargs: Any) -> list[Any]:
        return [list(args), kwargs]

    fetch = Task(id="fetch", call="proj.fetch")
    wanted = Task(
        id="T1",
        call=show,
        args=[fetch.result(), {"result": "fetch", "path": "rows.-1"}, {"literal": {"result": "fetch"}}],
        kwargs={"all": [fetch.result("rows.0"), {"result": "count"}]},
    )
    assert wanted.depends_on == ("fetch", "count")
    outcomes = known(fetch={"rows": [7, 8]}, count=2)
    outcome = perform(a_context(tmp_path, wanted, dependencies=outcomes), app)
    assert isinstance(outcome, Completed)
    assert outcome.result == [[{"rows": [7, 8]}, 8, {"result": "fetch"}], {"all": [7, 2]}]


def test_an_argument_of_a_signature_is_what_it_is(app: Celery, run: Run) -> None:
    """A mapping of a program's own is no reference, unless the program says so."""

    @app.task
    def show(given: Any) -> Any:
        return given

    task = Task(id="T1", call=show.s({"result": "T0"}))
    assert task.depends_on == ()
    assert task.args == ({"literal": {"result": "T0"}},)
    assert Task(id="T2", call=show.s(task.result())).depends_on == ("T1",)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (
            "rows.2",
            "an argument is rows.2 of the result of fetch, and there is no 2 under rows, only 2 entries",
        ),
        ("cols", "an argument is cols of the result of fetch, and there is no cols in it, only rows"),
        (
            "rows.0.x",
            "an argument is rows.0.x of the result of fetch, and there is no x under rows.0, which is a int",
        ),
    ],
)
def test_a_part_that_is_not_there(app: Celery, tmp_path: Path, path: str, reason: str) -> None:
    @app.task
    def show(given: Any) -> Any:
        return given

    wanted = Task(id="T1", call=show, args=[{"result": "fetch", "path": path}])
    outcome = perform(a_context(tmp_path, wanted, dependencies=known(fetch={"rows": [7, 8]})), app)
    assert outcome == Failed(cause=FailureCause.DEPENDENCY, reason=reason, retry=False)


def test_a_skipped_dependency_has_no_result(app: Celery, tmp_path: Path) -> None:
    @app.task
    def show(given: Any) -> Any:
        return given

    wanted = Task(id="T1", call=show, args=[{"result": "fetch"}])
    outcome = perform(a_context(tmp_path, wanted), app)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "an argument is the result of fetch, which has none: it was skipped"


def test_values_that_json_does_not_have(app: Celery, tmp_path: Path) -> None:
    """A moment, an amount or a UUID that a task returns is the same where another one gets it, as in Celery."""
    given = [datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC), Decimal("1.50"), uuid.UUID(int=7)]
    seen: list[Any] = []

    @app.task
    def make(*args: Any) -> list[Any]:
        return list(args)

    @app.task
    def show(values: Any) -> None:
        seen.append(values)

    made = perform(a_context(tmp_path, Task(id="T1", call=make, args=given)), app)
    assert isinstance(made, Completed)
    wanted = Task(id="T2", call=show, args=[{"result": "T1"}])
    stored = Completed.model_validate_json(made.model_dump_json())
    perform(a_context(tmp_path, wanted, dependencies={"T1": stored}), app)
    assert seen == [given]


def test_async_tasks_share_an_event_loop(app: Celery, tmp_path: Path) -> None:
    """`async def` tasks wait side by side, and each sees its own request."""
    met: list[str] = []
    everybody = asyncio.Event()

    @app.task(bind=True)
    async def meet(self: Any, number: int) -> list[Any]:
        met.append(self.request.id)
        if len(met) == 20:
            everybody.set()
        await everybody.wait()
        return [number, self.request.id, self.request.args]

    def run(number: int) -> Outcome:
        feature = FeatureHead(id=f"f{number}", title="Meeting")
        return perform(a_context(tmp_path, Task(id="T1", call=meet, args=[number]), feature=feature), app)

    app.finalize()
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(run, range(20)))
    assert [one.result for one in outcomes if isinstance(one, Completed)] == [
        [number, request_id(f"f{number}", "T1"), [number]] for number in range(20)
    ]


def test_an_async_task_retries(app: Celery, run: Run) -> None:
    told: list[Any] = []

    @app.task(bind=True, max_retries=1)
    async def flaky(self: Any) -> None:
        await asyncio.sleep(0)
        self.update_state(meta={"percent": 10})
        raise self.retry(countdown=3, exc=OSError("busy"))

    @app.task(autoretry_for=(OSError,), max_retries=1, default_retry_delay=4)
    async def fetch() -> None:
        await asyncio.sleep(0)
        raise OSError("refused")

    progress = {"progress": lambda percent=None, note="": told.append(percent)}
    assert run(flaky, context=progress) == RetryLater(after=3.0, reason="OSError: busy")
    assert told == [10.0]
    assert isinstance(run(flaky, context={"retries": 1}), Failed)
    assert run(fetch) == RetryLater(after=4.0, reason="OSError: refused")
    assert isinstance(run(fetch, context={"retries": 1}), Failed)


def test_an_async_task_is_cancelled_by_a_person(app: Celery, run: Run) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    @app.task
    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    outcome = run(wait, context={"is_cancelled": begun.is_set})
    assert isinstance(outcome, Cancelled)
    assert cleaned.is_set()


def test_a_task_is_stopped_cooperatively(app: Celery, run: Run) -> None:
    """A called task may ask whether a person has cancelled it: of its attempt, or as Celery's AbortableTask does."""

    @app.task(bind=True, base=AbortableTask)
    def crawl(self: Any) -> list[Any]:
        context = orchestrator.current_context()
        assert context is not None
        return [context.task.id, context.is_cancelled(), self.is_aborted()]

    @app.task
    async def wait() -> Any:
        await asyncio.sleep(0)
        context = orchestrator.current_context()
        return context and context.task.id

    assert run(crawl) == Completed(result=["T1", False, False])
    cancelled = run(crawl, context={"is_cancelled": lambda: True})
    assert cancelled == Completed(result=["T1", True, True])
    assert run(wait) == Completed(summary="T1", result="T1")
    assert orchestrator.current_context() is None


def test_a_signature_in_a_list_of_tasks(app: Celery) -> None:
    """Its options are those of the call; what a task in a list cannot have is refused by name."""

    @app.task(name="proj.resize")
    def resize(name: str) -> None: ...

    moment = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    sent = resize.s("a").set(queue="fast", countdown=5, eta=moment)
    tasks = Feature(title="Images", tasks=[resize.s("b"), sent, Task(id="resize-2", call=resize)]).tasks
    assert [task.id for task in tasks] == ["resize", "resize-3", "resize-2"]
    options = tasks[1].options
    assert options is not None
    assert (options.queue, options.countdown, options.eta) == ("fast", 5.0, moment.timestamp())
    with pytest.raises(ValidationError, match="has the option link of Celery"):
        Task(id="T1", call=resize.s("a").set(link=resize.s("b")))
    with pytest.raises(ValidationError, match="is a chain of several tasks"):
        Task(id="T1", call=chain(resize.s("a"), resize.si("b")))
