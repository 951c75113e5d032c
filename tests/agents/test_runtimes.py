"""Programs of agents: those that ship, those of the configuration over them, and their command lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents import launch
from orchestrator.agents.command_line import arguments
from orchestrator.agents.runtimes import find
from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.schema.agent_runtimes import AgentRuntime
from orchestrator.config.schema.agents import SHIPPED_RUNTIMES, AgentTools
from orchestrator.config.settings import Settings
from orchestrator.model import errors

SHIPPED = Settings()


def mistakes(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong with a configuration."""
    file = folder / FOLDER / FILE
    file.parent.mkdir()
    file.write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    with pytest.raises(errors.InvalidConfiguration) as caught:
        configuration.load()
    return [line.strip() for line in str(caught.value.mistakes).splitlines()]


# Finding one


@pytest.mark.parametrize("name", SHIPPED_RUNTIMES)
def test_a_program_that_ships_can_be_started_and_gone_on_with(name: str) -> None:
    runtime = find(name, SHIPPED)

    assert runtime.command[0] == name
    assert runtime.resume
    assert runtime.session
    assert runtime.rate_limited
    assert runtime.login
    assert runtime.outage


def test_a_description_is_laid_over_the_one_that_ships_setting_by_setting() -> None:
    settings = Settings(agent_runtimes={"codex": {"env": {"A": "1"}, "usage": {"scope": "run"}}})

    codex, shipped = find("codex", settings), find("codex", SHIPPED)

    assert codex.env == {"A": "1"}
    assert codex.usage == shipped.usage.model_copy(update={"scope": "run"})
    assert codex.command == shipped.command


def test_an_unknown_program_is_named_with_the_nearest_one() -> None:
    with pytest.raises(errors.NoSuchRuntime, match="claud; did you mean claude"):
        find("claud", SHIPPED)


def test_mistakes_in_the_configuration_name_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
specialists:
  coder: {agent: {runtime: claud}}
agent_runtimes:
  claude: {prompt: argument, ussage: {}, final: {when: {type: 3}}}
  api: {command: [x]}
  other: {command: [a, "{modell}"]}
"""
    assert mistakes(text, tmp_path, monkeypatch) == [
        "agent_runtimes.claude.prompt ('argument'): should be 'stdin' or 'file'",
        "agent_runtimes.claude.final.when.type ('type'): write a JSON pointer, such as /item/text",
        "agent_runtimes.claude.ussage: unknown setting; did you mean usage?",
        "agent_runtimes.api ('api'): is no program, and so has no description; choose another name",
        "agent_runtimes.other.command ('modell'): nothing is put in place of {modell}; did you mean model?",
        "specialists.coder.agent.runtime ('claud'): no program of an agent is called claud; did you mean claude?",
    ]


def test_a_setting_within_an_agent_is_named_with_the_nearest_of_its_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "specialists: {coder: {agent: {ladr: [a], tools: {alow: [Read]}}}}"

    assert mistakes(text, tmp_path, monkeypatch) == [
        "specialists.coder.agent.tools.alow: unknown setting; did you mean allow?",
        "specialists.coder.agent.ladr: unknown setting; did you mean ladder?",
    ]


def test_a_tier_of_a_ladder_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "tiers: {fast: small, haiku: , sonnet: , opus: }\nspecialists: {coder: {agent: {ladder: [fats]}}}"

    assert mistakes(text, tmp_path, monkeypatch) == [
        "specialists.coder.agent.ladder ('fats'): no tier is called fats; did you mean fast?"
    ]


def test_a_configuration_without_agents_opens_no_description() -> None:
    code = "import sys; from orchestrator.config.settings import Settings; Settings(); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "orchestrator.config.consistency" in loaded
    assert "orchestrator.agents" not in loaded
    assert "agent_runtimes" not in loaded


# Command lines


@pytest.mark.parametrize("name", SHIPPED_RUNTIMES)
@pytest.mark.parametrize("resume", [False, True])
def test_an_argument_without_a_value_is_left_out_with_its_option(name: str, resume: bool) -> None:
    runtime = find(name, SHIPPED)

    found = arguments(runtime, session="S" if resume else "", resume=resume)

    assert not [argument for argument in found if argument == "" or "{" in argument]
    assert not {"--model", "--max-budget-usd", "--json-schema", "--allowedTools", "--output-schema"} & set(
        found
    )


def test_each_tool_is_an_argument_of_its_own() -> None:
    tools = AgentTools(allow=("Read", "Bash(pytest *)"), deny=("Bash(git push *)",))

    found = arguments(find("claude", SHIPPED), session="S", budget_left=0.5, tools=tools)

    assert found[-7:] == (
        *("--max-budget-usd", "0.5000", "--allowedTools", "Read", "Bash(pytest *)"),
        *("--disallowedTools", "Bash(git push *)"),
    )


def test_a_list_in_an_argument_repeats_it() -> None:
    runtime = AgentRuntime(command=("agent", "--tool={allow}", "-"))

    assert arguments(runtime, tools=AgentTools(allow=("a", "b"))) == ("agent", "--tool=a", "--tool=b", "-")
    assert arguments(runtime) == ("agent", "-")


@pytest.mark.parametrize("name", SHIPPED_RUNTIMES)
def test_nothing_is_bypassed_unless_the_settings_say_unsafe(name: str) -> None:
    runtime = find(name, SHIPPED)
    for resume in (False, True):
        safe = arguments(runtime, session="S", resume=resume)
        unsafe = arguments(runtime, session="S", resume=resume, unsafe=True)

        assert runtime.unsafe
        assert not (set(runtime.unsafe) - set(runtime.safe)) & set(safe)
        assert set(runtime.unsafe) <= set(unsafe)


def test_of_the_project_claude_reads_no_settings_either_way() -> None:
    claude = find("claude", SHIPPED)

    assert "--bare" in arguments(claude)
    assert arguments(claude, bare=False)[1:3] == ("--setting-sources", "user")


@given(st.lists(st.text()), st.text(), st.text())
def test_values_are_never_read_as_places(others: list[str], model: str, session: str) -> None:
    runtime = AgentRuntime(
        command=("agent", *(text for text in others if "{" not in text), "{model}{session}")
    )

    found = arguments(runtime, model=model, session=session)

    assert (found[-1] == model + session) if model and session else (len(found) == len(runtime.command) - 1)


@pytest.mark.parametrize("name", SHIPPED_RUNTIMES)
def test_no_program_gets_the_brief_as_an_argument(name: str) -> None:
    runtime = find(name, SHIPPED)

    assert "{prompt}" not in (*runtime.command, *(runtime.resume or ()))
    assert runtime.prompt == "stdin"


def test_a_variable_can_name_a_file_that_ships() -> None:
    path = find("gemini", SHIPPED).env["GEMINI_CLI_SYSTEM_DEFAULTS_PATH"]
    file = Path(path.replace("{shipped}", str(launch.SHIPPED)))
    assert json.loads(file.read_text()) == {"general": {"maxAttempts": 1}}
