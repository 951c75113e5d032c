"""What agents have used, as people and agents see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.client import answers, checks, usage
from orchestrator.config.settings import Settings
from orchestrator.mcp.reading import Reading
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.plan import Route
from orchestrator.model.usage import Allowed, Usage
from orchestrator.report import json_features, json_plans, status_text
from orchestrator.testing import InProcessClient, in_memory
from tests.model import factories
from tests.model.factories import task
from tests.state.factories import routes_of
from tests.tokens import tokens

HAIKU = Usage(model="haiku", input=1_200, output=300, requests=4, cost=0.31, source="reported")


@pytest.fixture
def orchestrator_settings(tmp_path: Path) -> Settings:
    """A specialist that does nothing."""
    given = Settings(specialists={"coder": {"python": f"{__name__}:done"}})
    return in_memory(given, logs=tmp_path / "logs")


def done(context: object) -> str:
    """The work of every task here."""
    return "done"


@pytest.fixture
def client(orchestrator_client: InProcessClient) -> InProcessClient:
    """A client whose feature login has used something for T1 and T2, and T3 at a price that is not known."""
    feature = factories.feature(*(task(name, specialist="coder") for name in ("T1", "T2", "T3")), id="login")
    orchestrator_client.enqueue(feature).wait()
    report = orchestrator_client.store.usage.report
    report("login", "T1", 1, "coder", [HAIKU])
    report("login", "T2", 1, "coder", [HAIKU.model_copy(update={"cost": 2.0, "model": "opus"})])
    report(
        "login",
        "T3",
        1,
        "writer",
        [HAIKU.model_copy(update={"cost": None, "source": "unknown", "model": "own"})],
    )
    return orchestrator_client


def test_usage_is_summed_by_what_is_asked_for(client: InProcessClient) -> None:
    of_feature = client.usage("login")
    assert [(row.name, row.price) for row in of_feature.rows] == [
        ("T2", "$2.00"),
        ("T1", "$0.31"),
        ("T3", "unknown"),
    ]
    assert (of_feature.by, of_feature.total.price, of_feature.total.requests) == (
        "task",
        "at least $2.31",
        12,
    )
    by = {kind: client.usage("login", kind).rows for kind in ("specialist", "model")}
    assert [row.name for row in by["specialist"]] == ["coder", "writer"]
    assert [row.name for row in by["model"]] == ["opus", "haiku", "own"]
    (day,) = client.usage().rows
    assert (day.price, day.tokens) == ("at least $2.31", 4_500)
    assert [row.name for row in client.usage(by="model").rows] == ["opus", "haiku", "own"]


def test_it_tells_what_is_left_of_the_budgets(client: InProcessClient) -> None:
    assert client.usage("login").budgets == ()
    given = Allowed(feature=5, day=10)
    told = usage.read(client.store, given, "login", None).budgets
    assert list(map(str, told)) == [
        "Budget of the feature: $2.31 of $5.00 spent, $2.69 left",
        "Budget of the day: $2.31 of $10.00 spent, $7.69 left",
    ]
    assert json_plans.budget_line(told[0]).left == 2.69
    assert [one.which for one in usage.read(client.store, given, None, None).budgets] == ["day"]


def routed(budget: float | None) -> tuple[Feature, dict[str, Route]]:
    """A feature with a budget, whose task a command does."""
    feature = factories.feature(task("T1", run=["true"]), budget=budget)
    return feature, routes_of(feature)


def test_a_feature_may_ask_for_less_money_and_not_for_more() -> None:
    settings = Settings.model_validate(
        {"budgets": {"feature": {"cost": 5}}, "trust": {"inline_commands": True}}
    )
    for asked in (None, 4, 5):
        checks.check_work(*routed(asked), settings)
    with pytest.raises(
        errors.BudgetTooLarge, match=r"asks for a budget of \$6.00, and budgets.feature allows \$5.00"
    ):
        checks.check_work(*routed(6), settings)


def test_the_budget_of_a_feature_is_its_own(client: InProcessClient) -> None:
    client.enqueue(factories.feature(task("T1", specialist="coder"), id="cheap", budget=4))
    assert [stand.limit for stand in client.usage("cheap").budgets] == [4]


def test_sums_that_are_not_kept_are_refused(client: InProcessClient) -> None:
    with pytest.raises(errors.CannotSum, match="orchestrator usage --by day"):
        client.usage("login", "day")
    with pytest.raises(errors.NamesNoFeature, match="orchestrator usage FEATURE"):
        client.usage(by="task")
    with pytest.raises(errors.NoSuchFeature):
        client.usage("logout")


def test_a_task_tells_what_it_cost(client: InProcessClient) -> None:
    states = {state.id: state for state in client.feature("login").states()}
    assert (status_text.cost(states["T2"]), status_text.cost(states["T3"])) == ("$2.00", "")
    assert json_features.task_line(states["T1"], 1, 0.0).cost == 0.31
    assert answers.task(client, client.feature("login"), "T1").cost == 0.31


def test_an_agent_reads_it_in_few_tokens(client: InProcessClient) -> None:
    tools = Reading(client)
    told = tools.usage("login")
    assert told.splitlines()[:2] == [
        "total at least $2.31 3,600 in 900 out 12 requests",
        "T2 $2.00 1,200 in 300 out 4 requests",
    ]
    assert tools.task("login", "T1", "usage") == "attempt 1 haiku $0.31 1,200 in 300 out 4 requests"
    for place in range(30):
        client.store.usage.report(
            "login", "T1", 1, "coder", [HAIKU.model_copy(update={"model": f"model-{place}"})]
        )
    assert tokens(tools.usage("login", "model")) <= 250
    assert "and 23 more rows" in tools.usage("login", "model")
