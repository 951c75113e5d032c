"""The floors of the house: what may import what, and what every script and every public name has to say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
CORE = (
    "models", "graph", "planner", "simulation", "routing", "flows", "growth", "lifecycle", "notification", "report",
    "command_line", "durations", "drawing", "encoding", "errors", "identifiers", "keys", "wording", "limits", "workers",
    "urls", "repetition", "schema", "contract", "texts", "sketch", "picture",
)  # fmt: skip
MAY_CALL_CELERY_LAZILY = {("models", "orchestrator.engine.canvas"), ("models", "orchestrator.celery.app")}
"""Plan.canvas(): the one door from the core to Celery, opened only when asked for."""

WORLD = {
    "redis", "celery", "kombu", "fakeredis", "os", "time", "random", "secrets", "uuid", "subprocess", "socket",
    "threading", "pathlib", "tempfile", "io", "logging", "sys",
}  # fmt: skip
CLOCKS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
OVERRIDES = {"Settings.settings_customise_sources"}
"""What a library calls by a name that it documents itself."""

KNOWN_TO_SPECIALISTS = {
    "models", "errors", "config", "sections", "durations", "private", "specialists", "texts",
}  # fmt: skip
"""All that specialists/ may know of orchestrator/."""


def modules(package: str) -> list[Path]:
    return sorted((HOUSE / package).rglob("*.py"))


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


CORE_FILES = [
    file
    for file in modules("orchestrator")
    if file.relative_to(HOUSE / "orchestrator").with_suffix("").parts[0] in CORE
]


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
    """The full name of everything imported, wherever it stands: `from orchestrator import models` gives
    `orchestrator.model.task`."""
    for node in walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "an import by its full name is easier to follow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of_orchestrator(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "orchestrator" and len(parts) > 1 else None


@pytest.mark.parametrize("file", CORE_FILES, ids=path)
def test_the_core_knows_nothing_of_the_world(file: Path) -> None:
    found = set(imports(tree_of(file)))
    assert not {name for name in found if name.split(".")[0] in WORLD}


@pytest.mark.parametrize("file", CORE_FILES, ids=path)
def test_the_core_knows_nothing_of_the_shell(file: Path) -> None:
    found = set(imports(tree_of(file)))
    allowed = {name for name in found if (file.stem, name) in MAY_CALL_CELERY_LAZILY}
    shell = {name for name in found - allowed if part_of_orchestrator(name) not in (None, *CORE)}
    assert not shell


@pytest.mark.parametrize("file", CORE_FILES, ids=path)
def test_the_core_reads_no_clock(file: Path) -> None:
    tree = tree_of(file)
    named = {ast.unparse(node) for node in walk(tree) if isinstance(node, ast.Attribute)}
    assert not {name for name in named if name.endswith(CLOCKS)}


@pytest.mark.parametrize("file", modules("orchestrator/specialists"), ids=path)
def test_specialists_know_neither_redis_nor_celery_nor_the_shell(file: Path) -> None:
    found = set(imports(tree_of(file)))
    assert not {name for name in found if name.split(".")[0] in ("redis", "celery", "kombu")}
    assert {part for name in found if (part := part_of_orchestrator(name))} <= KNOWN_TO_SPECIALISTS


@pytest.mark.parametrize("statement", ["import orchestrator", "from orchestrator import Feature, plan"])
def test_an_import_loads_neither_celery_nor_redis(statement: str) -> None:
    look = "import sys; print(*sorted({'celery', 'redis', 'kombu', 'flower', 'typer'} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{statement}; {look}"], cwd=HOUSE, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


SCRIPTS = sorted((HOUSE / "orchestrator" / "lua").glob("*.lua"))


def header(script: Path) -> list[str]:
    lines = script.read_text("utf-8").splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("--"))
    return [line.removeprefix("--").strip() for line in lines[:end]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_states_its_contract(script: Path) -> None:
    lines = header(script)
    assert lines[0], "what it does"
    for word in ("KEYS", "ARGV", "Output"):
        assert any(line.startswith(word) for line in lines), word


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_names_every_code_it_returns(script: Path) -> None:
    text = script.read_text("utf-8")
    body = text.split("\n", len(header(script)))[-1]
    returned = {
        part.split("'")[1] for part in body.split("return")[1:] if part.strip().startswith(("{'", "'"))
    }
    told = "\n".join(header(script))
    assert not {code for code in returned if f'"{code}"' not in told}


def test_events_are_written_in_one_place() -> None:
    # What is trimmed is counted there, too
    assert [script.name for script in SCRIPTS if "'XADD'" in script.read_text("utf-8")] == ["tell.lua"]


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


def test_the_tests_that_the_page_on_reliability_names_are_there() -> None:
    page = (HOUSE / "docs" / "reliability.md").read_text("utf-8")
    named = re.findall(r"(test_\w+\.py)::(test_\w+)", page)
    assert len(named) > 10
    found = {
        (file.name, test)
        for file in (HOUSE / "tests").rglob("test_*.py")
        for test in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))
    }
    assert not set(named) - found
