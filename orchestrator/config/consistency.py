"""Checks of the settings as a whole: what one section names has to be there in another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.config.spelling import NAME_PATTERN
from orchestrator.model import flows, words
from orchestrator.model.flows import FeatureFlow, Flow

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings


def unknown_names(settings: Settings) -> Iterator[InitErrorDetails]:
    """Names of specialists that are badly formed, or that no specialist has."""
    for name in settings.specialists:
        if not re.fullmatch(NAME_PATTERN, name):
            yield _mistake_at(("specialists", name), "a name has small letters, digits and hyphens", name)
    routing = settings.specialist_routing
    used = [("default", routing.default)] + [
        (f"mapping.{tag}", name) for tag, name in routing.mapping.items()
    ]
    used_in = [(("specialist_routing", *setting.split(".", 1)), name) for setting, name in used]
    if settings.error_handling.escalate_technical_to:
        used_in.append(
            (("error_handling", "escalate_technical_to"), settings.error_handling.escalate_technical_to)
        )
    for where, name in used_in:
        if name not in settings.specialists:
            yield _mistake_at(
                where,
                f"no specialist is called {name}{words.did_you_mean(name, settings.specialists)}",
                name,
            )
    yield from _unknown_tiers(settings)
    if settings.agent_runtimes or any(given.agent for given in settings.specialists.values()):
        yield from _unknown_runtimes(settings)
        yield from _without_cap(settings)
    if settings.quality_gates.enabled:
        for where, hook in settings.quality_gates.unknown_hooks():
            text = f"no hook is called {hook}; write `{hook}: [PROGRAM, ARGUMENT]` in quality_gates.hooks"
            yield _mistake_at(("quality_gates", *where), text, hook)
        for where, text in settings.quality_gates.without_command():
            yield _mistake_at(("quality_gates", *where), text, "run_tests")
        for where, name in settings.quality_gates.reviewers():
            if name not in settings.specialists:
                text = f"no specialist is called {name}{words.did_you_mean(name, settings.specialists)}"
                yield _mistake_at(("quality_gates", *where), text, name)
            elif not settings.agent(name):
                text = f"{name} is no agent, and only agents review; give it an `agent`, or make the gate a command"
                yield _mistake_at(("quality_gates", *where), text, name)
    if not settings.notifications:
        return
    from orchestrator.model.event_names import EVENT_NAMES  # late: few folders notify anybody

    for place, told in enumerate(settings.notifications):
        for name in told.events:
            if name not in EVENT_NAMES:
                text = f"no event is called {name}{words.did_you_mean(name, EVENT_NAMES)}"
                yield _mistake_at(("notifications", str(place), "events"), text, name)


def _unknown_tiers(settings: Settings) -> Iterator[InitErrorDetails]:
    if "tiers" not in settings.model_fields_set:
        return
    for name, given in settings.specialists.items():
        named = [("model_tier", given.model_tier)] if given.model_tier is not None else []
        named += [("agent.ladder", tier) for tier in (given.agent.ladder if given.agent else ())]
        for where, tier in named:
            if tier not in settings.tiers:
                text = f"no tier is called {tier}{words.did_you_mean(tier, settings.tiers)}"
                yield _mistake_at(("specialists", name, *where.split(".")), text, tier)


def _unknown_runtimes(settings: Settings) -> Iterator[InitErrorDetails]:
    """Runtimes of agents that are described wrongly, or not at all."""
    from orchestrator.agents import runtimes  # late: few folders have agents

    for path, wrong, value in runtimes.mistakes(settings.agent_runtimes):
        where = ("agent_runtimes", *path)
        if isinstance(wrong, str):
            yield _mistake_at(where, wrong, value)
        elif wrong["type"] == "value_error":  # its text is in an exception, which cannot be passed on
            yield _mistake_at(where, wrong["msg"], value)
        else:
            yield InitErrorDetails(type=wrong["type"], loc=where, input=value, ctx=wrong.get("ctx", {}))
    known = runtimes.known(settings.agent_runtimes)
    for name, given in settings.specialists.items():
        if given.agent and given.agent.runtime not in known:
            wanted = given.agent.runtime
            text = f"no program of an agent is called {wanted}{words.did_you_mean(wanted, known)}"
            yield _mistake_at(("specialists", name, "agent", "runtime"), text, wanted)


def _without_cap(settings: Settings) -> Iterator[InitErrorDetails]:
    """Agents of which one task could keep the whole budget of a feature or a day for itself."""
    held = [name for name in ("feature", "day") if getattr(settings.budgets, name)]
    for name, given in settings.specialists.items():
        is_capped = given.budget is not None and given.budget.cost is not None
        if held and given.agent and not is_capped:
            text = (
                f"say what one of its tasks may cost, in dollars: budgets.{held[0]} holds, and the start of a task "
                "keeps as much of it"
            )
            yield _mistake_at(("specialists", name, "budget", "cost"), text, name)


def broken_flows(settings: Settings) -> Iterator[InitErrorDetails]:
    """Flows through which nothing could pass, and mappings to flows that there are not."""
    progression, emergency = settings.status_progression, list(flows.EMERGENCIES)
    for status in progression.tasks.emergency_transitions:
        if status not in emergency:
            text = f"no emergency transition leads there; choose from {', '.join(emergency)}"
            yield _mistake_at(("status_progression", "tasks", "emergency_transitions"), text, status)
    terminal = frozenset(progression.tasks.terminal_statuses)
    kinds: list[tuple[str, Any, Any]] = [
        ("tasks", progression.tasks, lambda name, statuses: Flow(name, statuses, terminal=terminal)),
        ("features", progression.features, FeatureFlow),
    ]
    for part, section, make in kinds:
        for name, statuses in section.flows.items():
            try:
                make(name, statuses)
            except flows.BadFlow as error:
                yield _mistake_at(
                    ("status_progression", part, "flows", name), str(error), " → ".join(statuses)
                )
        for mapping in section.flow_mappings:
            if mapping.flow not in section.flows:
                text = f"no flow is called {mapping.flow}{words.did_you_mean(mapping.flow, section.flows)}"
                yield _mistake_at(("status_progression", part, "flow_mappings"), text, mapping.flow)


def _mistake_at(where: tuple[str, ...], text: str, value: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("wrong_name", "{text}", {"text": text}), loc=where, input=value
    )
