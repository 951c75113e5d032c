"""The outcome that an agent is asked for: its form, how it is read, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json import JSONDecodeError, JSONDecoder
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from orchestrator.model.fields import Model
from orchestrator.model.outcome import Blocked, BlockKind, Completed, Failed, FailureCause
from orchestrator.model.sanitizer import as_text
from orchestrator.model.words import one_line

LONGEST_SUMMARY = 200
LONGEST_REASON = 1_000
LONGEST_HANDOFF = 1_000

LONGEST_MESSAGE = 50_000
"""Characters of a final message that are searched for an outcome, its last ones."""

MOST_READ = 2_000_000
"""Characters that are read in search of it: from each brace on, as far as what follows is JSON."""

KINDS = (BlockKind.INFORMATION, BlockKind.TECHNICAL, BlockKind.EXTERNAL, BlockKind.PERMISSION)
"""What an agent may say that it is blocked by."""

NAMES = ("status", "summary", "reason", "kind", "handoff", "result")


class Answer(Model):
    """The outcome in an agent's own words."""

    status: Literal["completed", "blocked", "failed"]
    summary: str = ""
    reason: str = ""
    kind: BlockKind = BlockKind.TECHNICAL
    handoff: str = ""
    result: JsonValue = None

    @field_validator("summary", "reason", "handoff", mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, value: object) -> object:
        return value if value in KINDS else BlockKind.TECHNICAL

    @field_validator("result", mode="before")
    @classmethod
    def _value_in_a_text(cls, value: object) -> object:
        """A form that is kept strictly has no place for any value, so it comes as JSON in a text."""
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                return from_json(value, allow_inf_nan=False)
            except ValueError:
                pass
        return _storable(value)

    @model_validator(mode="after")
    def _says_why(self) -> Answer:
        if self.status != "completed" and not (self.reason.strip() or self.summary.strip()):
            raise ValueError(f"is {self.status}, and says no reason")
        return self


class Read(NamedTuple):
    """What was found where an outcome may stand."""

    answer: Answer | None = None
    wrong: str = ""
    """What is wrong with what stands there, if there is no answer; "": nothing stands there."""


def schema() -> dict[str, Any]:
    """The form of an outcome as JSON Schema, in the strict way: every field is required, and none beside them."""
    texts = {
        "summary": f"what was done, in one line of at most {LONGEST_SUMMARY} characters",
        "reason": "of blocked and failed: why; else empty",
        "handoff": f"what those who go on from here must know, at most {LONGEST_HANDOFF} characters; or empty",
    }
    properties: dict[str, Any] = {
        "status": {"type": "string", "enum": ["completed", "blocked", "failed"]},
        **{name: {"type": "string", "description": text} for name, text in texts.items()},
        "kind": {
            "type": ["string", "null"],
            "enum": [*(str(kind) for kind in KINDS), None],
            "description": "of blocked: what is missing; else null",
        },
        "result": {"type": ["string", "null"], "description": "a value for programs, as JSON; or null"},
    }
    ordered = {name: properties[name] for name in NAMES}
    return {"type": "object", "properties": ordered, "required": list(NAMES), "additionalProperties": False}


def read(*, file: str | None = None, structured: Any = None, message: str = "") -> Read:
    """Read an agent's outcome: from its file, else from its structured answer, else from its final message.

    Args:
        file: The text of the outcome file; None: it wrote none.
        structured: Its answer in the form of `schema`, if its program takes one.
        message: Its final message, of which the last JSON object with a status counts.

    Example:
        >>> found = read(message='It works.\\n```json\\n{"status": "completed", "summary": "login"}\\n```')
        >>> found.answer.summary
        'login'
        >>> read(file='{"status": "done"}').wrong
        "the outcome file cannot be used: status: write one of 'completed', 'blocked' or 'failed', not 'done'"
    """
    wrong = ""
    if file is not None and file.strip():
        found = _of_text(file, "the outcome file")
        wrong = found.wrong
        if found.answer:
            return found
    if structured is not None:
        found = _of_value(structured, "the structured answer")
        wrong = wrong or found.wrong
        if found.answer:
            return found
    if (last := _last_object(message)) is not None:
        found = _of_value(last, "the JSON at the end of the final message")
        wrong = wrong or found.wrong
        if found.answer:
            return found
    return Read(None, wrong)


def outcome_of(answer: Answer) -> Completed | Blocked | Failed:
    """The outcome that an answer means, its texts cut to what is allowed.

    Example:
        >>> outcome_of(Answer(status="blocked", kind="missing-information", reason="which port?")).kind
        <BlockKind.INFORMATION: 'missing-information'>
    """
    if answer.status == "completed":
        return Completed(
            summary=one_line(answer.summary, LONGEST_SUMMARY),
            result=answer.result,
            handoff=_cut(answer.handoff, LONGEST_HANDOFF),
        )
    reason = _cut(answer.reason.strip() or answer.summary, LONGEST_REASON)
    if answer.status == "blocked":
        return Blocked(kind=answer.kind, reason=reason)
    return Failed(cause=FailureCause.REPORTED, reason=reason)


def _storable(value: object) -> object:
    """The value, with ? for halves of characters (such as "\\ud83d"): JSON allows them, and UTF-8 does not."""
    try:
        return from_json(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _cut(text: str, most: int) -> str:
    plain = as_text(text[: most * 4]).strip()
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _of_text(text: str, where: str) -> Read:
    try:  # of any length, where it is nothing else
        found = from_json(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and "status" in found:
        return _of_value(found, where)
    if (found := _last_object(text)) is not None:
        return _of_value(found, where)
    return Read(None, f"{where} cannot be used: it has no JSON object with a status")


def _of_value(value: Any, where: str) -> Read:
    if isinstance(value, str):
        return _of_text(value, where)
    if not isinstance(value, Mapping):
        return Read(None, f"{where} cannot be used: it is no JSON object")
    try:
        return Read(Answer.model_validate({name: value[name] for name in NAMES if name in value}))
    except ValidationError as error:
        return Read(None, f"{where} cannot be used: {'; '.join(map(_mistake, error.errors()))}")


def _mistake(line: Any) -> str:
    name = ".".join(map(str, line["loc"]))
    if line["type"] == "literal_error":
        shown = one_line(str(line["input"]), 40)
        return f"{name}: write one of {line['ctx']['expected']}, not {shown!r}"
    text = str(line["msg"]).removeprefix("Value error, ").replace("Input should be", "should be")
    return f"{name}: {text}" if name else f"it {text}"


def _last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object with a status in a text; None: there is none."""
    text = text[-LONGEST_MESSAGE:]
    decoder, found, at, left = JSONDecoder(), None, text.find("{"), MOST_READ
    while at >= 0 and left > 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except JSONDecodeError as error:
            end = at + 1
            left -= error.pos - at + 1
        except (RecursionError, ValueError):  # nested too deep, or a number too long
            end = at + 1
            left -= len(text) - at
        else:
            if isinstance(value, dict) and "status" in value:
                found = value
            left -= end - at
        at = text.find("{", end)
    return found
