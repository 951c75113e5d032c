"""Sections about statuses: the flows of tasks and features, and what the flows allow."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from orchestrator.config.schema.section import Section
from orchestrator.model import flows
from orchestrator.model.fields import Tag


class FlowMapping(Section):
    """Which flow a task or feature with one of these tags takes."""

    tags: tuple[Tag, ...] = Field(min_length=1, description="any of these tags")
    flow: str = Field(description="takes this flow")


class TaskProgression(Section):
    """The status flows of tasks."""

    flows: Mapping[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(flows.SHIPPED_FLOWS),
        description="each flow's statuses, in order; laid over the five that ship",
    )
    flow_mappings: tuple[FlowMapping, ...] = Field(
        default=(
            FlowMapping(tags=("hotfix", "emergency"), flow="hotfix"),
            FlowMapping(tags=("bug", "bugfix"), flow="bug_fix"),
            FlowMapping(tags=("needs-review",), flow="with_review"),
            FlowMapping(tags=("documentation", "docs"), flow="documentation"),
        ),
        description="the first one that matches a tag decides; none: the flow default",
    )
    emergency_transitions: tuple[str, ...] = Field(
        default=("blocked", "on-hold", "cancelled", "deferred"),
        description="where a person may send a task from any status that is not terminal",
    )
    terminal_statuses: tuple[str, ...] = Field(
        default=("completed", "cancelled"), description="a task does not leave these"
    )


class FeatureProgression(Section):
    """The status flows of features."""

    flows: Mapping[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(flows.SHIPPED_FEATURE_FLOWS),
        description="each flow's statuses, in order; laid over the four that ship",
    )
    flow_mappings: tuple[FlowMapping, ...] = Field(
        default=(
            FlowMapping(tags=("prototype", "spike"), flow="rapid_prototype"),
            FlowMapping(tags=("experiment",), flow="experimental"),
            FlowMapping(tags=("needs-review",), flow="with_review"),
        ),
        description="the first one that matches a tag decides; none: the flow default",
    )


class StatusProgression(Section):
    """How tasks and features pass through their statuses."""

    tasks: TaskProgression = Field(
        default=TaskProgression(), description="flows of tasks, and who takes which"
    )
    features: FeatureProgression = Field(
        default=FeatureProgression(), description="flows of features, and which takes which"
    )


class StatusValidation(Section):
    """Moves that the flows allow beside going forward step by step."""

    enforce_sequential: bool = Field(
        default=True, description="a person advances a task one status at a time, and skips none"
    )
    allow_backward: bool = Field(
        default=True, description="changes may be requested, and failed gates send a task back"
    )
    allow_emergency: bool = Field(
        default=True, description="a person may block, hold, defer or cancel from anywhere"
    )
    validate_prerequisites: bool = Field(
        default=True, description="a person cannot advance a task before its dependencies are resolved"
    )
