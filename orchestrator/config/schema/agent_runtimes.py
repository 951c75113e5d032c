"""The description of an agent's program: its command line, and how its output is read.

It is apart from the other sections, because most programs never read one, and start faster so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from orchestrator.config.schema.section import Section

Pointer = Annotated[str, Field(pattern=r"^(/[^/]+)*$")]
"""A JSON pointer (RFC 6901) into an event."""

When = Mapping[Pointer, Any]
"""The values by which an event is recognised, by where they stand in it."""


class EventText(Section):
    """An event that has a text."""

    when: When = Field(default_factory=dict, description="the event: pointer: value")
    at: Pointer = Field(description="where the text stands in it")


class EventResult(Section):
    """The last event of a run, and what stands in it."""

    when: When = Field(description="the event: pointer: value")
    text: Pointer | None = Field(default=None, description="its final message")
    structured: Pointer | None = Field(default=None, description="its answer in the form that was asked for")
    usage: Pointer | None = Field(default=None, description="its usage")
    models: Pointer | None = Field(default=None, description="its usage by model: a mapping")
    cost: Pointer | None = Field(default=None, description="its cost in dollars")
    error: Pointer | None = Field(default=None, description="true where it failed, whatever else it says")
    status: Pointer | None = Field(
        default=None, description="the status code of the model's API, where it failed"
    )
    subtype: Pointer | None = Field(default=None, description="a word for how it ended")
    denials: Pointer | None = Field(default=None, description="the tools that were refused: a list")


class UsageFields(Section):
    """Where the numbers stand in a usage."""

    input: Pointer = "/input_tokens"
    cache_read: Pointer | None = None
    cache_write: Pointer | None = None
    output: Pointer = "/output_tokens"
    reasoning: Pointer | None = None
    requests: Pointer | None = None
    cost: Pointer | None = None
    includes_cache: bool = Field(default=False, description="`input` counts what came from a cache, too")
    scope: Literal["turn", "run", "session"] = Field(
        default="run",
        description="what a usage counts: one request (they are added), the run, or the whole conversation",
    )


class AgentRuntime(Section):
    """The command line of an agent, and how its output is read. Any program can be described so."""

    command: tuple[str, ...] = Field(
        min_length=1,
        description="program and arguments; {model}, {session}, {budget}, {schema}, {schema_file}, {outcome_file}, "
        "{allow}, {deny} stand for values; an argument whose value is empty is left out, with the one before it",
    )
    resume: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the same, to go on with a conversation"
    )
    unsafe: tuple[str, ...] = Field(default=(), description="arguments that are added where unsafe is true")
    prompt: Literal["stdin", "file"] = Field(
        default="stdin", description="how it gets the brief: by stdin, or in the file {prompt_file}"
    )
    events: Literal["jsonl", "json", "none"] = Field(default="jsonl", description="the form of its output")
    session: Pointer | None = Field(default=None, description="where an event names the conversation")
    chooses_session: bool = Field(
        default=False, description="it takes {session} at its start: a UUID that we choose"
    )
    any_folder: bool = Field(
        default=False, description="it can go on with a conversation from another folder"
    )
    final: EventResult | None = None
    text: tuple[EventText, ...] = Field(default=(), description="events with what it says")
    tool: tuple[EventText, ...] = Field(default=(), description="events that name a tool it uses")
    error: tuple[EventText, ...] = Field(default=(), description="events with an error")
    model: EventText | None = Field(default=None, description="an event that names the model")
    turn: EventText | None = Field(
        default=None, description="events with the usage of a request (at: the usage)"
    )
    usage: UsageFields = UsageFields()
    rate_limited: tuple[str, ...] = Field(
        default=(), description="texts of an error: the model's limit is reached"
    )
    login: tuple[str, ...] = Field(default=(), description="texts of an error: not logged in")
    outage: tuple[str, ...] = Field(default=(), description="texts of an error: the model cannot be reached")
    denied: tuple[str, ...] = Field(default=(), description="texts of an error: a tool was refused")
    over_budget: tuple[str, ...] = Field(
        default=(), description="texts of an error: its budget or turns are used up"
    )
    lost_session: tuple[str, ...] = Field(
        default=(), description="texts of an error: the conversation is not there"
    )
    exit_codes: Mapping[int, Literal["login", "rate-limited", "outage", "over-budget", "denied"]] = Field(
        default_factory=dict, description="exit codes that say what happened"
    )
    env: Mapping[str, str] = Field(default_factory=dict, description="variables that it always gets")
    pass_env: tuple[str, ...] = Field(
        default=(), description="variables of the worker that it gets: its own key"
    )

    @field_validator("text", "tool", "error", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return [value] if isinstance(value, Mapping) else value
