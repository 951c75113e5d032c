"""Pure rooms stay pure, and each script and public name has a docstring. import-linter checks who imports whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.state import script_sources, scripts

HOUSE = Path(__file__).parent.parent
PURE = (
    "model", "planning", "contract", "report", "config/urls", "config/spelling", "config/agent_mapping", "notify/rules",
    "state/encoding", "state/keys", "state/schema", "state/workers", "agents/classification", "agents/command_line",
    "agents/events", "agents/outcome", "agents/parts", "agents/resets", "agents/seen", "agents/stream", "agents/tokens",
    "agents/usage_reader",
)  # fmt: skip
"""Rooms and files that turn values into values: neither Redis nor a clock nor a file is needed to test them."""

WORLD = {
    "redis", "celery", "kombu", "fakeredis", "os", "time", "random", "secrets", "uuid", "subprocess", "socket",
    "threading", "tempfile", "io", "logging", "sys",
}  # fmt: skip
VALUES = {"uuid.UUID", "uuid.NAMESPACE_URL", "uuid.uuid5"}
"""Parts of these that only hold a value, or make one of others."""

CLOCKS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
OVERRIDES = {"Settings.settings_customise_sources"}
"""Methods that a library calls, under names that it documents itself."""


def modules(package: str) -> list[Path]:
    return sorted((HOUSE / package).rglob("*.py"))


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


PURE_FILES = [file for place in PURE for file in [HOUSE / "orchestrator" / f"{place}.py"] if file.exists()]
PURE_FILES += [file for place in PURE for file in modules(f"orchestrator/{place}")]


def path(file: Path) -> str:
    return str(file.relative_to(HOUSE))


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if not is_for_types_only(child):
            yield child
            yield from walk(child)


def imports(tree: ast.AST) -> Iterator[str]:
    """The full name of everything imported, at every place of a file: `from orchestrator import models` gives
    `orchestrator.model.task`."""
    for node in walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "an import by its full name is easier to follow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", PURE_FILES, ids=path)
def test_what_is_pure_knows_nothing_of_the_world(file: Path) -> None:
    found = set(imports(tree_of(file))) - VALUES
    assert not {name for name in found if name.split(".")[0] in WORLD}


@pytest.mark.parametrize("file", PURE_FILES, ids=path)
def test_what_is_pure_reads_no_clock(file: Path) -> None:
    tree = tree_of(file)
    named = {ast.unparse(node) for node in walk(tree) if isinstance(node, ast.Attribute)}
    assert not {name for name in named if name.endswith(CLOCKS)}


@pytest.mark.parametrize(
    "file", [*modules("orchestrator/specialists"), *modules("orchestrator/workspaces")], ids=path
)
def test_specialists_and_workspaces_know_neither_redis_nor_celery(file: Path) -> None:
    found = set(imports(tree_of(file)))
    assert not {name for name in found if name.split(".")[0] in ("redis", "celery", "kombu")}


@pytest.mark.parametrize("statement", ["import orchestrator", "from orchestrator import Feature, plan"])
def test_an_import_loads_neither_celery_nor_redis(statement: str) -> None:
    look = "import sys; print(*sorted({'celery', 'redis', 'kombu', 'flower', 'typer'} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{statement}; {look}"], cwd=HOUSE, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


LUA = HOUSE / "orchestrator" / "state" / "lua"
SCRIPTS = [name for name in script_sources.sources() if not name.startswith("parts/")]
WHOLE = sorted(LUA.rglob("*.lua"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_states_its_contract(script: str) -> None:
    source = script_sources.sources()[script]
    told = script_sources.header(source)
    assert told.purpose
    assert any(told.answer)
    body = source.split("\n", told.lines)[-1]
    assert {name for name in told.args if name not in script_sources.names(body)} <= {
        "feature",
        *scripts.COMMON,
    }


@pytest.mark.parametrize("name", script_sources.sources())
def test_a_script_names_the_keys_that_it_uses_itself(name: str) -> None:
    source = script_sources.sources()[name]
    assert set(script_sources.header(source).keys) == set(script_sources.keys_in(source))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_names_every_code_that_it_answers(script: str) -> None:
    source = script_sources.sources()[script]
    told = script_sources.header(source)
    body = source.split("\n", told.lines)[-1]
    returned = {
        part.split("'")[1] for part in body.split("return")[1:] if part.strip().startswith(("{'", "'"))
    }
    assert not {code for code in returned if f'"{code}"' not in "\n".join(told.answer)}


def test_a_part_of_two_scripts_goes_by_one_name() -> None:
    parts = [source for name, source in script_sources.sources().items() if name.startswith("parts/")]
    defined = re.findall(r"^local (?:function )?(\w+)", "\n".join(parts), flags=re.M)
    assert len(defined) == len(set(defined))


# It does the common case of three scripts in one, and its locals are shared by all of it.
LONGEST_SCRIPTS = {"step": 210}


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.stem)
def test_a_script_is_short(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= LONGEST_SCRIPTS.get(file.stem, 150)


def test_events_are_written_in_one_place() -> None:
    # Trimmed events are counted there, too
    assert [file.name for file in WHOLE if "'XADD'" in file.read_text("utf-8")] == ["prelude.lua"]


def undocumented(body: list[ast.stmt], place: str) -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or is_overload(node):
            continue
        if not ast.get_docstring(node):
            yield f"{place}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{place}{node.name}.")


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


@pytest.mark.parametrize("file", modules("orchestrator"), ids=path)
def test_every_public_name_says_what_it_is(file: Path) -> None:
    tree = tree_of(file)
    assert ast.get_docstring(tree), "the module itself"
    assert set(undocumented(tree.body, "")) - OVERRIDES == set()


def test_the_tests_that_pages_name_are_there() -> None:
    pages = [page.read_text("utf-8") for page in (HOUSE / "docs").rglob("*.md")]
    named = [pair for page in pages for pair in re.findall(r"(test_\w+\.py)::(test_\w+)", page)]
    assert len(named) > 10
    found = {
        (file.name, test)
        for file in (HOUSE / "tests").rglob("test_*.py")
        for test in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))
    }
    assert not set(named) - found
