"""Reads what a run of agents has left: their own log, the store, and the repository."""

from __future__ import annotations

import contextlib
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos import agent_load, logged_agent
from chaos.agent_laws import AgentHistory, Life, Mark, Result, Said, Work
from chaos.checker import TAKEN_BACK
from chaos.history import EVERYONE, Strike
from chaos.run import read_events
from orchestrator.client import explaining
from orchestrator.client.client import Client
from orchestrator.model import errors
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature
from orchestrator.model.flows import WORKING
from orchestrator.model.task import TaskStatus
from orchestrator.model.usage import MICRO
from orchestrator.workspaces import names

if TYPE_CHECKING:
    from chaos.agents import AgentCluster

Fact = Mapping[str, Any]
"""A line of the agents' log."""

AFTER = 2.0
"""Seconds after an outage in which a report may still be on its way."""

AUTHOR = ("-c", "user.name=Chaos", "-c", "user.email=chaos@localhost")


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    done = subprocess.run(["git", *AUTHOR, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def record(cluster: AgentCluster, features: Sequence[Feature], strikes: Sequence[Strike]) -> AgentHistory:
    """Read the history from the agents' log, from Redis, and from the repository."""
    with cluster.stopped():
        facts = logged_agent.read(cluster.log)
        project, client = cluster.project, cluster.client
        known = [feature for feature in features if _is_known(client, str(feature.id))]
        return AgentHistory(
            marks=tuple(_marks(facts, client, known, strikes)),
            lives=tuple(_lives(facts)),
            works=tuple(work for feature in known for work in _works(facts, client, feature)),
            results=tuple(_result(project, str(feature.id)) for feature in known),
            reachable=frozenset(git(project, "rev-list", "--all").split()),
            budgets={str(feature.id): _budget(client, feature) for feature in known},
            in_flight=agent_load.AT_ONCE,
        )


def _is_known(client: Client, feature: str) -> bool:
    with contextlib.suppress(errors.NoSuchFeature):
        return bool(client.store.features.summary(feature))
    return False


def _budget(client: Client, feature: Feature) -> int:
    """The largest budget that the feature ever had: people only raise it."""
    keys = client.store.keys.feature(str(feature.id))
    stored = client.store.client.hget(keys.meta, "budget")
    configured = client.settings.budgets.feature
    return int(str(stored)) if stored else round((configured.cost if configured else 0.0) * MICRO)


def _budget_of(client: Client, feature: str, task: str) -> int:
    """The largest budget that a task ever had."""
    stored = client.store.client.hget(client.store.keys.feature(feature).meta, f"budget {task}")
    return int(str(stored)) if stored else round(agent_load.MOST * MICRO)


def _marks(
    facts: Sequence[Fact], client: Client, features: Iterable[Feature], strikes: Sequence[Strike]
) -> Iterable[Mark]:
    said, sums = defaultdict[tuple[str, str, int, str], list[Said]](list), defaultdict[Any, int](int)
    for fact in facts:
        if fact["fact"] == "used":
            name = (fact["feature"], fact["task"], fact["attempt"], fact["model"])
            sums[name] += fact["micro"]
            said[name].append(Said(time=fact["time"], micro=sums[name]))
    for feature in features:
        found = str(feature.id)
        stored = {
            (found, used.task, used.attempt, used.model): round((used.cost or 0.0) * MICRO)
            for used in client.store.usage.of_feature(found)
        }
        whole = _ended_well(read_events(client, found))
        for name in stored.keys() | {name for name in said if name[0] == found}:
            _, task, attempt, model = name
            moments = said[name]
            yield Mark(
                feature=found,
                task=task,
                attempt=attempt,
                model=model,
                said=tuple(moments),
                stored=stored.get(name, 0),
                killed=(task, attempt) not in whole,
                silent=_away(strikes, moments[-1].time) if moments else 0.0,
            )


def _away(strikes: Sequence[Strike], moment: float) -> float:
    """Seconds before a moment in which nobody could store anything: Redis was away, or workers were frozen."""
    hit = [one for one in strikes if EVERYONE in one.workers or one.fault == "freeze-worker"]
    return max((moment - one.began for one in hit if one.began < moment < one.ended + AFTER), default=0.0)


def _ended_well(events: Iterable[Event]) -> set[tuple[str, int]]:
    """The attempts whose outcome their worker has committed."""
    return {
        (event.task, event.attempt)
        for event in events
        if event.attempt
        and event.worker
        and event.source in WORKING
        and event.target not in WORKING
        and event.cause not in TAKEN_BACK
    }


def _lives(facts: Iterable[Fact]) -> Iterable[Life]:
    """The lives in the order of their beginning. Linux gives the id of a process that has ended to another one."""
    lives, latest = list[Life](), dict[int, int]()
    for fact in facts:
        if fact["fact"] == "begin":
            latest[fact["pid"]] = len(lives)
            lives.append(
                Life(
                    feature=fact["feature"],
                    task=fact["task"],
                    pid=fact["pid"],
                    folder=fact["folder"],
                    began=fact["time"],
                    saw=tuple(fact["saw"]),
                )
            )
        elif fact["fact"] == "end":
            place = latest[fact["pid"]]
            lives[place] = lives[place].model_copy(update={"ended": fact["time"]})
    return lives


def _works(facts: Sequence[Fact], client: Client, feature: Feature) -> Iterable[Work]:
    handle = client.feature(str(feature.id))
    is_over = handle.progress().status.is_over
    for state in handle.states():
        own = [fact for fact in facts if fact["feature"] == handle.id and fact["task"] == state.id]
        is_completed = state.status is TaskStatus.COMPLETED
        told = None if is_completed or is_over else explaining.explain(client, handle, state.id).explanation
        yield Work(
            feature=handle.id,
            task=state.id,
            completed=is_completed,
            budget=_budget_of(client, handle.id, state.id),
            reason="the feature is over" if told is None else told.answer,
            next_step="nothing" if told is None else " ".join(told.next) or told.answer,
            commits=tuple(fact["commit"] for fact in own if fact["fact"] == "commit"),
            wrote=tuple((fact["path"], fact["line"]) for fact in own if fact["fact"] == "wrote"),
        )


def _result(project: Path, feature: str) -> Result:
    branch = names.integration(feature)
    if not git(project, "for-each-ref", branch):
        return Result(feature=feature)
    facts = "%(trailers:key=Task,valueonly,separator=)#%(trailers:key=Attempt,valueonly,separator=)"
    first = git(project, "log", "--first-parent", "--merges", f"--format={facts}", branch)
    paths = git(project, "ls-tree", "-r", "--name-only", branch).split()
    return Result(
        feature=feature,
        integrated=frozenset(git(project, "rev-list", branch).split()),
        merged=tuple(first.split()),
        tree={path: git(project, "show", f"{branch}:{path}") for path in paths},
    )
