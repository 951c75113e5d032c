"""A load of random features. The same seed makes the same load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from chaos import work
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.task import Retries, Task

SPECIALISTS = ("builder", "mason")
STRATEGIES = (
    Strategy.BATCHED,
    Strategy.DATAFLOW,
    Strategy.RESOURCE_AWARE,
    Strategy.SEQUENTIAL,
    Strategy.PARALLEL,
)
SCRIPTS: tuple[tuple[list[str], int], ...] = (
    ([], 60),
    (["fail"], 6),
    (["fail", "fail"], 3),
    (["block"], 4),
    (["later"], 4),
    (["raise"], 3),
    (["block", "fail", "later"], 2),
)
"""The scripts of tasks, and how often each occurs."""


@dataclass(frozen=True)
class Errand:
    """A feature to be enqueued, and how."""

    feature: Feature
    auto_launch: bool = True
    is_left: bool = False
    """It has a blocker that no person resolves: at the end it still waits, with a reason."""


def errands(seed: int) -> Iterator[Errand]:
    """Endless random errands."""
    random, number = Random(f"{seed}:load"), 0
    while True:
        number += 1
        yield errand(random, f"f{number:04}")


def errand(random: Random, feature_id: str) -> Errand:
    """One random errand."""
    strategy = random.choice(STRATEGIES)
    is_left = random.random() < 0.04
    ids = [f"T{place}" for place in range(1, random.randint(3, 12) + 1)]
    tasks = [_task(random, task, ids[:place], strategy) for place, task in enumerate(ids)]
    if is_left:
        tasks[0] = Task(id=ids[0], specialist="builder", params={"seconds": 0.05, "script": ["block"] * 99})
    tags = _some(random, {"gated": 0.2, "prototype": 0.2, "needs-review": 0.1})
    feature = Feature(
        id=feature_id,
        title=f"Feature {feature_id}",
        description=random.choice(["", "gate"]),
        tags=tuple(tags),
        strategy=strategy,
        max_parallel_tasks=random.randint(1, 5),
        tasks=tuple(tasks),
    )
    may_wait = strategy is not Strategy.DATAFLOW
    return Errand(feature, auto_launch=not (may_wait and random.random() < 0.1), is_left=is_left)


def memory_eater(random: Random, feature_id: str) -> Errand:
    """A feature whose tasks exhaust the memory or are killed for it, the last one again and again."""
    scripts = [["exhaust"], ["die"], ["die"] * 4]
    tasks = [
        Task(
            id=f"T{place}",
            specialist=random.choice(SPECIALISTS),
            params={"seconds": 0.1, "script": list(script)},
            retries=Retries(max=1, backoff=0.1),
        )
        for place, script in enumerate(scripts, start=1)
    ]
    return Errand(Feature(id=feature_id, title="Eats memory", max_parallel_tasks=2, tasks=tuple(tasks)))


def _task(random: Random, task_id: str, earlier: list[str], strategy: Strategy) -> Task:
    depends_on: list[str] = []
    if strategy is not Strategy.PARALLEL and earlier:
        depends_on = random.sample(earlier, min(len(earlier), random.choice([0, 1, 1, 2, 3])))
    seconds = round(random.uniform(1.5, 4.0) if random.random() < 0.15 else random.uniform(0.02, 0.5), 2)
    (script,) = random.choices([s for s, _ in SCRIPTS], [weight for _, weight in SCRIPTS])
    tags = _some(random, {"gated": 0.15, "needs-review": 0.08, "bug": 0.1})
    more: dict[str, Any] = {}
    if random.random() < 0.3:
        more["run"] = ("/bin/sh", "-c", work.SHELL, random.choice(work.DAEMONS), str(seconds), *script)
    return Task(
        id=task_id,
        specialist=random.choice(SPECIALISTS),
        tags=tuple(tags),
        depends_on=tuple(depends_on),
        retries=Retries(max=random.choice([0, 1, 2]), backoff=0.1),
        idempotent=random.random() < 0.9,
        params={"seconds": seconds, "script": list(script), "gates": random.choice([[], ["gate"]])},
        **more,
    )


def _some(random: Random, shares: dict[str, float]) -> list[str]:
    """Each of these with its own chance."""
    return [name for name, share in shares.items() if random.random() < share]
