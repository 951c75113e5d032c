"""Which specialist a task gets, and that whatever goes wrong in it is an outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.task import Task
from orchestrator.specialists import (
    Completed,
    Context,
    Failed,
    FailureCause,
    Specialist,
    has_work,
    perform,
    registry,
    resolve,
    specialist,
    time_limit,
)
from orchestrator.specialists.command import CommandRunner
from tests.specialists.contexts import a_context

TASK = Task(id="T1")
URL = "redis://localhost:6379/0"


@pytest.fixture(autouse=True)
def _a_project_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty registry, an empty project folder, and nothing imported from it afterwards."""
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".taskorchestrator").mkdir()
    modules = set(sys.modules)
    registry._offered.cache_clear()
    yield
    registry._offered.cache_clear()
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def settings(**given: Any) -> Settings:
    return Settings(**{"specialists": {"reviewer": {}}, **given})


def reviewer(**given: Any) -> dict[str, Any]:
    return {"reviewer": given}


def outcome_of(found: Specialist, folder: Path) -> Any:
    return found.perform(a_context(folder))


def install(folder: Path, name: str, value: str, distribution: str) -> None:
    """An installed package that offers a specialist, as far as importlib.metadata can tell."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[orchestrator.specialists]\n{name} = {value}\n")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


# Registering


def test_a_decorated_function_is_a_specialist(tmp_path: Path) -> None:
    # Given a function registered by name, and one registered plainly
    @specialist("reviewer")
    def review(context: Context) -> str:
        return f"{context.task.name} is reviewed"

    @specialist
    def check_the_links(context: Context) -> None:
        return None

    # Then both are found, the plain one under its own name with hyphens
    assert outcome_of(resolve("reviewer", TASK, settings()), tmp_path).summary == "Review is reviewed"
    assert outcome_of(resolve("check-the-links", TASK, settings()), tmp_path) == Completed()
    # And the function itself is still a function
    assert review(a_context(tmp_path)) == "Review is reviewed"


@pytest.mark.parametrize("name", ["", "Code Reviewer", "über", "-x", "a" * 64])
def test_a_name_that_cannot_be_routed_to_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidSpecialistName, match="small letters, digits and hyphens"):
        specialist(name)(lambda context: None)


def test_a_name_is_given_once() -> None:
    # Given a specialist
    specialist("reviewer")(lambda context: "first")
    # When another callable is registered under its name, then both are named
    with pytest.raises(errors.SpecialistExists, match="Two callables claim the specialist reviewer"):
        specialist("reviewer")(lambda context: "second")


def test_the_same_function_may_be_registered_again(tmp_path: Path) -> None:
    # Given a module with a specialist
    (tmp_path / "again.py").write_text(
        "from orchestrator.specialists import specialist\n@specialist\ndef reviewer(context): return 'again'\n"
    )
    chosen = settings(imports=["again"])
    assert has_work("reviewer", chosen)
    # When the module is imported again
    del sys.modules["again"]
    # Then its specialist takes the place of its former self
    assert outcome_of(resolve("reviewer", TASK, chosen), tmp_path).summary == "again"


# Finding


def test_the_order_in_which_work_is_looked_for(tmp_path: Path) -> None:
    # Given a callable in a module, another registered, and a third that a package offers
    (tmp_path / "craft.py").write_text("class Desk:\n    def review(context): return 'configured'\n")
    (tmp_path / "offer.py").write_text("def review(context): return 'offered'\n")
    install(tmp_path / "site", "reviewer", "offer:review", "some-package")
    by_python = settings(specialists=reviewer(python="craft:Desk.review"))
    by_command = settings(specialists=reviewer(command=["true"]))
    inline = Task(id="T1", run="echo inline")

    # Then the entry point is found where there is nothing else
    assert outcome_of(resolve("reviewer", TASK, settings()), tmp_path).summary == "offered"
    # And a registered function goes before it
    specialist("reviewer")(lambda context: "registered")
    assert outcome_of(resolve("reviewer", TASK, settings()), tmp_path).summary == "registered"
    # And what the configuration says goes before that
    assert outcome_of(resolve("reviewer", TASK, by_python), tmp_path).summary == "configured"
    command = resolve("reviewer", TASK, by_command)
    assert isinstance(command, CommandRunner)
    assert command.command == ("true",)
    # And the task's own command goes before all
    own = resolve("reviewer", inline, by_command)
    assert isinstance(own, CommandRunner)
    assert own.command == ("echo", "inline")


def test_a_command_runs_as_the_configuration_says(tmp_path: Path) -> None:
    # Given a specialist with a command
    chosen = settings(
        specialists=reviewer(command=["true"], timeout="5m", env={"KEY": "hidden"}), limits={"tail": 123}
    )
    # When it is resolved
    command = resolve("reviewer", TASK, chosen)
    # Then it has its settings, and runs in the task's own folder
    assert isinstance(command, CommandRunner)
    assert (command.timeout, command.limits.tail, command.in_project) == (300, 123, False)
    assert command.project == tmp_path.resolve()
    assert command.env["KEY"].get_secret_value() == "hidden"
    assert "hidden" not in repr(command)
    # And the operator may say that it runs in the project's
    there = settings(specialists=reviewer(command=["true"], workdir="project"))
    found = resolve("reviewer", TASK, there)
    assert isinstance(found, CommandRunner)
    assert found.in_project


def test_inline_commands_run_where_the_operator_allows_them() -> None:
    task = Task(id="T7", run=["make", "test"])
    # Given the embedded Redis, then an inline command is found, and runs in the project's folder
    found = resolve("reviewer", task, settings())
    assert isinstance(found, CommandRunner)
    assert found.in_project
    # Given a shared Redis, then it is refused
    with pytest.raises(errors.InlineCommandRefused, match="Task T7"):
        resolve("reviewer", task, settings(redis={"url": URL}))
    # Given an operator who trusts features, but wants each in its own folder, then that is what happens
    trusted = settings(redis={"url": URL}, trust={"inline_commands": True, "inline_workdir": "task"})
    allowed = resolve("reviewer", task, trusted)
    assert isinstance(allowed, CommandRunner)
    assert not allowed.in_project


def test_a_specialist_without_work_is_said_to_have_none() -> None:
    # Given a specialist that is a name and no more, then a task for it would do nothing
    assert not has_work("reviewer", settings())
    with pytest.raises(errors.NothingToDo, match=r"Task T1 would do nothing: reviewer has no command"):
        resolve("reviewer", TASK, settings())
    # And so it is with one that nobody has heard of
    assert not has_work("stranger", settings())


def test_work_is_found_without_importing_it(tmp_path: Path) -> None:
    # Given work in modules that break when imported, then there is work nevertheless
    (tmp_path / "broken.py").write_text("raise SystemError\n")
    install(tmp_path / "site", "offered", "broken:review", "some-package")
    assert has_work("offered", settings())
    assert has_work("reviewer", settings(specialists=reviewer(python="broken:review")))
    assert has_work("reviewer", settings(specialists=reviewer(command=["true"])))


def test_two_packages_that_offer_one_name_are_told_apart(tmp_path: Path) -> None:
    # Given two packages that offer the same name, then nobody guesses
    install(tmp_path / "site", "reviewer", "one:review", "first-package")
    install(tmp_path / "site", "reviewer", "two:review", "second-package")
    with pytest.raises(errors.SpecialistExists) as caught:
        has_work("reviewer", settings())
    assert "one:review of first-package" in str(caught.value)
    assert "two:review of second-package" in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "cause"),
    [
        ("nowhere:review", "ModuleNotFoundError: No module named 'nowhere'"),
        ("json:review", "AttributeError: module 'json' has no attribute 'review'"),
        ("json:__name__", "TypeError: __name__ is a str, which cannot be called"),
        ("unfinished:review", "SyntaxError: "),
    ],
)
def test_what_cannot_be_imported_is_a_missing_dependency(tmp_path: Path, reference: str, cause: str) -> None:
    # Given a specialist whose callable is not there, or broken
    (tmp_path / "unfinished.py").write_text("def review(\n")
    chosen = settings(specialists=reviewer(python=reference))
    # Then resolving it names the setting and the cause
    with pytest.raises(errors.CannotImport) as caught:
        resolve("reviewer", TASK, chosen)
    assert f"{reference}, which specialists.reviewer.python names" in str(caught.value)
    assert cause in str(caught.value)
    # And performing it is an outcome
    outcome = perform(a_context(tmp_path), chosen)
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.DEPENDENCY
    assert outcome.reason == str(caught.value)


def test_an_import_that_is_not_there_is_named() -> None:
    with pytest.raises(errors.CannotImport, match="nowhere, which imports names"):
        has_work("reviewer", settings(imports=["nowhere"]))


def test_the_task_has_the_last_word_on_its_time_limit() -> None:
    chosen = settings(specialists=reviewer(timeout="5m"))
    assert time_limit("reviewer", TASK, chosen) == 300
    assert time_limit("reviewer", Task(id="T1", timeout="10s"), chosen) == 10
    assert time_limit("reviewer", TASK, settings()) is None


# Performing


class SoftLimit(Exception):
    """What the shell raises at a time limit."""


class Mute(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException) -> Callable[[Context], None]:
    def work(context: Context) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (ValueError("no such colour"), FailureCause.CODE, "ValueError: no such colour"),
        (AssertionError(), FailureCause.CODE, "AssertionError"),
        (ImportError("no module"), FailureCause.CODE, "ImportError: no module"),
        (
            errors.NoSuchFeature(feature="auth"),
            FailureCause.CODE,
            "NoSuchFeature: No feature has the id auth",
        ),
        (MemoryError(), FailureCause.OUT_OF_MEMORY, "MemoryError"),
        (SoftLimit(), FailureCause.TIMEOUT, "SoftLimit; the time limit is 90 s"),
        (Mute(), FailureCause.CODE, "Mute"),
        (ValueError("\x1b[31m\ud800"), FailureCause.CODE, "ValueError: "),
        (ValueError("x" * 5_000), FailureCause.CODE, "ValueError: xxx"),
    ],
)
def test_what_a_specialist_raises_is_an_outcome(
    tmp_path: Path, error: Exception, cause: FailureCause, reason: str
) -> None:
    # Given a specialist that raises
    specialist("reviewer")(raising(error))
    context = a_context(tmp_path, Task(id="T1", timeout=90))
    # When its work is performed
    outcome = perform(context, settings(limits={"tail": 300}), timeouts=(SoftLimit,))
    # Then the attempt failed for that cause, with the end of the traceback
    assert isinstance(outcome, Failed)
    assert outcome.cause is cause
    assert outcome.reason.startswith(reason)
    assert len(outcome.reason) <= 500
    assert type(error).__name__ in outcome.tail or len(outcome.tail) == 300


def test_a_time_limit_of_python_itself_is_a_timeout(tmp_path: Path) -> None:
    specialist("reviewer")(raising(TimeoutError("the socket is silent")))
    outcome = perform(a_context(tmp_path), settings())
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.reason) == (
        FailureCause.TIMEOUT,
        "TimeoutError: the socket is silent",
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_process_passes(tmp_path: Path, error: type[BaseException]) -> None:
    specialist("reviewer")(raising(error()))
    with pytest.raises(error):
        perform(a_context(tmp_path), settings())


def test_a_task_that_would_do_nothing_fails(tmp_path: Path) -> None:
    # Given a worker whose configuration has no work for the specialist
    outcome = perform(a_context(tmp_path), settings())
    # Then the outcome says what to set
    assert isinstance(outcome, Failed)
    assert outcome.cause is FailureCause.DEPENDENCY
    assert "set specialists.reviewer.command" in outcome.reason


def test_a_command_is_performed(tmp_path: Path) -> None:
    chosen = settings(specialists=reviewer(command=[sys.executable, "-c", "print('built')"]))
    outcome = perform(a_context(tmp_path), chosen)
    assert outcome == Completed(summary="built", tail="built\n")


@pytest.mark.parametrize("made", ["app.task(name='pay-by-app')", "celery.shared_task(name='pay')"])
def test_a_celery_task_is_refused_before_it_is_called(tmp_path: Path, made: str) -> None:
    # Given a Celery task that the configuration names
    (tmp_path / "shop.py").write_text(
        f"import celery\napp = celery.Celery(set_as_current=False)\ncalled = []\n\n\n"
        f"@{made}\ndef pay(amount):\n    called.append(amount)\n"
    )
    # When it is to work
    outcome = perform(
        a_context(tmp_path, specialist="reviewer"), settings(specialists=reviewer(python="shop:pay"))
    )
    # Then it is not called, and no traceback of the orchestrator's own is told
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("shop:pay, which specialists.reviewer.python names, is a Celery task")
    assert outcome.tail == ""
    assert sys.modules["shop"].called == []
