"""The description of an agent's program: its command line, and how its output is read.

It is apart from the other sections, because most programs never read one, and start faster so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from orchestrator.config.schema.section import Section


def _in_a_list(value: object) -> object:
    """One may be written alone."""
    return [value] if isinstance(value, str | Mapping) else value


Pointer = Annotated[str, Field(pattern=r"^(/[^/]+)*$")]
"""A JSON pointer (RFC 6901) into an event."""

Pointers = Annotated[tuple[Pointer, ...], BeforeValidator(_in_a_list)]
"""Several, of which the first that leads to a value counts."""

When = Mapping[Pointer, Any]
"""The values by which an event is recognised, by where they stand in it."""

Happened = Literal["login", "rate-limited", "outage", "over-budget", "denied"]


class EventText(Section):
    """An event that has a text."""

    when: When = Field(default_factory=dict, description="the event: pointer: value")
    each: Pointer | None = Field(
        default=None, description="a list in the event whose items are looked at: then `at` starts at an item"
    )
    item: When = Field(default_factory=dict, description="the items of that list: pointer: value")
    at: Pointer = Field(description="where the text stands")
    id: Pointer | None = Field(
        default=None, description="where the id of a tool's use stands: events with the same one are one use"
    )
    detail: Pointers = Field(default=(), description="what a tool is used on: the first that is there")
    adds: Pointer | None = Field(
        default=None, description="where true stands if the text goes on with the one before it"
    )


class EventUsage(Section):
    """An event with the usage of one request to the model."""

    when: When = Field(description="the event: pointer: value")
    at: Pointer = Field(description="where the usage stands")
    id: Pointer | None = Field(
        default=None, description="where the request's id stands: events with the same one are one request"
    )
    goes_on: bool = Field(
        default=False, description="it has no id, and tells more of the request in the event before it"
    )
    thread: Pointer | None = Field(
        default=None, description="where several agents work at once, the one that it is of: for goes_on"
    )
    model: Pointer | None = Field(default=None, description="where its model stands")


class EventResult(Section):
    """The last event of a run, and what stands in it."""

    when: When = Field(default_factory=dict, description="the event: pointer: value")
    text: Pointer | None = Field(default=None, description="its final message")
    structured: Pointer | None = Field(default=None, description="its answer in the form that was asked for")
    usage: Pointer | None = Field(default=None, description="its usage")
    models: Pointer | None = Field(default=None, description="its usage by model: a mapping")
    cost: Pointer | None = Field(default=None, description="its cost in dollars, all models together")
    turns: Pointer | None = Field(default=None, description="how many requests there were")
    failed: When = Field(
        default_factory=dict,
        description="how it says that the run failed, whatever else it says: pointer: value",
    )
    status: Pointer | None = Field(
        default=None, description="the status code of the model's API, where it failed"
    )
    subtype: Pointer | None = Field(default=None, description="a word for how it ended")
    denials: Pointer | None = Field(
        default=None, description="the tools that were refused: a list of mappings"
    )
    denied_tool: Pointer = Field(default="/tool_name", description="in one of these: the tool")
    denied_use: Pointers = Field(
        default=("/tool_input/command",), description="in one of these: the command that the tool was to run"
    )


class UsageFields(Section):
    """Where the numbers stand in a usage."""

    input: Pointers = Field(default=("/input_tokens",), description="tokens read")
    cache_read: Pointers = Field(default=(), description="tokens read from a cache")
    cache_write: Pointers = Field(default=(), description="tokens written into a cache")
    output: Pointers = Field(default=("/output_tokens",), description="tokens written")
    reasoning: Pointers = Field(default=(), description="tokens of reasoning")
    total: Pointers = Field(
        default=(), description="all tokens, where `output` leaves some out that nothing else tells"
    )
    cost: Pointers = Field(default=(), description="dollars")
    includes_cache: bool = Field(default=False, description="`input` counts what came from a cache, too")
    excludes_reasoning: bool = Field(default=False, description="`output` leaves out the tokens of reasoning")
    scope: Literal["run", "session"] = Field(
        default="run",
        description="what the usage of the last event counts: this run, or the whole conversation",
    )


Texts = Annotated[tuple[EventText, ...], BeforeValidator(_in_a_list)]


class AgentRuntime(Section):
    """The command line of an agent, and how its output is read. Any program can be described so."""

    command: tuple[str, ...] = Field(
        min_length=1,
        description="program and arguments; {model}, {session}, {budget}, {turns}, {schema}, {schema_file}, "
        "{prompt_file}, {folder} stand for values; an argument whose value is empty is left out, with the option "
        "before it. {allow} and {deny} become one argument for each tool; {safe}, {unsafe}, {bare} and {full} the "
        "arguments below",
    )
    resume: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the same, to go on with a conversation"
    )
    safe: tuple[str, ...] = Field(default=(), description="what {safe} stands for where unsafe is false")
    unsafe: tuple[str, ...] = Field(default=(), description="what {unsafe} stands for where unsafe is true")
    bare: tuple[str, ...] = Field(default=(), description="what {bare} stands for where bare is true")
    full: tuple[str, ...] = Field(default=(), description="what {full} stands for where bare is false")
    bare_leaves_out: tuple[str, ...] = Field(
        default=(),
        description="files of the project that it does not read where bare is true; the brief has the first of them",
    )
    prompt: Literal["stdin", "file"] = Field(
        default="stdin", description="how it gets the brief: by stdin, or in the file {prompt_file}"
    )
    events: Literal["jsonl", "json", "none"] = Field(
        default="jsonl", description="the form of its output: an event a line, one value, or plain text"
    )
    session: Pointer | None = Field(default=None, description="where an event names the conversation")
    chooses_session: bool = Field(
        default=False, description="it takes {session} at its start: a UUID that we choose"
    )
    any_folder: bool = Field(
        default=False, description="it can go on with a conversation from another folder"
    )
    final: EventResult | None = Field(default=None, description="the last event of a run")
    text: Texts = Field(default=(), description="events with what it says")
    tool: Texts = Field(default=(), description="events that name a tool it uses")
    error: Texts = Field(default=(), description="events with an error")
    refused: Texts = Field(
        default=(),
        description="events that say that a tool was refused: at has its name, else it was the last one",
    )
    status: Texts = Field(
        default=(), description="events with the status code of the model's API, in an error"
    )
    model: Texts = Field(default=(), description="events that name the model")
    resets: Texts = Field(
        default=(), description="events that say when a limit is reset: seconds since 1970, or ISO 8601"
    )
    turn: Annotated[tuple[EventUsage, ...], BeforeValidator(_in_a_list)] = Field(
        default=(), description="events with the usage of a request"
    )
    usage: UsageFields = Field(default=UsageFields(), description="where the numbers stand in a usage")
    unlogged: Annotated[tuple[When, ...], BeforeValidator(_in_a_list)] = Field(
        default=(),
        description="events that the log leaves out, such as the parts of a message: pointer: value",
    )
    rate_limited: tuple[str, ...] = Field(
        default=(), description="texts of an error: the model's limit is reached"
    )
    login: tuple[str, ...] = Field(
        default=(), description="texts of an error: not logged in, or no such model"
    )
    outage: tuple[str, ...] = Field(default=(), description="texts of an error: the model cannot be reached")
    denied: tuple[str, ...] = Field(default=(), description="texts of an error: a tool was refused")
    over_budget: tuple[str, ...] = Field(
        default=(), description="texts of an error, or of its subtype: its budget or turns are used up"
    )
    lost_session: tuple[str, ...] = Field(
        default=(), description="texts of an error: the conversation is not there"
    )
    exit_codes: Mapping[int, Happened] = Field(
        default_factory=dict, description="exit codes that say what happened"
    )
    env: Mapping[str, str] = Field(
        default_factory=dict,
        description="variables that it always gets; {shipped} is the folder of the runtimes that ship",
    )
    pass_env: tuple[str, ...] = Field(
        default=(), description="variables of the worker that it gets: its own key"
    )
