"""A worker's configuration beside that of a folder."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.settings import Settings
from orchestrator.state import fingerprint
from orchestrator.state.workers import Worker


def settings(**given: Any) -> Settings:
    return Settings(**given)


def test_the_same_settings_have_the_same_fingerprint_wherever_redis_and_the_logs_are() -> None:
    here = settings(redis={"url": "redis://here"}, logs="/var/log/here", trust={"inline_commands": True})
    there = settings(redis={"url": "redis://there"}, trust={"inline_commands": True})

    assert fingerprint.of(here) == fingerprint.of(there)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"parallelism": {"max_parallel_tasks": 2}}, ["parallelism.max_parallel_tasks"]),
        ({"imports": ["shop"]}, ["imports"]),
        ({"specialists": {"reviewer": {"command": ["review"]}}}, ["specialists.reviewer"]),
        ({"specialists": {"senior-engineer": {"env": {"TOKEN": "new"}}}}, ["specialists.senior-engineer"]),
        ({"notifications": [{"webhook": "https://host/new", "events": ["*"]}]}, ["notifications"]),
    ],
)
def test_what_differs_is_named(given: dict[str, Any], names: list[str]) -> None:
    before = settings(specialists={"senior-engineer": {"env": {"TOKEN": "old"}}})
    after = settings(**{"specialists": {"senior-engineer": {"env": {"TOKEN": "old"}}}, **given})
    if "specialists" in given:
        merged = {"senior-engineer": {"env": {"TOKEN": "old"}}, **given["specialists"]}
        after = settings(specialists=merged)

    assert fingerprint.differences(fingerprint.of(before), fingerprint.of(after)) == names


def test_a_worker_with_other_settings_is_told_with_what_differs() -> None:
    mine = settings(parallelism={"max_parallel_tasks": 2})
    workers = [
        Worker(id="1", name="same@host", pid=1, settings=fingerprint.of(mine)),
        Worker(id="2", name="other@host", pid=2, settings=fingerprint.of(settings())),
        Worker(id="3", name="older@host", pid=3),
    ]

    told = fingerprint.outdated(mine, workers)

    assert list(told) == ["other@host"]
    assert "process 2" in told["other@host"]
    assert told["other@host"].endswith("what differs: parallelism.max_parallel_tasks")
