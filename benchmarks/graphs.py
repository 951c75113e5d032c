"""The features that are measured."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from orchestrator.model.feature import Feature

SHORTEST, LONGEST = 0.05, 0.5
"""Seconds. The range of the mixed durations."""


def layered(
    layers: int,
    width: int,
    specialist: str = "noop",
    params: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Feature:
    """Layers of tasks; each task depends on one task of the layer before, so that the layers are the batches.

    The cap is the width: plain Celery has none, so ours is not to hold anything back. Each task gets the same params.

    Example:
        >>> layered(2, 2).tasks[3].depends_on
        ('L0-1',)
    """
    tasks = [
        {
            "id": f"L{layer}-{place}",
            "specialist": specialist,
            "depends_on": [f"L{layer - 1}-{place}"] if layer else [],
            **({"params": params} if params else {}),
        }
        for layer in range(layers)
        for place in range(width)
    ]
    # The cap of a feature goes up to 10,000 (`Feature.max_parallel_tasks`).
    title = f"{layers} x {width}"
    return Feature.model_validate({"title": title, "max_parallel_tasks": width, "tasks": tasks, **fields})


def mixed(tasks: int, *, cap: int, seed: int = 4, **fields: Any) -> Feature:
    """Tasks that take log-normal times from 50 to 500 ms, each on up to three of the forty before it."""
    chance = random.Random(seed)
    described: list[dict[str, Any]] = []
    for number in range(tasks):
        seconds = round(min(LONGEST, max(SHORTEST, chance.lognormvariate(-1.9, 0.6))), 3)
        nearby = range(max(0, number - 40), number)
        before = chance.sample(nearby, min(len(nearby), chance.randint(0 if number < 16 else 1, 3)))
        described.append(
            {
                "id": f"T{number}",
                "specialist": "sleep",
                "depends_on": [f"T{place}" for place in before],
                "estimate": seconds,
                "params": {"seconds": seconds},
            }
        )
    return Feature.model_validate(
        {"title": "Mixed durations", "max_parallel_tasks": cap, "tasks": described, **fields}
    )


def dense(tasks: int, edges: int, seed: int = 4) -> list[dict[str, Any]]:
    """Tasks with so many dependencies, each on earlier tasks among the last thousand; as data, not validated."""
    chance = random.Random(seed)
    each = edges // tasks
    described = []
    for number in range(tasks):
        nearby = range(max(0, number - 1_000), number)
        before = chance.sample(nearby, min(len(nearby), each))
        described.append({"id": f"T{number}", "depends_on": [f"T{place}" for place in before]})
    return described
