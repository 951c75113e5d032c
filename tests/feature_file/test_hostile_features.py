"""Whatever a feature file holds, reading it gives a Feature or an error of ours, within bounds."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from orchestrator.config.schema.limits import Limits
from orchestrator.config.settings import Settings
from orchestrator.feature_file import reader
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.planning import planner, routing
from orchestrator.report import graphviz, mermaid, picture, plan_text, svg

HOSTILE_TEXTS = (
    "", " ", "\t", "[red]x[/red]", "[link=file:///etc/passwd]x[/link]", "\x1b[2J\x1b[31m", "\x9b31m", "\a\b\r\n",
    "<script>alert(1)</script>", "{{7*7}}", "%(x)s {x} %s", "a\u202eb", "a\u2028b", "\ud800", "\0", "a:b", "a/b",
    "../x", "-rf", "$(id)", "`id`", "; id", "é", "数据库", "x" * 300, "2024-01-01", "1:59:59", "no", "~", "null",
    "0x1F", "1e999", ".inf", "!!python/object/apply:os.system [id]", "*a", "&a", "<<", "---", "...", "T1\n", "'",
)  # fmt: skip
HOSTILE_NUMBERS = (
    0,
    -1,
    1,
    11,
    2**63,
    10**40,
    -(10**400),
    0.5,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
ACTIVE = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
IDS = ("T1", "T2", "T3", "T4")

_text = some.sampled_from(HOSTILE_TEXTS) | some.text(max_size=12)
_scalar = _text | some.sampled_from(HOSTILE_NUMBERS) | some.integers() | some.none() | some.booleans()
_any = some.recursive(
    _scalar,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_good: dict[str, some.SearchStrategy[Any]] = {
    "title": some.just("Build it"),
    "description": some.just("Two\nlines"),
    "tags": some.lists(some.sampled_from(["backend", "bug", "x"]), max_size=2),
    "depends_on": some.lists(some.sampled_from(IDS), max_size=2),
    "priority": some.sampled_from(["high", "medium", "low"]),
    "complexity": some.integers(1, 10),
    "estimate": some.sampled_from(["25m", "1h30m", 90]),
    "timeout": some.sampled_from(["5s", 1]),
    "retries": some.integers(0, 3),
    "specialist": some.sampled_from(["senior-engineer", "implementation-specialist"]),
    "params": some.just({"rows": [1, None]}),
    "run": some.sampled_from(["echo 1", ["echo", "1"]]),
}
# One value in four is hostile: most of each feature stays whole, so that what is wrong is met deep inside.
_tasks = some.lists(
    some.fixed_dictionaries(
        {"id": some.sampled_from(IDS) | some.sampled_from(IDS) | _any},
        optional={name: some.one_of(good, good, good, _any) for name, good in _good.items()},
    ),
    min_size=1,
    max_size=4,
)
_feature = some.fixed_dictionaries(
    {"title": some.just("Login") | _any, "tasks": some.one_of(_tasks, _tasks, _tasks, _any)},
    optional={
        "id": some.just("login") | _any,
        "strategy": some.sampled_from(["batched", "dataflow", "parallel", "auto"]) | _any,
        "max_parallel_tasks": some.integers(1, 9) | _any,
        "tags": some.just(["x"]) | _any,
        "another": _any,
    },
)

SNIPPETS = (
    "\t", "\ufeff", "\0", "\x1b[31m", "\r", "\u2028", "---\n", "...\n", "&a ", "*a ", "<<: *a\n", "!!set ", "!!binary ",
    "!!python/object/apply:os.system ", "!!timestamp ", "!local ", "!<tag:x,2024:y> ", "? ", ": ", "- ", "{", "}", "[",
    "|\n", ">-\n", '"', "'", "#", "%YAML 9.9\n", "%TAG ! tag:x,2024:\n", "title: again\n", "tasks: again\n", ",", "]",
)  # fmt: skip


@some.composite
def written(draw: some.DrawFn) -> tuple[bytes, bool]:
    """A feature as YAML or JSON, then damaged in up to three places; and whether it is JSON."""
    value = draw(_feature)
    is_json = draw(some.booleans())
    text = json.dumps(value) if is_json else yaml.safe_dump(value, allow_unicode=draw(some.booleans()))
    for _ in range(draw(some.integers(0, 3))):
        start = draw(some.integers(0, len(text)))
        end = draw(some.integers(start, min(len(text), start + 20)))
        middle = draw(some.sampled_from([*SNIPPETS, text[start:end] * 2, ""]))
        text = text[:start] + middle + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    if draw(some.integers(0, 9)) == 0:
        place = draw(some.integers(0, len(data)))
        data = (
            data[:place]
            + draw(some.sampled_from([b"\xff", b"\x80", b"\xed\xa0\x80", b"\xfe\xff"]))
            + data[place:]
        )
    return data, is_json


def work_through(data: bytes, is_json: bool) -> list[str]:
    """Read, plan, route, report and draw: all texts that a person sees of it.

    Raises:
        OrchestratorError: It is refused somewhere on the way.
    """
    feature = reader.parse(data, Limits(), json=is_json)
    plan = planner.plan(feature, 5)
    assert set(routing.route(feature, Settings())) == {task.id for task in feature.tasks}
    assert Feature.model_validate_json(feature.model_dump_json()) == feature
    found = picture.folded(picture.whole(feature, [batch.tasks for batch in plan.batches]))
    drawn = svg.svg(found)
    assert "<script" not in drawn
    return [*plan_text.plan_lines(plan), mermaid.mermaid(found), graphviz.dot(found), drawn]


@settings(max_examples=300)
@given(written())
def test_a_file_gives_a_feature_or_an_error_of_ours(file: tuple[bytes, bool]) -> None:
    # Given any file, when it is worked through
    try:
        texts = work_through(*file)
    except errors.OrchestratorError as error:
        texts = [str(error)]
    # Then nothing of what a person reads of it moves a cursor, or turns the direction of a text
    assert [text for text in texts if re.search(ACTIVE, text)] == []


# Large on purpose. Each is read in a process of its own that may not take more memory than this.

MEMORY = 1_500_000_000
PATIENCE = 120.0

LARGE: dict[str, Callable[[], tuple[str, bool]]] = {
    "a million dependencies": lambda: (in_tasks(range(1_450), "T"), False),
    "half a million unknown dependencies": lambda: (in_tasks(range(1_000), "X"), False),
    "a description of 10 MB": lambda: (f"title: x\ntasks: [{{id: a, description: {'y' * 10**7}}}]", False),
    "a number of 10 MB": lambda: (f"title: x\ntasks: [{{id: a, complexity: {'9' * 10**7}}}]", False),
    "a number of 60s": lambda: (f"title: x\ntasks: [{{id: a, complexity: 1{':59' * 300_000}}}]", False),
    "a key 200,000 times": lambda: ("title: x\n" + "title: y\n" * 200_000, False),
    "a key 200,000 times in JSON": lambda: ("{" + ",".join(['"title": 1'] * 200_000) + "}", True),
    "100,000 keys twice in JSON": lambda: (
        "{" + ",".join(f'"k{number % 100_000}": 1' for number in range(200_000)) + "}",
        True,
    ),
    "100,000 objects with a key twice": lambda: (
        '{"tasks": [' + ",".join(['{"id": 1, "id": 2}'] * 90_000) + "]}",
        True,
    ),
    "300,000 bad tags": lambda: (f"title: x\ntasks: [{{id: a, tags: [{'~, ' * 300_000}]}}]", False),
    "90,000 bad tasks": lambda: ("title: x\ntasks:\n" + "- {id: a b}\n" * 90_000, False),
    "a cycle of each with each": lambda: (in_tasks(range(400), "T", others=range(400)), False),
}


def in_tasks(ids: range, name: str, others: range | None = None) -> str:
    """Each task depends on all before it, or on all `others`."""
    rows = [f"- {{id: T{each}, depends_on: [{depends(each, name, others)}]}}" for each in ids]
    return "title: x\ntasks:\n" + "\n".join(rows)


def depends(each: int, name: str, others: range | None) -> str:
    return ", ".join(f"{name}{other}" for other in others or range(each) if other != each)


READ_AND_PLAN = """
import sys
from orchestrator.model import errors
from orchestrator.feature_file import reader
from orchestrator.planning import planner
from orchestrator.config.schema.limits import Limits
try:
    feature = reader.parse(sys.stdin.buffer.read(), Limits(), json=sys.argv[1] == "json")
    planner.plan(feature, 5)
except errors.OrchestratorError as error:
    print(type(error).__name__, len(str(error)))
"""


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_is_refused_within_bounds(name: str) -> None:
    # Given a file that is large on purpose, and a process with bounded memory
    text, is_json = LARGE[name]()

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    # When it is read and planned
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_PLAN, "json" if is_json else "yaml"],
        input=text.encode(),
        capture_output=True,
        timeout=PATIENCE,
        preexec_fn=bounded,
    )

    # Then it is refused in our words, and not in too many
    assert done.stderr == b""
    kind, length = done.stdout.split()
    assert kind in (b"InvalidFeature", b"CircularDependency")
    assert int(length) < 100_000
