"""The pages keep up with the code: generated ones are new, links lead somewhere, commands and settings exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from orchestrator.cli.app import app
from orchestrator.config.settings import Settings
from orchestrator.model.event_names import EVENTS
from orchestrator.model.feature import Feature
from reference import events, pages
from tests.pages import blocks

HOUSE = Path(__file__).parents[1]
DOCS = HOUSE / "docs"
EXAMPLES = sorted((HOUSE / "examples").rglob("README.md"))
PAGES = [*sorted(HOUSE.glob("*.md")), *sorted(DOCS.rglob("*.md")), *EXAMPLES]
WRITTEN = [page for page in PAGES if page.name != "CHANGELOG.md"]
FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)


def name(page: Path) -> str:
    return str(page.relative_to(HOUSE))


def test_generated_pages_say_what_the_code_says() -> None:
    assert pages.outdated() == [], "run `make reference`"


def test_every_event_has_a_meaning() -> None:
    assert set(events.MEANING) == set(EVENTS)


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links and pictures, but for those on the web."""
    text = FENCED.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "mailto:")):
            yield target


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page may end with, in the site as on a code host."""
    text = FENCED.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name)
def test_a_page_of_the_site_links_to_nothing_outside(page: Path) -> None:
    outside = [
        target for target in links(page) if not (page.parent / target.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]  # fmt: skip
    assert outside == [], "the site has no such page: write it as code"


def options() -> dict[str, set[str]]:
    """The options of each command."""
    group: Any = typer.main.get_command(app)
    found = {}
    for command, known in group.commands.items():
        all_of_it = [known, *getattr(known, "commands", {}).values()]
        taken = {option for one in all_of_it for parameter in one.params for option in parameter.opts}
        found[command] = taken | {"--help"}
    return found


OPTIONS = options()


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_commands_and_their_options_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    typed = re.findall(r"`orchestrator ([a-z][a-z-]*)([^`]*)`", text)
    typed += re.findall(r"^(?:    |\$ )orchestrator ([a-z][a-z-]*)([^#\n]*)", text, re.M)
    unknown = [command for command, _ in typed if command not in OPTIONS]
    for command, rest in typed:
        known = OPTIONS.get(command, set())
        unknown += [f"{command} {one}" for one in re.findall(r"\s(--[a-z-]+)", rest) if one not in known]
    assert unknown == []


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=name)
def test_snippets_of_yaml_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for language, text in blocks(page):
        if language != "yaml":
            continue
        data = yaml.safe_load(text)
        if "tasks" in data:
            shown = {key: value for key, value in data.items() if not key.startswith("x-")}
            Feature.model_validate({"title": "A snippet", **shown})
        else:
            Settings.model_validate(data)


@pytest.mark.parametrize("page", [HOUSE / "CONTRIBUTING.md", DOCS / "explanation" / "task-path.md"], ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.(?:py|lua|md))?)`", page.read_text("utf-8"))
    missing = [
        file for file in named if not (HOUSE / file).exists() and not (HOUSE / "orchestrator" / file).exists()
    ]
    assert len(named) > 5
    assert missing == []


def test_code_from_the_examples_is_theirs() -> None:
    """A block that begins with the name of a file of the examples stands in that file."""
    shown = [
        text.partition("\n") for page in WRITTEN for language, text in blocks(page) if language == "python"
    ]
    named = {code: first.removeprefix("# ") for first, _, code in shown if first.startswith("# examples/")}
    assert len(named) > 5
    assert [file for code, file in named.items() if code not in (HOUSE / file).read_text("utf-8")] == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n[one](#a-page) [two](#nowhere) [three](gone.md) ![four](https://example.org/a.svg)\n"
    )
    assert list(links(page)) == ["#a-page", "#nowhere", "gone.md"]
    assert anchors(page) == {"a-page"}
