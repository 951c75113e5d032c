"""Settings come from the file, the environment goes before it, and a mistake says what would be right."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import orchestrator
from orchestrator.config import configuration
from orchestrator.config.folder import ENV_PREFIX, FILE, FOLDER
from orchestrator.config.schema.section import Section
from orchestrator.config.schema.specialists import SHIPPED_SPECIALISTS, SpecialistSettings
from orchestrator.config.settings import Settings
from orchestrator.config.template import template
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task

pytestmark = pytest.mark.bounds


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no variables of ours."""
    for variable in list(os.environ):
        if variable.startswith(ENV_PREFIX):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, folder: Path | None = None) -> Path:
    file = (folder or Path.cwd()) / FOLDER / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def mistakes(text: str = "") -> list[str]:
    if text:
        write(text)
    with pytest.raises(errors.InvalidConfiguration) as caught:
        configuration.load()
    return [line.strip() for line in str(caught.value.mistakes).splitlines()]


# Where settings come from


def test_without_a_file_everything_is_at_its_default() -> None:
    settings = configuration.load()

    assert settings == Settings()
    assert settings.parallelism.max_parallel_tasks == 5
    assert settings.is_embedded
    assert settings.inline_commands


@pytest.mark.parametrize("number", ["true", "1_0", "1:30"])
def test_what_is_no_number_in_yaml_1_2_is_none_in_the_configuration(number: str) -> None:
    assert mistakes(f"parallelism: {{max_parallel_tasks: {number}}}")[0].startswith(
        "parallelism.max_parallel_tasks"
    )


def test_numbers_anchors_and_merges_of_the_configuration_are_those_of_a_feature_file() -> None:
    write(
        "x-gpu: &gpu {timeout: 010}\nx-slow: &slow {timeout: 1h, concurrency: 2}\n"
        "specialists:\n  reviewer: {<<: *gpu, <<: *slow}\n"
    )

    reviewer = configuration.load().specialists["reviewer"]

    assert (reviewer.timeout, reviewer.concurrency) == (10, 2)


@pytest.mark.parametrize("text", ["", "# nothing\n", "parallelism:\nredis:\nspecialists:\n"])
def test_an_empty_file_changes_nothing(text: str) -> None:
    write(text)

    assert configuration.load() == Settings()


def test_the_file_changes_what_it_says_and_nothing_else() -> None:
    write("parallelism: {max_parallel_tasks: 8}\nredis: {url: 'redis://localhost/1'}")

    settings = configuration.load()

    assert (settings.parallelism.max_parallel_tasks, settings.parallelism.auto_launch) == (8, True)
    assert not settings.is_embedded
    assert not settings.inline_commands


def test_the_nearest_folder_upwards_is_in_force(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("parallelism: {max_parallel_tasks: 8}")
    below = folder / "deep" / "down"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert configuration.load().parallelism.max_parallel_tasks == 8
    assert configuration.load().folder == folder.resolve() / FOLDER
    assert configuration.load().log_folder == folder.resolve() / FOLDER / "logs"


def test_a_variable_may_name_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("parallelism: {max_parallel_tasks: 8}")
    (folder / "other.yaml").write_text("parallelism: {max_parallel_tasks: 9}")
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(folder / "other.yaml"))

    assert configuration.load().parallelism.max_parallel_tasks == 9


def test_a_named_file_that_is_missing_is_a_mistake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_CONFIG", str(folder / "none.yaml"))

    with pytest.raises(errors.InvalidConfiguration, match=r"none.yaml cannot be used.*\n  No such file"):
        configuration.load()


def test_the_environment_goes_before_the_file_setting_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    write("parallelism: {max_parallel_tasks: 8, auto_launch: false}")
    monkeypatch.setenv("TASKORCHESTRATOR_PARALLELISM__MAX_PARALLEL_TASKS", "9")
    monkeypatch.setenv("TASKORCHESTRATOR_IMPORTS", '["my.specialists"]')

    settings = configuration.load()

    assert (settings.parallelism.max_parallel_tasks, settings.parallelism.auto_launch) == (9, False)
    assert settings.imports == ("my.specialists",)


def test_the_origin_of_a_setting_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    data = configuration.read(write("parallelism: {max_parallel_tasks: 8, auto_launch: false}"))
    monkeypatch.setenv("TASKORCHESTRATOR_PARALLELISM__MAX_PARALLEL_TASKS", "9")
    monkeypatch.setenv("TASKORCHESTRATOR_LIMITS", '{"tasks": 7}')

    assert configuration.origin(("parallelism", "max_parallel_tasks"), data) == "environment"
    assert configuration.origin(("parallelism", "auto_launch"), data) == "file"
    assert configuration.origin(("parallelism", "respect_dependencies"), data) == "default"
    assert configuration.origin(("limits", "tasks"), data) == "environment"
    assert configuration.origin(("logs",), data) == "default"


# Specialists


def test_what_a_file_says_of_a_specialist_is_laid_over_what_ships() -> None:
    write("specialists: {senior-engineer: {command: [work, hard]}, code-reviewer: {model_tier: best}}")

    settings = configuration.load()

    senior = settings.specialists["senior-engineer"]
    assert (senior.command, senior.title, senior.model_tier) == (
        ("work", "hard"),
        "Senior Engineer",
        "sonnet",
    )
    assert set(SHIPPED_SPECIALISTS) < set(settings.specialists)
    assert (settings.title("code-reviewer"), settings.queue("code-reviewer")) == (
        "Code Reviewer",
        "code-reviewer",
    )


def test_specialists_made_in_python_are_laid_over_too() -> None:
    settings = Settings(specialists={"senior-engineer": SpecialistSettings(command=("work",), queue="slow")})

    assert settings.specialists["senior-engineer"].command == ("work",)
    assert (settings.title("senior-engineer"), settings.queue("senior-engineer")) == (
        "Senior Engineer",
        "slow",
    )


def test_tags_in_the_file_are_laid_over_those_that_ship() -> None:
    write("specialist_routing: {mapping: {Bug: feature-architect, ' own ': senior-engineer}}")

    mapping = configuration.load().specialist_routing.mapping

    assert (mapping["bug"], mapping["own"], mapping["backend"]) == (
        "feature-architect",
        "senior-engineer",
        "implementation-specialist",
    )


# Mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paralelism: {}", "paralelism: unknown setting; did you mean parallelism?"),
        ("_env_file: x", "_env_file: unknown setting; there are parallelism, "),
        ("self: x", "self: unknown setting; "),
        ("1: x", "1: unknown setting; "),
        (
            "parallelism: {max_paralel_tasks: 3}",
            "parallelism.max_paralel_tasks: unknown setting; did you mean max_p",
        ),
        ("specialists: {x: {comand: [a]}}", "specialists.x.comand: unknown setting; did you mean command?"),
        (
            "parallelism: {max_parallel_tasks: 0}",
            "parallelism.max_parallel_tasks ('0'): should be greater than or",
        ),
        (
            "parallelism: {respect_dependencies: false}",
            "parallelism.respect_dependencies ('false'): cannot be false",
        ),
        ("parallelism: fast", "parallelism ('fast'): is a section; write its settings below it"),
        ("imports: a", "imports ('a'): write a list, such as [one, two]"),
        ("specialists: [a]", "specialists: write `name: value` lines below it"),
        ("specialists: {senior-engineer: work}", "specialists.senior-engineer ('work'): is a section"),
        (
            "specialists: {x: {command: [a], python: 'a:b'}}",
            "specialists.x: has both a command and a python callable",
        ),
        (
            "specialists: {x: {timeout: 9x}}",
            "specialists.x.timeout ('9x'): a duration is a number of seconds or",
        ),
        (
            "specialists: {Big_Boss: {}}",
            "specialists.Big_Boss ('Big_Boss'): a name has small letters, digits",
        ),
        ('specialists: {"x\\n": {}}', "specialists.x"),
        ("redis: {url: 'http://x'}", "redis.url: is no Redis URL; write redis://host:6379/0"),
        (
            "specialist_routing: {mapping: {bug: senior-enginer}}",
            "specialist_routing.mapping.bug ('senior-enginer'): no specialist is called senior-enginer; "
            "did you mean senior-engineer?",
        ),
        (
            "specialist_routing: {default: x}",
            "specialist_routing.default ('x'): no specialist is called x; there are",
        ),
        (
            "specialist_routing: {fallback: ask}",
            "specialist_routing.fallback ('ask'): should be 'use_default' or 'ask",
        ),
        ("- a", "Write `section:` and its settings below it."),
        ("a: [", "line 1: "),
        ("[" * 10_000, "it is no UTF-8 text in YAML"),
    ],
)
def test_a_mistake_says_where_and_what_would_be_right(text: str, said: str) -> None:
    assert mistakes(text)[0].startswith(said)


def test_all_mistakes_are_listed_at_once() -> None:
    found = mistakes("""
        paralelism: {}
        parallelism: {max_parallel_tasks: 0}
        limits: {tasks: -1, files: 2}
    """)

    assert [line.split(" ")[0].rstrip(":") for line in found] == [
        "paralelism",
        "parallelism.max_parallel_tasks",
        "limits.tasks",
        "limits.files",
    ]


def test_all_names_that_no_specialist_has_are_listed_at_once() -> None:
    found = mistakes("specialist_routing: {default: x, mapping: {bug: y, own: z}}")

    assert [line.split(" ")[0] for line in found] == [
        "specialist_routing.default",
        "specialist_routing.mapping.bug",
        "specialist_routing.mapping.own",
    ]


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_PARALLELISM__MAX_PARALLEL_TASKS", "many")

    assert mistakes()[0].startswith(
        "parallelism.max_parallel_tasks ('many') from $TASKORCHESTRATOR_PARALLELISM__MAX_PARALLEL_TASKS: should be"
    )


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_IMPORTS", "a,b")

    assert mistakes() == [
        '$TASKORCHESTRATOR_IMPORTS: is no JSON; write a list as ["one", "two"], a section as {"name": "value"}'
    ]


# Secrets


@pytest.mark.parametrize(
    "text",
    [
        "redis: {url: 'http://:hunter2@host'}",
        "redis: {password: hunter2}",
        "redis: redis://:hunter2@host",
        "redis_url: redis://:hunter2@host",
        "broker: {url: [hunter2]}",
        "broker: {urll: hunter2}",
        "specialists: {x: {env: {TOKEN: [hunter2]}}}",
        "specialists: {x: {env: hunter2}}",
        "specialists: {x: {envv: hunter2}}",
        "redis: {url: 'redis://:hunter2@host'\nlimits: x: y",
        "redis: {url: 'redis://:hunter2@host'}\nlimits: {tasks: 0}",
    ],
)
def test_no_message_holds_a_secret(text: str) -> None:
    assert "hunter2" not in "".join(mistakes(text))


def test_no_message_of_pydantic_holds_a_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(redis={"url": "hunter2"})

    assert "hunter2" not in str(caught.value)


def test_no_secret_of_the_environment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS", '{"url": hunter2}')
    assert "hunter2" not in "".join(mistakes())
    monkeypatch.setenv("TASKORCHESTRATOR_REDIS", '{"url": "hunter2"}')
    assert "hunter2" not in "".join(mistakes())


def test_secrets_are_not_in_the_repr() -> None:
    write("redis: {url: 'redis://:hunter2@host'}\nspecialists: {x: {env: {TOKEN: hunter2}}}")

    settings = configuration.load()

    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://:hunter2@host"


# The template


def test_the_template_says_what_is_the_default() -> None:
    write(template())

    assert configuration.load() == Settings()


def test_the_template_says_it_with_every_setting_in_effect() -> None:
    text = re.sub(r"^( *)#(?! \S)", r"\1", template(), flags=re.M)
    file = write(text)

    assert set(configuration.read(file)) == set(Settings.model_fields) - {
        "logs",
        "app",
    }  # null, as they are by default
    assert configuration.load() == Settings()


def test_the_template_has_every_setting_and_explains_it() -> None:
    text = template()

    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            assert re.search(rf"^# .+\n{name}:$", text, re.M), name
            for inner, setting in section.model_fields.items():
                assert setting.description, inner
                assert re.search(rf"^  # .+\n  #{inner}:", text, re.M), f"{name}.{inner}"
        else:
            assert re.search(rf"^#?{name}:", text, re.M), name
    for name in SpecialistSettings.model_fields:
        assert re.search(rf"^# - {name}: .+", text, re.M), name


def test_every_line_of_the_template_is_yaml_or_a_comment() -> None:
    assert set(yaml.safe_load(template())) < set(Settings.model_fields)


# --- status flows, gates, notifications -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "status_progression: {tasks: {flows: {odd: [pending, in-progress, done]}}}",
            "status_progression.tasks.flows.odd .*'done' is no status",
        ),
        (
            "status_progression: {tasks: {flows: {odd: [pending, in-progress, testing]}}}",
            "status_progression.tasks.flows.odd .*it does not end",
        ),
        (
            "status_progression: {features: {flows: {odd: [planning, in-development]}}}",
            "status_progression.features.flows.odd .*it does not end",
        ),
        (
            "status_progression: {tasks: {flow_mappings: [{tags: [x], flow: hotfx}]}}",
            "no flow is called hotfx; did you mean hotfix",
        ),
        (
            "status_progression: {tasks: {emergency_transitions: [testing]}}",
            "no emergency transition leads there",
        ),
        ("error_handling: {escalate_technical_to: senor-engineer}", "did you mean senior-engineer"),
        (
            "quality_gates: {task_gates: {testing: [{name: lint}]}}",
            "needs either a command or a python callable",
        ),
        ("notifications: [{events: [work_faild], log: true}]", "work_failed"),
        ("recovery: {lease: 5s, sweep: 2s}", "lease is shorter than three times sweep"),
        (
            "notifications: [{events: ['*'], log: true, command: [x]}]",
            "exactly one of log, command and webhook",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_the_configuration_loads(text: str, why: str) -> None:
    write(text)
    with pytest.raises(errors.InvalidConfiguration, match=why):
        configuration.load()


def test_tags_choose_the_flow_and_the_first_match_wins() -> None:
    write(
        "status_progression: {tasks: {flow_mappings: [{tags: [a], flow: hotfix}, {tags: [b], flow: bug_fix}]}}"
    )
    settings = configuration.load()
    assert settings.flow_for(["b", "a"]).name == "hotfix"
    assert settings.flow_for(["b"]).name == "bug_fix"
    assert settings.flow_for(["c"]).name == "default"
    assert settings.feature_flow_for(["prototype"]).name == "rapid_prototype"


def test_gates_apply_by_tag_and_only_where_they_are_turned_on() -> None:
    gates = (
        "task_gates: {testing: [{name: all, command: [x]}, {name: backend, command: [y], tags: [backend]}]}"
    )
    write(f"quality_gates: {{{gates}}}")
    assert configuration.load().task_gates("testing", ["backend"]) == ()
    write(f"quality_gates: {{enabled: true, {gates}}}")
    settings = configuration.load()
    assert [gate.name for gate in settings.task_gates("testing", ["backend"])] == ["all", "backend"]
    assert [gate.name for gate in settings.task_gates("testing", ["docs"])] == ["all"]
    assert settings.task_gates("completion", ["backend"]) == ()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "parallelism:\n  max_parallel_tasks: 3\n",
        "specialist_routing:\n  fallback: ask_user\n",
        "# mine\nspecialist_routing:\n  fallback: ask_user\n  mapping:\n    art: feature-architect  # kept\n",
    ],
)
def test_a_choice_is_remembered_and_the_rest_of_the_file_stays(before: str) -> None:
    file = write(before)
    configuration.remember(["logo"], "senior-engineer", configuration.load())
    assert configuration.load().specialist_routing.mapping["logo"] == "senior-engineer"
    assert all(line in file.read_text("utf-8").splitlines() for line in before.splitlines())


def test_a_mapping_that_is_not_written_in_lines_is_left_alone() -> None:
    file = write("specialist_routing: {mapping: {art: feature-architect}}")
    with pytest.raises(errors.CannotRemember, match="logo: senior-engineer"):
        configuration.remember(["logo"], "senior-engineer", configuration.load())
    assert file.read_text("utf-8") == "specialist_routing: {mapping: {art: feature-architect}}"


def test_a_plan_from_python_uses_the_configuration() -> None:
    write("parallelism: {max_parallel_tasks: 3}\nlimits: {tasks: 2}\n")
    tasks = [Task(id=f"T{number}") for number in range(3)]

    assert orchestrator.plan(Feature(title="x", tasks=tasks[:2])).cap == 3
    assert orchestrator.plan(Feature(title="x", tasks=tasks[:2]), cap=1).cap == 1
    with pytest.raises(errors.InvalidFeature, match="at most 2 are allowed"):
        orchestrator.plan(Feature(title="x", tasks=tasks))


def test_a_file_that_is_large_is_refused_before_it_is_read() -> None:
    assert mistakes("#" + "x" * configuration.LARGEST) == ["it is larger than 500,000 bytes"]


def test_of_many_mistakes_some_are_named() -> None:
    text = "specialists:\n" + "".join(f"  s{number}: {{commandx: 1}}\n" for number in range(5_000))
    write(text)
    with pytest.raises(errors.InvalidConfiguration, match="at least 100 mistakes") as caught:
        configuration.load()
    assert str(caught.value).count("unknown setting") == configuration.MOST_SHOWN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resources: {'a b': 1}", "resources.a b ('a b'): a name has at most 63 letters"),
        ("redis: {prefix: 'a b'}", "redis.prefix: write at most 32 letters"),
        ("specialists: {a: {queue: 'a b'}}", "specialists.a.queue ('a b'): write at most 100 letters"),
        ("specialists: {a: {user: joe, agent: {}}}", "specialists.a: has a user and an agent"),
        ("specialists: {a: {user: 'a b'}}", "specialists.a.user ('a b'): write at most 32 small letters"),
        (
            "specialists: {a: {pass_env: ['a b']}}",
            "specialists.a.pass_env.0 ('a b'): write the name of a variable",
        ),
        ("specialists: {a: {python: 'a b'}}", "specialists.a.python ('a b'): write \"package.module:name\""),
    ],
)
def test_the_form_of_a_text_is_said_in_words(text: str, said: str) -> None:
    assert mistakes(text)[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imports: [hooks]", "imports hooks"),
        ("specialists: {reviewer: {command: [x/review.sh, now]}}", "runs x/review.sh"),
        ("specialists: {reviewer: {python: 'review:work'}}", "imports review"),
        ("redis: {redis_server: redis-server-8}", "starts redis-server-8"),
        ("notifications: [{events: ['*'], command: [x/tell.sh]}]", "runs x/tell.sh"),
        (
            "quality_gates: {enabled: true, task_gates: {testing: [{name: g, command: [x/gate.sh]}]}}",
            "runs x/gate.sh",
        ),
        (
            "quality_gates: {enabled: true, feature_gates: {completion: [{name: g, python: 'gates:check'}]}}",
            "imports gates",
        ),
        ("quality_gates: {task_gates: {testing: [{name: g, command: [x/gate.sh]}]}}", ""),
    ],
)
def test_all_that_the_folder_makes_a_command_start_is_said(text: str, said: str) -> None:
    """They say in one line what the configuration makes them import or start: gates and notifications too."""
    write(text)
    assert configuration.load().starts == said
