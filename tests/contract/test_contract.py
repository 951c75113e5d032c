"""The answers of commands to programs: one contract, bounded, and cheap to read."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Signature

from orchestrator import Feature, cli, plan
from orchestrator.cli import story
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.settings import Settings
from orchestrator.contract import answers, error_codes, feature_answers, schemas
from orchestrator.contract.compact import select
from orchestrator.model import errors, lifecycle
from orchestrator.model.agent_history import AgentSession
from orchestrator.model.event import Event
from orchestrator.model.ladder import Ladder
from orchestrator.model.outcome import Blocked, Completed, Failed, FailureCause, Outcome
from orchestrator.model.task import Retries, Task
from orchestrator.planning import planner, routing
from orchestrator.report import json_plans, json_tasks
from orchestrator.state.store import Store
from tests.state.factories import Run, launched
from tests.tokens import tokens

Type = Callable[..., tuple[int, str]]

LONG = "It has to be done with care. " * 345
"""10 kB of description."""

TESTS_FAIL = Failed(
    cause=FailureCause.TESTS,
    reason="exit code 1: 2 failed",
    tail="\n".join(f"tests/test_{number}.py::test_it FAILED" for number in range(10)),
)


CANVAS = Signature("shop.count", args=(1, 2))


@pytest.fixture
def type_(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    """Types a command on the store of the test: its exit code, and what it wrote to standard output."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "redis": {"url": "redis://127.0.0.1:1"},
        "broker": {"url": "memory://"},
        "trust": {"inline_commands": True},
        "specialists": {"builder": {"command": ["true"]}},
    }
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["orchestrator", *arguments])
        return int(cli.run() or 0), capsys.readouterr().out

    return run


@pytest.fixture
def ask(type_: Type) -> Callable[..., Any]:
    """What a command answers with --json, which is one line."""

    def run(*arguments: str) -> Any:
        _, out = type_(*arguments, "--json")
        assert out.count("\n") == 1
        return json.loads(out)

    return run


def titled(number: int, *depends_on: str, **fields: Any) -> Task:
    given = {"title": f"Implement part {number}", "description": LONG, "tags": ["backend"], "estimate": "20m"}
    return Task.model_validate({"id": f"T{number}", "depends_on": depends_on, **given, **fields})


def chained(number: int) -> list[Task]:
    """So many tasks in seven batches."""
    return [titled(one, *([f"T{one - 1}"] if 0 < one < 7 else [])) for one in range(number)]


def running(store: Store, number: int) -> Run:
    """A feature of so many tasks in one batch, ten of which run."""
    run = launched(store, *(titled(one) for one in range(number)), max_parallel_tasks=10)
    for one in range(10):
        run.start(f"T{one}")
    return run


def stopped(store: Store, outcome: Outcome = TESTS_FAIL) -> Run:
    """A feature of which T0 has stopped, T1 waits for it, and nothing runs."""
    run = launched(store, titled(0), titled(1, "T0"))
    run.do("T0", outcome)
    return run


# Tokens


def costs(type_: Type, *arguments: str) -> tuple[int, int]:
    """The tokens of what a command writes for people, and for programs."""
    return tokens(type_(*arguments)[1]), tokens(type_(*arguments, "--json")[1])


def check(cost: tuple[int, int], most: tuple[int, int]) -> None:
    assert 0 < cost[0] <= most[0], cost
    assert 0 < cost[1] <= most[1], cost


@pytest.mark.parametrize(("number", "most"), [(10, (150, 400)), (100, (200, 600)), (1_000, (300, 800))])
def test_a_status_costs_few_tokens(store: Store, type_: Type, number: int, most: tuple[int, int]) -> None:
    check(costs(type_, "status", running(store, number).id), most)


@pytest.mark.parametrize(("number", "factor"), [(10, 1), (100, 2), (1_000, 2)])
def test_a_plan_and_its_routes_cost_few_tokens(type_: Type, number: int, factor: int) -> None:
    tasks = [task.model_dump(mode="json", exclude_unset=True) for task in chained(number)]
    for place, task in enumerate(tasks):
        task["tags"] = [("backend", "database", "testing")[place % 3]]
    Path("login.json").write_text(json.dumps({"title": "Login", "tasks": tasks}), "utf-8")
    check(costs(type_, "plan", "login.json"), (250 * factor, 500 * factor))
    check(costs(type_, "route", "login.json"), (60 * factor, 120 * factor))


@pytest.mark.parametrize(("number", "factor"), [(10, 1), (100, 2), (1_000, 2)])
def test_a_failure_and_how_far_it_is_cost_few_tokens(
    store: Store, type_: Type, number: int, factor: int
) -> None:
    run = running(store, number)
    run.end("T3", TESTS_FAIL)
    check(costs(type_, "explain", run.id, "T3"), (200 * factor, 300 * factor))
    check(costs(type_, "progress", run.id), (20 * factor, 20 * factor))


@pytest.mark.parametrize(("number", "factor"), [(10, 1), (100, 2)])
def test_the_story_of_a_run_costs_few_tokens(store: Store, type_: Type, number: int, factor: int) -> None:
    run = launched(store, *chained(number), max_parallel_tasks=number)
    while open_ := [one.id for one in store.tasks.states(run.id) if one.phase == "launched"]:
        run.complete(*open_)
    check(costs(type_, "events", run.id), (600 * factor, 1_200 * factor))
    is_whole = "left_out" not in json.loads(type_("events", run.id, "--json")[1])
    assert is_whole == (number == 10)


@pytest.mark.parametrize("number", [3, 100, 1_000])
def test_a_cycle_with_its_ways_out_costs_few_tokens(type_: Type, number: int) -> None:
    tasks = [titled(one, f"T{(one + 1) % 3}" if one < 3 else f"T{one - 1}") for one in range(number)]
    with pytest.raises(errors.CircularDependency) as caught:
        plan(Feature(title="Login", tasks=tasks))
    assert tokens(str(caught.value)) <= 132
    written = [task.model_dump(mode="json", exclude_unset=True) for task in tasks]
    Path("circle.json").write_text(json.dumps({"title": "Login", "tasks": written}), "utf-8")
    code, out = type_("plan", "circle.json", "--json")
    assert code == 2
    assert tokens(out) <= 250
    found = json.loads(out)
    assert found["code"] == "circular-dependency"
    assert found["actions"][0]["action"] == "remove-dependency"
    assert found["facts"]["paths"] == [["T0", "T1", "T2"]]


def test_a_recommendation_costs_few_tokens(store: Store, type_: Type) -> None:
    run = launched(store, titled(0, tags=["bug"], specialist="senior-engineer"))
    check(costs(type_, "recommend", run.id, "T0"), (20, 60))
    check(costs(type_, "recommend", "--tags", "backend,bug"), (20, 60))
    assert type_("recommend", run.id[:4], "T0")[0] == 0, "an id is found by its beginning"


@pytest.mark.parametrize("number", [1, 1_000])
def test_a_plan_and_a_feature_are_a_line_in_a_debugger(number: int) -> None:
    feature = Feature(title="Login", tasks=[titled(one) for one in range(number)])
    for value in (feature, plan(feature)):
        assert tokens(repr(value)) < 40
        assert "\n" not in repr(value) + str(value)
        assert "Login" in repr(value)


# Shapes


def test_answers_are_as_their_schemas_say(store: Store, ask: Callable[..., Any]) -> None:
    run = stopped(store)
    Path("one.yaml").write_text("title: One\ntasks: [{id: T1, run: 'true'}]", "utf-8")
    typed = {
        "status": [run.id], "explain": [run.id, "T0"], "task": [run.id, "T0"], "events": [run.id],
        "progress": [run.id], "wait": [run.id], "plan": ["one.yaml"], "route": ["one.yaml"], "specialists": [],
        "limits": [], "config": [], "enqueue": ["one.yaml"], "graph": [run.id], "logs": [run.id, "T0"],
        "adopt": [f"{__name__}:CANVAS"],
    }  # fmt: skip
    for command, arguments in typed.items():
        answer = ask(command, *arguments, "--fields", "all")
        assert answers.ANSWERS[command].model_validate(answer), command
        known = schemas.schema(command)
        assert set(known.get("required", [])) <= set(answer) <= set(known["properties"]), command
    assert feature_answers.FeaturesAnswer.model_validate(ask("status", "--fields", "all"))
    assert feature_answers.DecisionAnswer.model_validate(ask("retry", run.id, "T0"))


def test_the_page_of_schemas_and_codes_is_as_the_code_has_them() -> None:
    written = json.loads(Path(__file__).parents[2].joinpath("docs", "schemas.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(schemas.everything())), "run `make schemas`"


def test_a_plan_has_no_seconds_that_nobody_knows_and_says_where_those_it_has_are_from() -> None:
    # Given a task with an estimate, one that took 90 s before, and one of which nothing is known
    tasks = [Task(id="T1", estimate=60), Task(id="T2"), Task(id="T3", depends_on=["T1"])]
    feature = Feature(title="Login", tasks=tasks)
    routes = routing.route(feature, Settings())

    found = select(json_plans.plan(planner.plan(feature, learned={"T2": 90.0}), routes))

    assert found["sources"] == {"written": 1, "learned": 1, "unknown": 1}
    assert [batch.get("seconds") for batch in found["batches"]] == [90, None]
    assert "seconds" not in found
    assert "total_seconds" not in found


def test_the_plan_of_a_large_feature_is_small_and_counts_what_it_leaves_out() -> None:
    feature = Feature(title="Large", tasks=[Task(id=f"T{number}") for number in range(20_000)])
    routes = routing.route(feature, Settings())

    found = select(json_plans.plan(planner.plan(feature), routes))

    assert len(json.dumps(found)) < 4_000
    assert found["batches"][0]["total"] == found["routes"][0]["total"] == 20_000


def test_a_graph_is_its_boxes_and_arrows(ask: Callable[..., Any]) -> None:
    tasks = [
        {"id": "T1", "title": "Count"},
        {"id": "T2", "depends_on": ["T1", "T3"]},
        {"id": "T3", "depends_on": ["T2"]},
    ]
    Path("circle.yaml").write_text(yaml.safe_dump({"title": "Circle", "tasks": tasks}), "utf-8")

    found = ask("graph", "circle.yaml")

    assert {box["id"]: box.get("title") for column in found["columns"] for box in column["boxes"]} == {
        "T1": "Count", "T2": None, "T3": None,
    }  # fmt: skip
    assert sorted(found["arrows"]) == [["T1", "T2"], ["T2", "T3"], ["T3", "T2"]]
    assert sorted(found["cycles"]) == [["T2", "T3"], ["T3", "T2"]]


def test_a_large_graph_is_folded_unless_all_of_it_is_asked_for(ask: Callable[..., Any]) -> None:
    tasks = [{"id": f"T{number}"} for number in range(400)]
    Path("wide.yaml").write_text(yaml.safe_dump({"title": "Wide", "tasks": tasks}), "utf-8")

    (box,) = ask("graph", "wide.yaml")["columns"][0]["boxes"]

    assert box["tasks"] == 400
    assert len(ask("graph", "wide.yaml", "--all")["columns"][0]["boxes"]) == 400


def test_a_log_is_cut_to_its_last_lines_and_counts_the_others(store: Store, ask: Callable[..., Any]) -> None:
    run = stopped(store)

    elsewhere = ask("logs", run.id, "T0", "--tail", "1")
    assert (elsewhere["log"], elsewhere["is_end"]) == ("tests/test_9.py::test_it FAILED", True)
    assert elsewhere["left_out"] == {"lines": 9}

    here = Path(FOLDER, "logs", run.id, "T0.1.log")
    here.parent.mkdir(parents=True)
    here.write_bytes(b"\x1b[31mline\x1b[0m \xff\n" * 150)
    found = ask("logs", run.id, "T0")
    assert found["log"] == "line \ufffd\n" * 100
    assert found["left_out"] == {"lines": 50}
    assert "is_end" not in found


def test_a_feature_of_a_canvas_can_be_read_again(ask: Callable[..., Any]) -> None:
    Path("count.json").write_text(json.dumps(ask("adopt", f"{__name__}:CANVAS")["file"]), "utf-8")
    assert ask("plan", "count.json")["total"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("graph", "one.yaml", "--format", "dot"), "leave --format and --output out"),
        (("logs", "auth", "T1", "--follow"), "choose one of --follow and --json"),
    ],
)
def test_json_is_refused_beside_another_form(type_: Type, arguments: tuple[str, ...], says: str) -> None:
    code, out = type_(*arguments, "--json")
    assert (code, json.loads(out)["code"]) == (2, "wrong-usage")
    assert says in json.loads(out)["message"]


def test_only_the_fields_that_are_asked_for_are_there(
    store: Store, type_: Type, ask: Callable[..., Any]
) -> None:
    run = stopped(store)
    assert ask("status", run.id, "--fields", "status,tasks.task") == {
        "status": "blocked",
        "tasks": [{"task": "T0"}, {"task": "T1"}],
    }
    code, out = type_("status", run.id, "--fields", "colour", "--json")
    assert (code, json.loads(out)["code"]) == (2, "no-such-field")


def test_a_list_is_cut_and_goes_on_where_it_ended(store: Store, ask: Callable[..., Any]) -> None:
    run = launched(store, *(titled(one) for one in range(25)), max_parallel_tasks=1)
    seen: list[str] = []
    after: list[str] = []
    while True:
        answer = ask("status", run.id, *after)
        seen += [one["task"] for one in answer["tasks"]]
        if "after" not in answer:
            break
        assert answer["left_out"]["tasks"] == 25 - len(seen)
        after = ["--after", answer["after"]]
    assert sorted(seen) == sorted(f"T{one}" for one in range(25))


def test_each_command_that_answers_takes_the_same_options() -> None:
    from orchestrator.cli.commands import PANELS

    commands = {entry.name: entry.load() for entries in PANELS.values() for entry in entries}
    # A group answers by its callback.
    for name, command in commands.items():
        commands[name] = getattr(getattr(command, "registered_callback", None), "callback", command)
    for name in commands.keys() & {*answers.ANSWERS, *answers.DECISIONS}:
        assert {"as_json", "fields"} <= set(inspect.signature(commands[name]).parameters), name
    for name in ("status", "plan", "route", "task", "specialists", "doctor", "config", "events"):
        assert {"limit", "after"} <= set(inspect.signature(commands[name]).parameters), name


def test_a_long_description_is_whole_where_everything_is_asked_for(
    store: Store, ask: Callable[..., Any]
) -> None:
    run = launched(store, titled(0))
    assert ask("task", run.id, "T0", "--part", "brief", "--fields", "all")["brief"]["description"] == LONG


def test_what_is_left_out_of_a_list_is_said_also_where_only_some_fields_are_asked_for(
    store: Store, ask: Callable[..., Any]
) -> None:
    run = launched(store, *(titled(one) for one in range(25)), max_parallel_tasks=1)
    first = ask("status", run.id, "--fields", "status,tasks.task")
    assert first["left_out"] == {"tasks": 15}
    assert ask("status", run.id, "--fields", "tasks.task", "--after", first["after"])["left_out"] == {
        "tasks": 5
    }
    assert set(ask("status", run.id, "--fields", "status")) == {"status"}


# Needs and errors


def test_what_a_feature_waits_for_is_the_same_everywhere(store: Store, ask: Callable[..., Any]) -> None:
    run = stopped(store)
    (need,) = ask("status", run.id)["needs"]
    assert (need["need"], need["task"], need["cause"], need["behind"]) == ("failed", "T0", "failing-tests", 1)
    assert need["actions"][2] == {
        "action": "skip",
        "task": "T0",
        "arguments": {"because": {"type": "string"}},
        "command": f'orchestrator skip {run.id} T0 --because "…"',
    }
    for command in (
        ["watch", run.id],
        ["wait", run.id],
        ["explain", run.id, "T0"],
        ["explain", run.id, "T1"],
        ["task", run.id, "T0"],
    ):
        assert ask(*command)["needs"] == [need], command


def test_what_stands_still_is_the_same_for_people_and_programs(
    store: Store, type_: Type, ask: Callable[..., Any]
) -> None:
    run = launched(store, titled(0), titled(1), titled(2, "T0"), titled(3, "T1"))
    run.complete("T1")
    run.do("T0", TESTS_FAIL)
    said = "Batch 1 holds up 2 tasks of batch 2. 1 of them depends on nothing that stopped: T3."
    for command in ("status", "watch", "wait"):
        assert ask(command, run.id)["standstill"] == {
            "batch": 1, "tasks": 2, "last": 2, "independent": 1, "names": ["T3"],
        }, command  # fmt: skip
        assert said in type_(command, run.id)[1], command
    lines = type_("watch", run.id)[1].splitlines()
    assert [line.startswith("Batch 1 holds up") for line in lines].index(True) < lines.index(
        f"Then: orchestrator watch {run.id}"
    )


def test_tasks_that_the_default_does_are_told_to_programs_once_for_each_cause(
    ask: Callable[..., Any],
) -> None:
    tasks = [{"id": f"T{one}", "run": "true", "tags": ["ops"]} for one in range(30)]
    Path("odd.yaml").write_text(yaml.safe_dump({"title": "Odd", "tasks": tasks}), "utf-8")
    (fallback,) = ask("enqueue", "odd.yaml")["fallback"]
    assert (fallback["rule"], fallback["total"], len(fallback["tasks"])) == ("default", 30, 10)
    assert fallback["suggestions"][:3] == ["database", "frontend", "backend"]


def test_an_event_says_who_gets_the_task_from_then_on() -> None:
    handed_on = Event(id="1-0", time=1.0, event="task_escalated", task="T1", specialist="senior-engineer")
    assigned = Event(id="2-0", time=1.0, event="specialist_assigned", task="T1", cause="reviewer")
    begun = Event(id="3-0", time=1.0, event="work_started", task="T1", specialist="reviewer")
    told = [select(json_tasks.event_line(event)) for event in (handed_on, assigned, begun)]
    assert [one.get("specialist") for one in told] == [
        {"name": "senior-engineer"},
        {"name": "reviewer"},
        None,
    ]
    assert "cause" not in told[1]
    assert story.line(handed_on).endswith("task_escalated T1 specialist=senior-engineer")


def test_what_helps_a_task_that_needs_no_decision_is_told_too(store: Store, ask: Callable[..., Any]) -> None:
    run = launched(store, titled(0))
    explained = ask("explain", run.id, "T0")
    assert "needs" not in explained
    assert explained["next"][0].startswith(("orchestrator ", "celery "))


def test_a_task_without_a_specialist_may_be_assigned_to_those_there_are(
    store: Store, type_: Type, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_SPECIALIST_ROUTING__FALLBACK", "ask_user")
    Path("odd.yaml").write_text("title: Odd\nid: odd\ntasks: [{id: T1, run: 'true'}]", "utf-8")
    type_("enqueue", "odd.yaml")
    (need,) = ask("status", "odd")["needs"]
    assert need["need"] == "specialist"
    assert "senior-engineer" in need["actions"][0]["arguments"]["specialist"]["choices"]


@pytest.mark.parametrize(
    "typed", [["statsu"], ["status", "--nonsense"], ["plan"], ["wait", "auth", "--timeout", "soon"]]
)
def test_a_command_that_is_typed_wrongly_is_an_object_too(
    type_: Type, store: Store, typed: list[str]
) -> None:
    launched(store, titled(0))
    code, out = type_(*typed, "--json")
    assert code == 2
    answer = json.loads(out)
    assert answer["code"] == error_codes.USAGE
    assert answer["message"]
    assert answer["actions"][0]["command"].endswith("--help")


def test_an_error_says_what_it_is_about_and_what_to_do(type_: Type) -> None:
    code, out = type_("status", "unknown", "--json")
    assert code == 2
    assert json.loads(out) == {
        "code": "no-such-feature",
        "message": "No feature has the id unknown. `orchestrator status` lists all features.",
        "subject": {"feature": "unknown"},
        "actions": [{"action": "status", "command": "orchestrator status"}],
        "facts": {"feature": "unknown"},
    }


def test_mistakes_are_a_list_for_programs_one_of_them_too(type_: Type) -> None:
    Path("one.yaml").write_text("title: One\ntasks: [{id: T1, colour: red}]", "utf-8")
    (mistake,) = json.loads(type_("plan", "one.yaml", "--json")[1])["facts"]["mistakes"]
    assert "colour" in mistake


@pytest.mark.parametrize("command", ["events", "wait", "status"])
def test_a_cursor_that_is_none_is_a_mistake_of_whoever_asks(store: Store, type_: Type, command: str) -> None:
    run = launched(store, titled(0), max_parallel_tasks=1)
    code, out = type_(command, run.id, "--after", "nonsense", "--json")
    assert (code, json.loads(out)["code"]) == (2, "bad-cursor")


def test_the_schema_of_a_decision_goes_by_the_name_of_its_command_too() -> None:
    from orchestrator.cli.commands import PANELS

    entries = [entry for panel in PANELS.values() for entry in panel]
    assert {entry.name for entry in entries if entry.module in ("decisions", "growing")} == set(
        answers.DECISIONS
    )
    assert schemas.schema("retry") == schemas.schema("decision")


def test_what_a_task_cannot_do_now_is_refused_with_what_it_can(store: Store, ask: Callable[..., Any]) -> None:
    run = stopped(store)
    refused = ask("resume", run.id, "T0")
    assert (refused["code"], refused["subject"]) == ("refused-transition", {"feature": run.id, "task": "T0"})
    assert refused["actions"][0]["command"] == f"orchestrator retry {run.id} T0"
    assert "retry_requested" in refused["facts"]["allowed"]


def test_each_error_has_a_code_of_its_own_and_names_commands_that_there_are() -> None:
    from orchestrator.cli.commands import PANELS

    commands = {entry.name for entries in PANELS.values() for entry in entries}
    found = error_codes.codes().codes
    assert len({code.code for code in found}) == len(found) > 50
    for code in found:
        for command in re.findall(r"`orchestrator ([a-z-]+)", code.message):
            assert command in commands, code.code


# Wait


@pytest.mark.parametrize(
    ("outcome", "code", "ended_by"),
    [(Completed(), 0, "completed"), (TESTS_FAIL, 1, "stopped"), (Blocked(reason="no key"), 1, "stopped")],
)
def test_wait_tells_the_ends_apart(
    store: Store, type_: Type, outcome: Outcome, code: int, ended_by: str
) -> None:
    run = launched(store, titled(0))
    run.do("T0", outcome)
    found, out = type_("wait", run.id, "--json")
    assert (found, json.loads(out)["ended_by"]) == (code, ended_by)


def test_wait_is_over_in_time_and_at_a_change(store: Store, type_: Type) -> None:
    run = launched(store, titled(0), titled(1, "T0"))
    code, out = type_("wait", run.id, "--timeout", "10ms", "--json")
    assert (code, json.loads(out)["ended_by"]) == (4, "timeout")
    # Given where it stood, what has happened since ends the next wait at once
    cursor = json.loads(out)["cursor"]
    run.start("T0")
    code, out = type_("wait", run.id, "--for", "change", "--after", cursor, "--timeout", "60s", "--json")
    assert (code, json.loads(out)["ended_by"]) == (0, "change")
    run.end("T0")
    code, out = type_("wait", run.id, "--for", "batch", "--after", cursor, "--timeout", "60s", "--json")
    assert (code, json.loads(out)["ended_by"], json.loads(out)["batch"]) == (0, "batch", 2)


def test_wait_says_that_a_person_is_needed(store: Store, type_: Type) -> None:
    run = launched(store, titled(0))
    type_("hold", run.id, "T0")
    code, out = type_("wait", run.id, "--json")
    assert (code, json.loads(out)["ended_by"], json.loads(out)["needs"][0]["need"]) == (
        5,
        "person",
        "on-hold",
    )


# One task, and what is decided about it


def test_a_task_has_its_parts(store: Store, ask: Callable[..., Any], type_: Type) -> None:
    run = stopped(store)
    brief = ask("task", run.id, "T1", "--part", "brief")
    assert brief["brief"]["depends_on"] == ["T0"]
    assert len(brief["brief"]["description"]) == 2_000
    assert brief["left_out"]["characters"] == len(LONG) - 2_000
    outcome = ask("task", run.id, "T0", "--part", "outcome")["outcome"]
    assert (outcome["status"], outcome["cause"]) == ("failed", "failing-tests")
    log = ask("task", run.id, "T0", "--part", "log", "--limit", "2")
    assert log["log"].splitlines() == TESTS_FAIL.tail.splitlines()[-2:]
    assert log["left_out"] == {"log": 8}
    events = ask("task", run.id, "T0", "--part", "events")["events"]
    assert [one["event"] for one in events] == ["task_launched", "work_started", "work_failed"]
    assert "T0 Implement part 0: failed" in type_("task", run.id, "T0")[1]


def test_events_can_be_those_of_a_task_the_last_or_those_after_one(
    store: Store, ask: Callable[..., Any]
) -> None:
    run = stopped(store)
    every = ask("events", run.id)
    own = ask("events", run.id, "--task", "T0")
    assert {one["task"] for one in own["events"]} == {"T0"}
    assert ask("events", run.id, "--last", "2")["events"] == every["events"][-2:]
    first = ask("events", run.id, "--limit", "1")
    assert first["left_out"]["events"] == len(every["events"]) - 1
    assert ask("events", run.id, "--after", first["after"])["events"] == every["events"][1:]


def test_a_decision_answers_with_the_task_and_its_new_status(store: Store, ask: Callable[..., Any]) -> None:
    run = stopped(store)
    assert ask("retry", run.id, "T0")["tasks"][0]["status"] == "pending"
    blocked = ask("block", run.id, "T0", "--because", "no key")
    assert (blocked["status"], blocked["tasks"][0]["task"], blocked["tasks"][0]["status"]) == (
        "blocked",
        "T0",
        "blocked",
    )
    skipped = ask("skip", run.id, "T0", "--because", "not needed")
    assert skipped["tasks"][0]["status"] == "skipped"
    assert "seconds" not in skipped["tasks"][0], "how long ago it began is not how long it took"


def test_a_task_that_runs_is_failed_by_a_person(store: Store, ask: Callable[..., Any]) -> None:
    run = launched(store, titled(0), titled(1, "T0"))
    run.start("T0")
    failed = ask("fail", run.id, "T0", "--because", "it is wrong")
    assert failed["tasks"][0]["status"] == "failed"
    assert store.features.summary(run.id).status != "failed", "the feature goes on, once the task is retried"


def test_tasks_are_added_from_a_file_or_with_each_field(store: Store, ask: Callable[..., Any]) -> None:
    run = launched(store, titled(0))
    tasks = [{"id": "T8", "run": "true"}, {"id": "T9", "run": "true", "depends_on": ["T8"]}]
    Path("more.yaml").write_text(yaml.safe_dump(tasks), "utf-8")
    assert [one["task"] for one in ask("add-task", run.id, "--file", "more.yaml")["tasks"]] == ["T8", "T9"]
    ask(
        "add-task", run.id, "T5", "--run", "true", "--title", "Five", "--description", "As said", "--priority", "high",
        "--complexity", "3", "--estimate", "5m", "--timeout", "9m", "--retries", "2", "--not-idempotent",
        "--param", "url=x", "--param", "n=3",
    )  # fmt: skip
    added = store.tasks.find(run.id, "T5")
    assert (added.title, added.description, added.priority, added.complexity) == (
        "Five",
        "As said",
        "high",
        3,
    )
    assert (added.estimate, added.timeout, added.retries.max, added.idempotent) == (300, 540, 2, False)
    assert added.params == {"url": "x", "n": 3}
    Path("none.yaml").write_text("just a text", "utf-8")
    assert ask("add-task", run.id, "--file", "none.yaml")["code"] == "bad-task"
    refused = ask(
        "add-task", run.id, "T6", "--run", "echo a && false", "--complexity", "5", "--estimate", "1:30"
    )
    assert (refused["code"], refused["subject"]) == ("bad-task", {"source": "T6"})
    assert refused["cause"].startswith('estimate: "1:30": a duration is a number of seconds')
    assert '; run: "echo a && false": has &&, which means something to a shell' in refused["cause"]


def test_specialists_are_listed_with_what_routes_to_them(ask: Callable[..., Any]) -> None:
    found = {one["name"]: one for one in ask("specialists")["specialists"]}
    assert "bug" in found["senior-engineer"]["tags"]
    assert found["implementation-specialist"]["default"] is True


def test_a_selection_of_nothing_known_is_refused_by_name() -> None:
    with pytest.raises(errors.NoSuchField, match=r"tasks\.colour"):
        select(feature_answers.FeatureAnswer(feature="a", title="A", status="x", total=1), "tasks.colour")


def test_of_a_task_of_an_agent_its_tier_and_its_conversation_are_told(
    store: Store, type_: Type, ask: Callable[..., Any]
) -> None:
    agent = {"runtime": "claude", "ladder": ["haiku", "opus"]}
    given = {"redis": {"url": "redis://127.0.0.1:1"}, "specialists": {"builder": {"agent": agent}}}
    (Path(FOLDER) / FILE).write_text(yaml.safe_dump(given), "utf-8")
    run = launched(store, titled(0))
    flow, ladder = Settings().flow_for(()), Ladder(("haiku", "opus"))

    run.start("T0")
    assert ask("status", run.id)["tasks"][0]["tier"] == "haiku"
    run.apply("T0", TESTS_FAIL, lifecycle.conclude(flow, TESTS_FAIL, Retries(), ladder=ladder))
    delivery = run.start("T0").state["delivery"]
    store.attempts.save_session(run.id, "T0", 2, delivery, AgentSession(runtime="claude", session="6f1c"))

    assert ask("status", run.id)["tasks"][0]["tier"] == "opus"
    assert ", opus" in type_("status", run.id)[1]
    found = ask("task", run.id, "T0")
    assert (found["tier"], found["session"]) == ("opus", "6f1c")
    assert "Builder, tier opus" in type_("task", run.id, "T0")[1]
    explained = ask("explain", run.id, "T0")
    assert "tier opus" in explained["details"][0]
    assert explained["route"]["rule"] == "assigned"
    assert "by claude: haiku, then opus, then a person" in type_("explain", run.id, "T0")[1]
    assert "goes to the tier opus" in type_("events", run.id)[1]
    (who,) = [one for one in ask("specialists")["specialists"] if one["name"] == "builder"]
    assert (who["work"], who["runtime"], who["ladder"]) == (
        "agent",
        "claude",
        "haiku, then opus, then a person",
    )
    assert "builder (Builder): no tag, by claude: haiku, then opus, then a person" in type_("specialists")[1]
