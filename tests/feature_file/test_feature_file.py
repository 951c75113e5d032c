"""A feature file is read as it is meant, or refused with every mistake, its line and what would be right."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.config import yaml_loader
from orchestrator.config.schema.limits import Limits
from orchestrator.feature_file import reader, yaml_reader
from orchestrator.feature_file.refusal import MOST_SHOWN
from orchestrator.model import errors
from orchestrator.model.feature import Feature, Strategy
from orchestrator.model.sanitizer import unwanted
from orchestrator.model.task import Priority, Task

TWO_TASKS = """
title: Login
tasks:
  - id: T1
  - id: T2
    depends_on: [T1]
"""


def read(written: str, *, is_json: bool = False, **limits: int) -> Feature:
    return reader.parse(textwrap.dedent(written), Limits(**limits), json=is_json)


def refusal(written: str, *, is_json: bool = False, **limits: int) -> errors.InvalidFeature:
    with pytest.raises(errors.InvalidFeature) as caught:
        read(written, is_json=is_json, **limits)
    return caught.value


def mistakes(written: str, *, is_json: bool = False, **limits: int) -> list[str]:
    return [line.strip() for line in str(refusal(written, is_json=is_json, **limits).mistakes).splitlines()]


def in_task(line: str) -> str:
    return f"title: x\ntasks:\n  - id: T1\n    {line}\n"


# Reading


def test_yaml_with_every_field_becomes_a_feature() -> None:
    feature = read("""
        id: login
        title: Login
        description: |
          Two lines
          and\ta tab.
        tags: [Auth]
        strategy: resource_aware
        max_parallel_tasks: 3
        tasks:
          - id: T1
            title: Schema
            tags: [database, " Backend "]
            priority: high
            complexity: 3
            estimate: 1h30m
            timeout: 90
            retries: {max: 3, backoff: 2s}
            idempotent: false
            specialist: senior-engineer
            params: {rows: [1, 2.5, null, true, {deep: "text"}]}
            run: pytest -q "tests/a b"
          - id: T2
            retries: 2
            depends_on: [T1, T1]
            run: [echo, "a b"]
    """)

    first, second = feature.tasks
    assert (feature.id, feature.strategy, feature.max_parallel_tasks) == ("login", Strategy.RESOURCE_AWARE, 3)
    assert feature.description == "Two lines\nand\ta tab.\n"
    assert (feature.tags, first.tags) == (("auth",), ("database", "backend"))
    assert (first.priority, first.estimate, first.timeout) == (Priority.HIGH, 5400.0, 90.0)
    assert (first.idempotent, second.idempotent) == (False, True)
    assert first.params == {"rows": [1, 2.5, None, True, {"deep": "text"}]}
    assert first.run == ("pytest", "-q", "tests/a b")
    assert (second.retries.max, second.depends_on, second.run) == (2, ("T1",), ("echo", "a b"))


def test_json_and_yaml_say_the_same() -> None:
    feature = read(TWO_TASKS)

    assert read(json.dumps(feature.model_dump(mode="json")), is_json=True) == feature
    assert read(json.dumps(feature.model_dump(mode="json"))) == feature


TITLES = some.text(some.characters(exclude_categories=["C", "Z"]), max_size=40).filter(
    lambda title: not unwanted(title, breaks=False)  # variation selectors are of the category of accents
)


@given(
    some.lists(
        some.fixed_dictionaries(
            {"title": TITLES},
            optional={
                "params": some.dictionaries(some.text(max_size=5), some.integers() | some.text(max_size=9))
            },
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_feature_written_as_json_is_read_back(rows: list[dict[str, Any]]) -> None:
    rows = [row | {"id": f"T{number}"} for number, row in enumerate(rows)]

    feature = read(json.dumps({"title": "x", "tasks": rows}), is_json=True)

    found = [task.model_dump(include=set(row)) for task, row in zip(feature.tasks, rows, strict=True)]
    assert found == rows


def test_aliases_and_merge_keys_are_written_out() -> None:
    feature = read("""
        title: x
        tasks:
          - &first {id: T1, timeout: 5m, tags: &tags [backend]}
          - {<<: *first, id: T2, tags: *tags}
          - {id: T3, <<: [{timeout: 1m}, *first]}
    """)

    assert [(task.id, task.timeout, task.tags) for task in feature.tasks] == [
        ("T1", 300, ("backend",)),
        ("T2", 300, ("backend",)),
        ("T3", 60, ("backend",)),
    ]


def test_two_merge_keys_are_merged_as_a_list_of_both_is() -> None:
    feature = read("""
        title: x
        tasks:
          - &a {id: A, timeout: 5s, retries: 3, run: [echo, a]}
          - &b {id: B, tags: [bug], estimate: 2m, run: [echo, b]}
          - {<<: *a, <<: *b, id: C}
          - {<<: [*a, *b], id: D}
    """)

    third, fourth = (task.model_dump(exclude={"id"}) for task in feature.tasks[2:])
    assert third == fourth
    assert (third["timeout"], third["tags"], third["run"]) == (5, ("bug",), ("echo", "a"))


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("010", 10), ("0o10", 8), ("0x10", 16), ("1e2", 100), ("+5", 5), ("0", 0), (".5", 0.5), ("1.", 1)],
)
def test_numbers_are_read_as_yaml_1_2_does(line: str, seconds: float) -> None:
    assert read(in_task(f"estimate: {line}")).tasks[0].estimate == seconds


def test_keys_at_the_top_that_begin_with_x_are_for_anchors() -> None:
    feature = read("""
        x-slow: &slow {timeout: 1h, retries: 2}
        x-anything: [1, {a: b}]
        title: x
        tasks: [{id: T1, <<: *slow}]
    """)

    assert (feature.tasks[0].timeout, feature.tasks[0].retries.max) == (3600, 2)
    assert "unknown key" in mistakes("{title: x, x_slow: 1, tasks: [{id: T1, x-slow: 1}]}")[1]


def test_the_pure_python_reader_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(TWO_TASKS)
    monkeypatch.setattr(yaml_reader, "Loader", yaml_loader.PlainLoader)

    assert read(TWO_TASKS) == expected
    assert mistakes(in_task("estimate: 9x"))[0].startswith('line 4, T1.estimate: "9x": ')
    assert "nested deeper" in mistakes("[" * 100_000)[0]


# Single mistakes: the line, the place, the value, what would be right


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "estimate: 9x",
            'line 4, T1.estimate: "9x": a duration is a number of seconds or a text such as 45s, 25m',
        ),
        ("estimte: 9m", 'line 4, T1.estimte: unknown key "estimte"; did you mean estimate?'),
        ("retries: {backof: 1s}", 'line 4, T1.retries.backof: unknown key "backof"; did you mean backoff?'),
        ("zzz: 1", 'line 4, T1.zzz: unknown key "zzz"; the keys are id, title, description, tags'),
        (
            "priority: hihg",
            'line 4, T1.priority: "hihg": choose one of high, medium, low; did you mean high?',
        ),
        ("complexity: 11", "line 4, T1.complexity: 11: write a whole number from 1 to 10"),
        ("complexity: 5.5", "line 4, T1.complexity: 5.5: write a whole number from 1 to 10"),
        ("complexity: many", 'line 4, T1.complexity: "many": write a whole number from 1 to 10'),
        ("complexity: true", "line 4, T1.complexity: true: write a whole number from 1 to 10"),
        ("complexity: 1_0", 'line 4, T1.complexity: "1_0": write a whole number from 1 to 10'),
        ("timeout: 1:30", 'line 4, T1.timeout: "1:30": a duration is a number of seconds'),
        ("retries: {max: true}", "line 4, T1.retries.max: true: write a whole number from 0 to 100"),
        ("timeout: 0", "line 4, T1.timeout: 0: a duration is longer than nothing and at most 366d"),
        (
            "run: echo a && false",
            'line 4, T1.run: "echo a && false": has &&, which means something to a shell',
        ),
        ("retries: {factor: 0.5}", "line 4, T1.retries.factor: 0.5: write a number from 1 to 10"),
        ("retries: yes", "line 4, T1.retries: yes: write a number of retries, such as 3"),
        ("tags: bug", 'line 4, T1.tags: "bug": write a list, such as [bug]'),
        ("depends_on: T0", 'line 4, T1.depends_on: "T0": write a list, such as [T0]'),
        ("depends_on:", "line 4, T1.depends_on: write a list, such as [T1, T2], or remove the key"),
        (
            "depends_on: [no]",
            'line 4, T1.depends_on[0]: no: is true or false, not a text; write "no" with quotes',
        ),
        ("depends_on: [T1]", 'line 4, T1.depends_on[0]: "T1": a task cannot depend on itself'),
        ("depends_on: [T11]", 'line 4, T1.depends_on[0]: "T11": no task has this id; did you mean T1?'),
        ("run: echo 'x", 'line 4, T1.run: "echo \'x": has a quote or backslash without its other half'),
        ('run: ""', "line 4, T1.run: is empty; write a command, or remove the key"),
        ('run: ["a\\0"]', 'line 4, T1.run[0]: "a\\u0000": has a null character'),
        (f"estimate: -{10**400}", "line 4, T1.estimate: -1000"),
        ('tags: "a\\x1fb"', 'line 4, T1.tags: "a\\u001fb": write a list, such as [backend, database]'),
        ("title: [a]", "line 4, T1.title: is a list; write one text"),
        ("title:", "line 4, T1.title: is empty; write a text, or remove the key"),
        ('title: "a\\nb"', 'line 4, T1.title: "a\\nb": has a line break or another control character'),
        ('title: "a\\eb"', 'line 4, T1.title: "a\\u001bb": has a line break or another control character'),
        ('tags: ["a\\tb"]', 'line 4, T1.tags[0]: "a\\tb": has a line break or another control character'),
        ('description: "\\a"', 'line 4, T1.description: "\\u0007": has a control character'),
        (
            f"title: {'y' * 201}",
            f'line 4, T1.title: "{"y" * 56}…": has 201 characters; at most 200 are allowed',
        ),
        (f"tags: [{'y' * 65}]", f'line 4, T1.tags[0]: "{"y" * 56}…": has 65 characters; at most 64'),
        ("params: [1]", "line 4, T1.params: write a mapping, such as {name: value}"),
        (
            "params: {when: 2024-01-01}",
            "line 4, T1.params.when: 2024-01-01: is a date, which JSON does not know",
        ),
        ("params: {a: [{b: 2024-01-01}]}", "line 4, T1.params.a[0].b: 2024-01-01: is a date"),
        ("params: {list: {dict: 2024-01-01}}", "line 4, T1.params.list.dict: 2024-01-01: is a date"),
        ("params: {n: .nan}", "line 4, T1.params: NaN and Infinity are no JSON value"),
        ("params: {1: a}", 'line 4, T1.params["1"]: a key is a text; write "1" with quotes'),
        ("params: {a: 1, a: 2}", "line 4, T1.params.a: is written twice, first in line 4; keep one of them"),
        (
            "params: {a: 2024-13-45}",
            'line 4, tasks[0].params.a: cannot be read; write "2024-13-45" with quotes',
        ),
        ("params: {a: !thing x}", "line 4, tasks[0].params.a: has the tag !thing; remove the tag"),
        (
            "params: !!python/object:os.system {}",
            "line 4, tasks[0].params: has the tag tag:yaml.org,2002:python",
        ),
        ("<<: 5", 'line 4, T1["<<"]: merges what is no mapping'),
    ],
)
def test_a_mistake_in_a_task(line: str, said: str) -> None:
    (mistake,) = mistakes(in_task(line))

    assert mistake.startswith(said)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1", 'line 3, tasks[0].id: 1: is a number, not a text; write "1" with quotes'),
        ("1.10", 'line 3, tasks[0].id: 1.10: is a number, not a text; write "1.10" with quotes'),
        (
            "2024-01-01",
            'line 3, tasks[0].id: 2024-01-01: is a date, not a text; write "2024-01-01" with quotes',
        ),
        (
            "a b",
            'line 3, tasks[0].id: "a b": has a space; an id has letters and digits of any script and _ . - + @',
        ),
        ("'../x'", 'line 3, tasks[0].id: "../x": starts with "."; an id has'),
        ('"T1\\n"', 'line 3, tasks[0].id: "T1\\n": has a line break; an id has'),
    ],
)
def test_an_id_that_is_none(written: str, said: str) -> None:
    (mistake,) = mistakes(f"title: x\ntasks:\n  - id: {written}\n")

    assert mistake.startswith(said)


def test_a_json_number_as_an_id_is_quoted_in_the_answer() -> None:
    assert mistakes('{"title": "x",\n "tasks": [{"id": 1}]}', is_json=True) == [
        'line 2, tasks[0].id: 1: is a number, not a text; write "1" with quotes'
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks: [{id: a}]", "line 1, title: is missing; say in one line what the feature is"),
        ("title: x", "line 1, tasks: is missing; list the tasks, at least one"),
        ("title: x\ntasks: []", "line 2, tasks: is empty; list at least one task"),
        ("title: x\ntasks: {id: a}", "line 2, tasks: write a list, such as [{id: T1}]"),
        (
            "title: x\ntasks: [{id: a}]\nstrategy: batchd",
            'line 3, strategy: "batchd": choose one of sequential, ',
        ),
        ("title: x\ntasks: [{title: a}]", "line 2, tasks[0].id: is missing; give the task an id, such as T1"),
        ("title: x\ntasks: [T1]", 'line 2, tasks[0]: "T1": a task is a mapping, such as {id: T1, title: …}'),
        ("title: x\ntasks: [{id: a},\n {id: a}]", 'line 3, tasks[1].id: "a": tasks[0] has this id already'),
        ("title: x\ntitle: y\ntasks: [{id: a}]", "line 2, title: is written twice, first in line 1"),
        ("[1]", "line 1: it is a list; a feature is a mapping with a title and tasks"),
        ("plain words", "line 1: it is a text; a feature is a mapping with a title and tasks"),
        ("", "it is empty; write a title and tasks"),
        (" \n", "it is empty; write a title and tasks"),
        ("# a comment", "it is empty; write a title and tasks"),
        ("---\n", "it is empty; write a title and tasks"),
        ("title: x\n---\ntitle: y", "line 2: a second document starts here; a file is one feature"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed"),
        ("a:\n\t- b", "line 2, column 1: found character that cannot start any token"),
        ("a: [1,\nb: 2", "line 3, column 1: did not find expected ',' or ']'"),
        ("a: *x", "line 1: no &x comes before *x; define it, or put the text in quotes"),
        ("? [a]\n: 1", "line 1: a list or mapping cannot be a key"),
        ("a: 1\nb: \ud800", "line 2: character U+D800 does not belong in a text"),
        ("a: 1\nb: \0", "line 2: character U+0000 does not belong in a text"),
    ],
)
def test_a_mistake_of_the_whole(text: str, said: str) -> None:
    (mistake,) = mistakes(text)

    assert mistake.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"title": "x",}', "line 1, column 15: this is no JSON: "),
        ('{\n"title": nope}', "line 2, column 10: this is no JSON: expecting value"),
        ('{"title": NaN}', "has NaN, which is no JSON value"),
        ('{"title": -Infinity}', "has -Infinity, which is no JSON value"),
        ('{"title": ' + "9" * 5_000 + "}", "has a whole number with too many digits"),
        ('{"title": "x",\n"tasks": [{"id": "a",\n "id": "b"}]}', "line 3, tasks[0].id: is written twice"),
        (
            '{"title": "x",\n\t"tasks":\t[{"id": "\\ud83d\\ude00"}]}',
            'line 2, tasks[0].id: "😀": has "😀"; an id has',
        ),
        (
            '{"title":"x",\n"tasks":[{"id":"a","title":"\\ud800"}]}',
            'line 2, a.title: "\\ud800": has half a surrogate',
        ),
        (
            '{"title":"x","tasks":[{"id":"a","params":{"n":1e999}}]}',
            "line 1, a.params: NaN and Infinity are no JSON",
        ),
    ],
)
def test_a_mistake_in_json(text: str, said: str) -> None:
    (mistake,) = mistakes(text, is_json=True)

    assert mistake.startswith(said)


# All of them at once


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    error = refusal("""\
        title: x
        tasks:
          - id: T1
            estimate: 9x
            titel: a
            titel: b
          - id: T1
            depends_on: [T9]
        color: blue
    """)

    assert [(line["line"], line["path"]) for line in error.lines] == [
        (4, "T1.estimate"),
        (6, "T1.titel"),
        (6, "T1.titel"),
        (7, "tasks[1].id"),
        (8, "T1.depends_on[0]"),
        (9, "color"),
    ]
    assert error.count == "6 mistakes"
    assert str(error).startswith("The text is not a feature: 6 mistakes.\n  line 4, T1.estimate: ")
    assert str(error).endswith("Nothing was stored. Correct them and try again.")
    assert json.loads(json.dumps(error.lines))[0] == {
        "line": 4,
        "column": None,
        "path": "T1.estimate",
        "value": '"9x"',
        "message": "a duration is a number of seconds or a text such as 45s, 25m, 1h30m, 2d",
    }


def test_one_mistake_is_it_not_them() -> None:
    assert str(refusal("[]")).endswith("Nothing was stored. Correct it and try again.")


def test_tasks_that_are_all_wrong_do_not_make_an_empty_list() -> None:
    assert mistakes("title: x\ntasks: [{}]") == [
        "line 2, tasks[0].id: is missing; give the task an id, such as T1"
    ]


def test_the_text_of_very_many_mistakes_is_short_and_the_facts_are_complete() -> None:
    error = refusal("title: x\ntasks:\n" + "".join(f"  - {{id: a {at}}}\n" for at in range(300)))

    assert len(error.lines) == 300
    assert len(str(error).splitlines()) == MOST_SHOWN + 3
    assert f"… and {len(error.lines) - MOST_SHOWN} more" in str(error)


def test_one_name_that_many_tasks_have_wrong_is_one_line_with_its_count() -> None:
    # Given 88 tasks that depend on a task that there is not, among other mistakes
    tasks = [f"  - {{id: T{at}, depends_on: [base]}}\n" for at in range(88)]
    others = ["  - {id: U1, depends_on: [bsae]}\n", "  - {id: U2, estimate: soon}\n"]

    error = refusal("title: x\ntasks:\n" + "".join(tasks + others))

    # Then the name has one line, and the facts hold them all
    (line,) = (line for line in str(error).splitlines() if '"base"' in line)
    assert line.startswith("  line 3, T0.depends_on[0]: ")
    assert line.endswith(" (88 times)")
    assert sum("soon" in line or "bsae" in line for line in str(error).splitlines()) == 2
    assert len(error.lines) == 90


def test_a_mistake_behind_an_alias_is_where_the_alias_is() -> None:
    found = mistakes("""\
        title: x
        tasks:
          - &base {id: T1, estimate: 9x}
          - id: T2
            <<: *base
    """)

    assert [line.split(":")[0] for line in found] == ["line 3, T1.estimate", "line 4, T2.estimate"]


# Sizes


@pytest.mark.parametrize(
    ("text", "limits", "said"),
    [
        (
            "title: x\ntasks: [{id: a}, {id: b}]",
            {"tasks": 1},
            "tasks: has 2 tasks; at most 1 are allowed (limits.tasks)",
        ),
        (TWO_TASKS, {"dependencies": 0}, "line 3, tasks: has 1 dependencies; at most 0 are allowed"),
        (
            in_task("description: " + "y" * 101),
            {"text": 100},
            "line 4, T1.description: has 101 characters; at most 100",
        ),
        (
            in_task("params: {a: " + "y" * 101 + "}"),
            {"params": 100},
            "line 4, T1.params: its data has 1",
        ),
        (in_task("run: [" + "y" * 101 + "]"), {"params": 100}, "line 4, T1.run: its data has 1"),
        ("title: x\n#" + "y" * 1_000, {"file": 1_000}, "larger than 1,000 bytes (limits.file)"),
        ("[" * 65, {}, "line 1: lists and mappings are nested deeper than 64"),
        ("- " * 65, {}, "line 1: lists and mappings are nested deeper than 64"),
        ("{a: " * 65, {}, "line 1: lists and mappings are nested deeper than 64"),
        ("[" + "1, " * 2_000 + "1]", {"tasks": 1, "dependencies": 0}, "line 1: more than 1,032 values"),
    ],
)
def test_what_is_too_large_is_refused(text: str, limits: dict[str, Any], said: str) -> None:
    (mistake,) = mistakes(text, **limits)

    assert mistake.startswith(said)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 70 + "1" + "}" * 70, "[" * 65 + "]" * 65])
def test_deep_json_is_refused(text: str) -> None:
    assert "nested deeper than 64" in mistakes(text, is_json=True)[0]


def test_a_size_and_another_mistake_are_told_together() -> None:
    found = mistakes(in_task("estimate: 9x") + "    description: " + "y" * 101, text=100)

    assert [line.split(":")[0] for line in found] == ["line 4, T1.estimate", "line 5, T1.description"]


@pytest.mark.parametrize("kind", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_cannot_explode(kind: str) -> None:
    """Given aliases that write out to 10 ** 30 values, then reading stops at the limit, not at the end of memory."""
    levels = [f"k{n}: &k{n} " + kind.format(", ".join([f"*k{n - 1}"] * 10)) for n in range(1, 31)]

    (mistake,) = mistakes("k0: &k0 {a: 1}\n" + "\n".join(levels))

    assert "values or" in mistake


def test_long_texts_behind_aliases_cannot_explode() -> None:
    text = "a: &a " + "y" * 900 + "\nb: [" + ", ".join(["*a"] * 20) + "]"

    assert "1,000 characters, aliases written out" in mistakes(text, file=1_000)[0]


def test_an_alias_cannot_contain_itself() -> None:
    assert mistakes("a: &a [*a]") == ["line 1: *a contains itself; write the value out"]


@given(some.text() | some.text(alphabet="[]{}:,-&*<>!|?'\"# \n\tab1"))
def test_no_text_is_answered_with_a_traceback(text: str) -> None:
    for is_json in (False, True):
        with suppress(errors.InvalidFeature):
            reader.parse(text, Limits(), json=is_json)


# Features made in Python


def test_a_feature_within_the_limits_passes_the_check() -> None:
    reader.check(read(TWO_TASKS), Limits())


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task(id="T1", description="y" * 101), "T1.description: has 101 characters; at most 100 are allowed"),
        (Task(id="T1", params={"a": "y" * 101}), "T1.params: its data has 1"),
        (Task(id="T1", params={"a": float("inf")}), "T1.params: NaN and Infinity are no JSON value"),
        (Task(id="T1", params={"a": 10**5_000}), "T1.params: a key or a number is no JSON value"),
    ],
)
def test_a_feature_made_in_python_is_checked_too(task: Task, said: str) -> None:
    feature = Feature(title="Login", tasks=(task,))

    with pytest.raises(errors.InvalidFeature) as caught:
        reader.check(feature, Limits(text=100, params=100))

    assert str(caught.value).startswith(f'The feature "Login" is not a feature: 1 mistake.\n  {said}')


def test_the_check_counts_tasks_and_dependencies() -> None:
    with pytest.raises(errors.InvalidFeature) as caught:
        reader.check(read(TWO_TASKS), Limits(tasks=1, dependencies=0))

    assert [line["message"].split(";")[0] for line in caught.value.lines] == [
        "has 2 tasks",
        "has 1 dependencies",
    ]


# Files


@pytest.mark.parametrize("name", ["login.yaml", "login.yml", "login.YAML", "login"])
def test_a_file_is_read_as_yaml(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"\xef\xbb\xbf" + TWO_TASKS.replace("\n", "\r\n").encode())

    assert reader.read(file, Limits()) == read(TWO_TASKS)


def test_a_file_is_read_as_json(tmp_path: Path) -> None:
    file = tmp_path / "login.JSON"
    file.write_text(read(TWO_TASKS).model_dump_json())

    assert reader.read(file, Limits()) == read(TWO_TASKS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"title: x\nname: \xff", "line 2: this is not UTF-8 text"),
        ("title: x".encode("utf-16"), "line 1: this is not UTF-8 text"),
        (b"\x7fELF\x00\x01", "line 1: character U+007F does not belong in a text"),
        (b"y" * 2_000, "larger than 1,000 bytes (limits.file)"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "login.yaml"
    file.write_bytes(content)

    with pytest.raises(errors.InvalidFeature) as caught:
        reader.read(file, Limits(file=1_000))

    assert str(caught.value).startswith(f"{file} is not a feature: 1 mistake.\n  {said}")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, said in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "this is a folder"),
        (Path("a\0b"), "the file cannot be read"),
    ]:
        with pytest.raises(errors.InvalidFeature, match=said):
            reader.read(path, Limits())


MANY = 300_000


@pytest.mark.parametrize(
    ("start", "indent", "place"),
    [
        ("title: x\ntasks: [{id: T1}]\n", "", "line 1001: "),
        ("title: x\ntasks:\n- id: T1\n", "  ", "line 1003, tasks[0]: "),
        ("title: x\ntasks:\n- id: T1\n  retries:\n", "    ", "line 1005, tasks[0].retries: "),
    ],
)
def test_far_too_many_keys_are_not_read_to_their_end(start: str, indent: str, place: str) -> None:
    # Given more keys than anything of a feature has, and a text after them that is no YAML
    text = start + "".join(f"{indent}k{number}: 1\n" for number in range(MANY)) + "}{\n"

    assert f"{place}has more than 1,000 keys" in str(refusal(text))


@pytest.mark.parametrize("task", [{}, {"retries": {}}])
def test_far_too_many_keys_in_json_are_one_mistake(task: dict[str, Any]) -> None:
    many = {f"k{number}": 1 for number in range(MANY)}
    feature = {"title": "x", "tasks": [{"id": "T1", **dict.fromkeys(task, many)}], **({} if task else many)}

    said = str(refusal(json.dumps(feature), is_json=True))

    assert "1 mistake." in said
    assert "has more than 1,000 keys" in said


def test_data_of_a_task_may_have_many_keys() -> None:
    params = {f"k{number}": 1 for number in range(1_500)}
    text = json.dumps({"title": "x", "tasks": [{"id": "T1", "params": params}]})
    assert reader.parse(text, Limits(), json=True).tasks[0].params == params


def test_the_lines_of_mistakes_are_looked_for_no_further_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a text with more mistakes than are told
    text = json.dumps({"title": "x", "tags": list(range(MANY)), "tasks": [{"id": "T1"}]}, indent=0)
    events: list[yaml.Event] = []
    parse = yaml.parse

    def counted(*given: Any) -> Iterator[yaml.Event]:
        for event in parse(*given):
            events.append(event)
            yield event

    monkeypatch.setattr(yaml, "parse", counted)

    said = str(refusal(text, is_json=True))

    # Then each that is told has its line, and the text behind them is not read again
    assert "line 103, tags[99]: 99: is a number" in said
    assert len(events) < 2_000


@pytest.mark.parametrize("depth", [65, 199, 254, 255])
def test_params_from_python_that_are_nested_too_deep_are_refused(depth: int) -> None:
    """A feature that cannot run is refused at enqueue; pydantic itself takes some 250 levels."""
    params: dict[str, Any] = {}
    for _ in range(depth):
        params = {"a": params}
    feature = Feature.model_validate({"title": "N", "tasks": [{"id": "T1", "params": params}]})
    with pytest.raises(errors.InvalidFeature, match="nested deeper than 64"):
        reader.check(feature, Limits())
