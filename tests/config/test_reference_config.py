"""The reference configuration works as it is written: other names of settings, titles, hooks, agent-mapping.yaml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.config import agent_mapping, configuration
from orchestrator.config.folder import ENV_PREFIX, FILE, FOLDER
from orchestrator.config.schema.operation import ErrorHandling
from orchestrator.config.schema.specialists import SpecialistRouting
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.task import Task
from orchestrator.planning import limits, routing

pytestmark = pytest.mark.bounds

REFERENCE = """
parallelism:
  max_parallel_tasks: 5
  auto_launch: true
  respect_dependencies: true
specialist_routing:
  fallback_behavior: "use_default"
  default_specialist: "Implementation Specialist"
quality_gates:
  enabled: false
  task_gates:
    testing:
      hook: "run_tests"
      required: true
    completion:
      hook: "validate_summary"
      required: false
"""

AGENTS = """
backend: Implementation Specialist (Haiku)
testing: implementation specialist (haiku)
docs: Implementation Specialist
bug: Senior Engineer (Sonnet)
feature-creation: Feature Architect (Opus)
planning: Planning Specialist (Sonnet)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no variables of ours."""
    for variable in list(os.environ):
        if variable.startswith(ENV_PREFIX):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    (tmp_path / FOLDER).mkdir()
    return tmp_path / FOLDER


def load(folder: Path, text: str = "", agents: str = "") -> Settings:
    (folder / FILE).write_text(text, "utf-8")
    if agents:
        (folder / agent_mapping.FILE).write_text(agents, "utf-8")
    return configuration.load()


def mistakes(folder: Path, text: str = "", agents: str = "") -> str:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        load(folder, text, agents)
    return str(caught.value)


def tiers(settings: Settings) -> dict[str, str | None]:
    return {name.split("-")[0]: given.model_tier for name, given in settings.specialists.items()}


# The reference configuration


def test_the_reference_configuration_is_accepted_as_it_is_written(folder: Path) -> None:
    settings = load(folder, REFERENCE)

    routing = settings.specialist_routing
    assert (routing.fallback, routing.default) == ("use_default", "implementation-specialist")
    gates = settings.quality_gates.task_gates
    assert [(gate.name, gate.required) for gate in (*gates.testing, *gates.completion)] == [
        ("run_tests", True),
        ("validate_summary", False),
    ]


def test_its_gates_run_the_hooks_of_their_names(folder: Path) -> None:
    hooks = "  hooks: {run_tests: [pytest, -q], validate_summary: 'checks:summary'}"
    settings = load(folder, REFERENCE.replace("enabled: false", "enabled: true") + hooks)

    (testing,), (completion,) = settings.task_gates("testing", []), settings.task_gates("completion", [])
    assert (testing.name, testing.command, testing.required) == ("run_tests", ("pytest", "-q"), True)
    assert (completion.python, completion.command, completion.required) == ("checks:summary", None, False)


def test_a_gate_that_is_on_and_has_nothing_to_run_is_refused_with_its_place(folder: Path) -> None:
    """validate_summary ships; run_tests does too, but which command runs them is not known."""
    found = mistakes(folder, REFERENCE.replace("enabled: false", "enabled: true"))

    assert "1 mistake" in found
    assert "quality_gates.task_gates.testing.0.hook ('run_tests'): needs a command: write" in found


def test_gates_whose_hooks_nobody_defined_are_refused_each_with_its_place(folder: Path) -> None:
    unknown = REFERENCE.replace("run_tests", "run_all").replace("validate_summary", "spell")
    found = mistakes(folder, unknown.replace("enabled: false", "enabled: true"))

    assert "2 mistakes" in found
    assert "quality_gates.task_gates.testing.0.hook ('run_all'): no hook is called run_all; write" in found
    assert "quality_gates.task_gates.completion.0.hook ('spell')" in found


@pytest.mark.parametrize("stage", ["task_gates: {testing", "feature_gates: {completion"])
def test_one_gate_may_be_written_without_a_list(folder: Path, stage: str) -> None:
    alone = load(folder, f"quality_gates: {{{stage}: {{name: lint, command: [ruff]}}}}}}")
    listed = load(folder, f"quality_gates: {{{stage}: [{{name: lint, command: [ruff]}}]}}}}")

    assert alone == listed


# Other names


@pytest.mark.parametrize(
    ("name", "value", "variable"),
    [
        ("fallback_behavior", "use_default", "FALLBACK"),
        ("fallback", "use_default", "FALLBACK_BEHAVIOR"),
    ],
)
def test_a_variable_goes_before_the_file_however_both_are_spelt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, variable: str
) -> None:
    monkeypatch.setenv(f"TASKORCHESTRATOR_SPECIALIST_ROUTING__{variable}", "ask_user")

    assert load(folder, f"specialist_routing: {{{name}: {value}}}").specialist_routing.fallback == "ask_user"


def test_a_variable_goes_before_a_rate_in_celerys_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_SPECIALISTS", '{"writer": {"rate": "9/m"}}')

    assert load(folder, "specialists: {writer: {rate_limit: 3/m}}").specialists["writer"].rate == "9/m"


def test_both_names_at_once_are_one_setting_or_a_mistake(folder: Path) -> None:
    both = "specialist_routing: {{fallback: use_default, fallback_behavior: {0}}}"

    assert load(folder, both.format("use_default")).specialist_routing.fallback == "use_default"
    assert "has both fallback and fallback_behavior" in mistakes(folder, both.format("ask_user"))


# Titles


def test_a_specialist_may_be_named_by_its_title_wherever_one_is_named(folder: Path) -> None:
    settings = load(
        folder,
        """
        specialists:
          Senior Engineer: {command: [work]}
          QA Lead: {concurrency: 2}
          reviewer: {title: Code Reviewer}
        specialist_routing:
          default: qa lead
          mapping: {bug: senior engineer, review: Code Reviewer}
        error_handling: {escalate_technical_to: Code Reviewer}
        """,
    )

    assert settings.specialists["senior-engineer"].command == ("work",)
    assert (settings.title("senior-engineer"), settings.title("qa-lead")) == ("Senior Engineer", "QA Lead")
    mapping = settings.specialist_routing.mapping
    assert (settings.specialist_routing.default, mapping["bug"], mapping["review"]) == (
        "qa-lead",
        "senior-engineer",
        "reviewer",
    )
    assert settings.error_handling.escalate_technical_to == "reviewer"
    assert routing.recommend(Task(id="T1", specialist="CODE REVIEWER"), settings).specialist == "reviewer"
    assert limits.change("specialist:QA Lead", "3", settings) == ("specialist:qa-lead", "3")
    assert limits.change("rate:code reviewer", "3/m", settings)[0] == "rate:reviewer"


def test_settings_made_in_python_take_titles_too() -> None:
    settings = Settings(
        specialist_routing=SpecialistRouting(default="Senior Engineer"),
        error_handling=ErrorHandling(escalate_technical_to="Senior Engineer"),
    )

    assert settings.specialist_routing.default == "senior-engineer"
    assert settings.error_handling.escalate_technical_to == "senior-engineer"
    assert "backend" in settings.specialist_routing.mapping


def test_a_specialist_that_is_written_twice_is_refused(folder: Path) -> None:
    twice = "specialists: {senior-engineer: {queue: a}, Senior Engineer: {queue: b}}"

    assert "specialists.Senior Engineer ('Senior Engineer'): a name has small letters" in mistakes(
        folder, twice
    )


# agent-mapping.yaml, and tiers


def test_an_agent_mapping_beside_the_file_routes_and_gives_each_specialist_its_tier(folder: Path) -> None:
    settings = load(folder, REFERENCE, AGENTS)

    mapping = settings.specialist_routing.mapping
    assert (mapping["docs"], mapping["bug"]) == ("implementation-specialist", "senior-engineer")
    assert tiers(settings) == {
        "implementation": "haiku",
        "senior": "sonnet",
        "feature": "opus",
        "planning": "sonnet",
    }
    assert list(settings.tiers) == ["haiku", "sonnet", "opus"]


def test_an_agent_mapping_needs_no_config_file_and_stands_beside_one_that_a_variable_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / agent_mapping.FILE).write_text("art: Senior Engineer (Opus)")
    assert configuration.load().specialist_routing.mapping["art"] == "senior-engineer"

    (tmp_path / "mine.yaml").write_text("specialists: {reviewer: {title: Code Reviewer}}")
    (tmp_path / agent_mapping.FILE).write_text("art: Code Reviewer (Local 7B)")
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(tmp_path / "mine.yaml"))
    settings = configuration.load()
    assert settings.specialist_routing.mapping["art"] == "reviewer"
    assert settings.specialists["reviewer"].model_tier == "local 7b"
    assert "local 7b" in settings.tiers


def test_the_configuration_goes_before_the_agent_mapping(folder: Path) -> None:
    text = """
    specialist_routing: {mapping: {bug: Planning Specialist}}
    specialists: {senior-engineer: {model_tier: opus}}
    """

    settings = load(folder, text, AGENTS)

    assert settings.specialist_routing.mapping["bug"] == "planning-specialist"
    assert tiers(settings)["senior"] == "opus"


def test_tiers_are_named_as_the_operator_likes(folder: Path) -> None:
    text = """
    tiers: {Small: {claude: haiku, codex: gpt-5-mini}, Large: local-70b}
    specialists: {senior-engineer: {model_tier: Large}}
    """

    settings = load(folder, text, "art: Feature Architect (large)\nui: Implementation Specialist (Small)")

    assert tiers(settings) == {
        "implementation": "Small",
        "senior": "Large",
        "feature": "Large",
        "planning": None,
    }
    assert list(settings.tiers) == ["Small", "Large"]
    assert "no tier is called Lrge; did you mean" in mistakes(
        folder, text.replace("model_tier: Large", "model_tier: Lrge")
    )


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        (
            "bug: Senor Engineer (Opus)",
            "specialist_routing.mapping.bug ('Senor Engineer') from agent-mapping.yaml: no",
        ),
        ("bug: [Senior Engineer]", "bug: write `bug: Implementation Specialist (Haiku)`"),
        ("bug: Senior Engineer (", "bug: write `bug: "),
        (
            "a: Senior Engineer (Opus)\nb: senior engineer (Haiku)",
            "b: senior engineer has the model Haiku here, and Opus",
        ),
        ("- bug", "Write `section:`"),
    ],
)
def test_a_mistake_in_an_agent_mapping_is_named(folder: Path, agents: str, said: str) -> None:
    found = mistakes(folder, "", agents)

    assert said in found
    assert agent_mapping.FILE in found
