"""Statuses and flows, from the transition tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.config.settings import Settings
from orchestrator.model.feature import OVER, FeatureStatus
from orchestrator.model.flows import OFF_FLOW, FeatureFlow, Flow
from orchestrator.model.task import RESTING, TaskStatus
from reference.markdown import code, head, table

ABOUT = """\
A task and a feature pass through statuses. A **flow** says in which order; tags choose it
(`status_progression` in the [settings](settings.md#status_progression)). An [event](events.md) moves a
status. An event that the table of a flow does not have cannot happen."""

OF_TASKS: Mapping[TaskStatus, str] = {
    TaskStatus.BACKLOG: "not taken up yet; a worker takes it from here too",
    TaskStatus.PENDING: "waits for its turn, a free slot, or a retry",
    TaskStatus.IN_PROGRESS: "a worker holds it",
    TaskStatus.IN_REVIEW: "done; a person approves it or requests changes",
    TaskStatus.CHANGES_REQUESTED: "a person sent it back to its specialist",
    TaskStatus.TESTING: "its quality gates run",
    TaskStatus.BLOCKED: "cannot go on until somebody removes an obstacle",
    TaskStatus.ON_HOLD: "a person put it on hold",
    TaskStatus.FAILED: "its attempts went wrong, and no retry is left",
    TaskStatus.COMPLETED: "done",
    TaskStatus.CANCELLED: "given up; a skipped task is cancelled and resolved",
    TaskStatus.DEFERRED: "put off",
}

OF_FEATURES: Mapping[FeatureStatus, str] = {
    FeatureStatus.DRAFT: "being written; no shipped flow has it",
    FeatureStatus.PLANNING: "stored; nothing has started",
    FeatureStatus.IN_DEVELOPMENT: "its tasks run",
    FeatureStatus.TESTING: "all tasks are resolved; its gates in testing run",
    FeatureStatus.VALIDATING: "its gates before completion run",
    FeatureStatus.PENDING_REVIEW: "waits for `orchestrator approve ID`",
    FeatureStatus.BLOCKED: "a task failed or is blocked",
    FeatureStatus.ON_HOLD: "paused, or a task waits for a person",
    FeatureStatus.COMPLETED: "done",
    FeatureStatus.CANCELLED: "a person cancelled it",
    FeatureStatus.FAILED: "a person gave it up",
    FeatureStatus.ARCHIVED: "the end of an experiment",
}


def page() -> str:
    """docs/reference/statuses.md."""
    settings = Settings()
    tasks, features = settings.status_progression.tasks, settings.status_progression.features
    lines = head("Statuses and flows", ABOUT)
    lines += ["", "## Statuses of a task"]
    rows = [
        [code(status), OF_TASKS[status], "a person" if status in RESTING else _end(status in tasks.terminal_statuses)]
        for status in TaskStatus
    ]  # fmt: skip
    lines += table(["status", "meaning", "waits for"], rows)
    lines += ["", "## Flows of tasks"]
    lines += _flows(settings.flows, [(mapping.flow, mapping.tags) for mapping in tasks.flow_mappings])
    also = ", ".join(code(status) for status in TaskStatus if status in OFF_FLOW)
    lines += ["", f"Every flow has these statuses too: {also}."]
    lines += ["", "### Transitions of a task", "", "Of the flow `with_review`, which has every status:"]
    lines += _transitions(settings.flows["with_review"].table, len(TaskStatus))
    lines += [
        "",
        "## Statuses of a feature",
        "",
        "They follow from its tasks, except for what a person asks for.",
    ]
    lines += table(
        ["status", "meaning", ""],
        [[code(status), OF_FEATURES[status], _end(status in OVER)] for status in FeatureStatus],
    )
    lines += ["", "## Flows of features"]
    lines += _flows(settings.feature_flows, [(one.flow, one.tags) for one in features.flow_mappings])
    lines += ["", "### Transitions of a feature", "", "Of the flow `with_review`, with gates in both stages:"]
    lines += _transitions(settings.feature_flows["with_review"].table(("testing", "validating")), None)
    return "\n".join(lines) + "\n"


def _end(is_end: bool) -> str:
    return "nothing: it is over" if is_end else ""


def _flows(
    flows: Mapping[str, Flow] | Mapping[str, FeatureFlow], mappings: Iterable[tuple[str, Iterable[str]]]
) -> list[str]:
    tags = {name: ", ".join(code(tag) for tag in tags) for name, tags in mappings}
    rows = [
        [code(name), " → ".join(flow.statuses), tags.get(name, "all others" if name == "default" else "")]
        for name, flow in flows.items()
    ]
    return table(["flow", "statuses", "tags"], rows)


def _transitions(arrows: Mapping[str, Mapping[str, str]] | Mapping, everywhere: int | None) -> list[str]:  # type: ignore[type-arg]
    rows = []
    for event, arrow in arrows.items():
        for target in dict.fromkeys(arrow.values()):
            sources = [source for source, leads_to in arrow.items() if leads_to == target]
            rows.append([code(event), ", ".join(sources), target])
    return table(["event", "from", "to"], rows)
