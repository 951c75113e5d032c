"""Every JSON answer, from the shapes that commands write."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.contract import VERSION
from orchestrator.contract.answer import Answer
from orchestrator.contract.answers import ANSWERS, DECISIONS
from reference import kinds
from reference.markdown import code, head, sentence, table

ABOUT = f"""\
The shapes of what commands answer with `--json`, version {VERSION} of the contract. [How to read them from
a program](../how-to/programs.md) says what is left out and how to get more. `orchestrator schema NAME`
prints the JSON Schema of one answer, and [schemas.json](../schemas.json) has all of them. A field may be
added within a version; a field that goes or changes its meaning makes a new version.

A field marked * is in an answer only where `--fields` names it, or with `--fields all`."""


def page() -> str:
    """docs/reference/json.md."""
    lines = head("JSON answers", ABOUT)
    shapes = dict.fromkeys(ANSWERS.values())
    names = [", ".join(code(name) for name, one in ANSWERS.items() if one is shape) for shape in shapes]
    links = [f"[{shape.__name__}](#{shape.__name__.lower()})" for shape in shapes]
    rows = [
        [name if shape.__name__ != "DecisionAnswer" else _decisions(), link]
        for name, shape, link in zip(names, shapes, links, strict=True)
    ]
    lines += table(["command", "answer"], rows)
    found = _all(list(shapes))
    for shape in found:
        lines += _shape(shape, {one.__name__ for one in found})
    return "\n".join(lines) + "\n"


def _decisions() -> str:
    return ", ".join(code(name) for name in DECISIONS)


def _all(shapes: list[type[Answer]]) -> list[type[Answer]]:
    """The shapes, and then those that they are made of."""
    for shape in shapes:  # grows while it is read
        shape.model_rebuild()  # else a field of a shape that stands further down is any JSON until an answer is made
        for field in shape.model_fields.values():
            shapes += [
                one for one in kinds.models(field.annotation) if issubclass(one, Answer) and one not in shapes
            ]
    return shapes


def _shape(shape: type[Answer], known: set[str]) -> Iterator[str]:
    yield from ["", f"## {shape.__name__}", "", sentence((shape.__doc__ or "").splitlines()[0])]
    rows = []
    for name, field in shape.model_fields.items():
        mark = " *" if name in shape.rare else ""
        rows.append([code(name) + mark, _linked(kinds.of(field), known), sentence(field.description)])
    yield from table(["field", "type", ""], rows)


def _linked(kind: str, known: set[str]) -> str:
    """A type whose shapes are links to their sections."""
    return re.sub(
        r"[A-Z]\w+", lambda one: f"[{one[0]}](#{one[0].lower()})" if one[0] in known else one[0], kind
    )
