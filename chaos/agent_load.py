"""A load of random features for fake agents, with the script of their moves. The same seed makes the same load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chaos.load import Errand
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.task import Task

CODER = "coder"
"""The specialist of all tasks."""

TIERS = ("weak", "strong")
"""Its ladder."""

AT_ONCE = 4
"""The most agents that work at once."""

MOST = 0.40
"""Dollars that one task may cost."""

STRATEGIES = (Strategy.BATCHED, Strategy.DATAFLOW, Strategy.RESOURCE_AWARE, Strategy.PARALLEL)

ENDS: tuple[tuple[str, int], ...] = (
    ("complete", 60),
    ("fail", 8),
    ("block", 4),
    ("ask", 3),
    ("hang", 3),
    ("die", 4),
    ("exit", 3),
    ("lie", 3),
    ("limit", 3),
    ("spend", 6),
)
"""How the first attempt at a task ends, and how often."""


@dataclass(frozen=True)
class AgentErrand(Errand):
    """A feature to be enqueued, and what its agents do."""

    script: dict[str, Any] = field(default_factory=dict)
    """The moves of its agents, as the fake agent reads them."""


def errands(seed: int) -> Iterator[AgentErrand]:
    """Endless random errands."""
    random, number = Random(f"{seed}:agents"), 0
    while True:
        number += 1
        yield errand(random, f"a{number:03}")


def errand(random: Random, feature_id: str) -> AgentErrand:
    """One random errand. The ids of its tasks are its own, for one script has the moves of all."""
    strategy = random.choice(STRATEGIES)
    names = [f"{feature_id}-T{place}" for place in range(1, random.randint(2, 5) + 1)]
    script, tasks = dict[str, Any](), []
    for place, name in enumerate(names):
        earlier = names[:place]
        waits = random.sample(earlier, min(len(earlier), random.choice([0, 0, 1, 2])))
        touches = [random.choice(["shared/a.txt", "shared/b.txt"])] if random.random() < 0.2 else []
        tasks.append(
            Task(
                id=name,
                specialist=CODER,
                depends_on=[] if strategy is Strategy.PARALLEL else waits,
                touches=touches,
                idempotent=random.random() < 0.95,
            )
        )
        (end,) = random.choices([one for one, _ in ENDS], [weight for _, weight in ENDS])
        script[f"{name}#1"] = [*_work(random, name, touches), *_end(random, end)]
        script[name] = [*_work(random, name, touches), {"complete": "done"}]
    budget = round(random.uniform(0.3, 0.8), 2) if random.random() < 0.4 else None
    feature = Feature(
        id=feature_id,
        title=f"Feature {feature_id}",
        strategy=strategy,
        max_parallel_tasks=random.randint(1, 4),
        budget=budget,
        tasks=tasks,
    )
    return AgentErrand(feature, script=script)


def _work(random: Random, name: str, touches: list[str]) -> list[Any]:
    """Some requests, lines in the task's own file or in one that it touches, and commits."""
    moves = list[Any]()
    for step in range(random.randint(1, 4)):
        moves.append({"usage": {"input": 10, "output": 2, "cost": round(random.uniform(0.005, 0.05), 3)}})
        line = f"{name} {step} {random.randrange(10**9)}\n"
        moves.append({"append": {random.choice([f"{name}.txt", *touches]): line}})
        moves.append({"sleep": round(random.choice([0.02, 0.1, 0.1, 0.5, 1.5]), 2)})
        if random.random() < 0.3:
            moves.append({"commit": f"Step {step} of {name}"})
    return moves


def _end(random: Random, end: str) -> list[Any]:
    match end:
        case "fail":
            return [{"fail": "two tests fail"}]
        case "block":
            return [{"block": "too hard"}]
        case "ask":
            return [{"ask": "which URL?"}]
        case "lie":
            return [{"lie": "all done"}]
        case "exit":
            return [{"exit": 0}]
        case "limit":
            return [{"rate_limit": round(random.uniform(0.5, 2.0), 1)}]
        case "spend":
            request = {"usage": {"input": 1, "cost": round(random.uniform(0.05, 0.15), 2)}}
            return [{"repeat": {"times": 12, "moves": [request, {"sleep": 0.3}]}}, {"complete": "dear"}]
        case "hang" | "die":
            return [end]
        case _:
            return [{"complete": "done"}]
