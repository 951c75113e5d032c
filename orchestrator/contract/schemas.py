"""The JSON Schema of each answer."""

from __future__ import annotations

from typing import Any

from orchestrator.contract import VERSION, error_codes
from orchestrator.contract.answers import ANSWERS, DECISIONS
from orchestrator.model import errors

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(name: str) -> dict[str, Any]:
    """The schema of an answer.

    Args:
        name: One of `answers.ANSWERS`, or of `answers.DECISIONS`.

    Raises:
        NoSuchSchema: There is none of that name.

    Example:
        >>> schema("progress")["$id"]
        'orchestrator:v1:progress'
    """
    name = "decision" if name in DECISIONS else name
    if name not in ANSWERS:
        raise errors.NoSuchSchema(name=name, names=list(ANSWERS))
    found = ANSWERS[name].model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"orchestrator:v{VERSION}:{name}", **_bare(found)}


def everything() -> dict[str, Any]:
    """The contract as one value: its version, the schema of each answer, the codes of errors."""
    return {
        "version": VERSION,
        "schemas": {name: schema(name) for name in ANSWERS},
        "codes": [code.model_dump() for code in error_codes.codes().codes],
    }


def _bare(value: Any) -> Any:
    """The schema without pydantic's titles. A field that is not required may be absent."""
    if isinstance(value, dict):
        return {
            name: _bare(inner)
            for name, inner in value.items()
            if name != "title" or not isinstance(inner, str)
        }
    return [_bare(inner) for inner in value] if isinstance(value, list) else value
