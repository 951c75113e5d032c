"""Every field of a feature file, from the models that it becomes."""

from __future__ import annotations

from orchestrator.model.feature import Feature
from orchestrator.model.task import Retries, Task
from reference import kinds
from reference.markdown import code, head, sentence, table

ABOUT = """\
A feature file is YAML or JSON: one mapping. [How to write one](../how-to/feature-file.md) shows it by
example. Numbers are those of YAML 1.2. Keys at the top that begin with `x-` are for anchors and mean
nothing else. An unknown field is refused, with its line and the nearest name.

An **id** has letters and digits of any script and `_ . - + @ / : ~`, at most 200 characters; the id of a
feature has no colon. A **duration** is a number of seconds, or a text such as `500ms`, `30s`, `5m`, `2h` or
`7d`."""

MORE = {
    ("Feature", "title"): "one line",
    ("Feature", "description"): "for people and specialists",
    ("Feature", "tags"): "choose its status flow; specialists see them",
    ("Feature", "strategy"): "[which task starts when](../explanation/design.md#strategies)",
    ("Feature", "tasks"): "at least one",
    ("Task", "id"): "unique in the feature",
    ("Task", "description"): "for people and the specialist",
    ("Task", "tags"): "route it to a specialist, and choose its status flow and its gates",
    ("Task", "depends_on"): "ids of the tasks that have to be done before it starts",
    ("Task", "priority"): "of the tasks that are ready, the highest goes first",
    ("Task", "complexity"): "1 to 10; orders tasks whose duration is not known",
    ("Task", "retries"): "a number, or a mapping (below)",
    ("Retries", "jitter"): "each wait is a random part of it, between half and the whole",
}
"""The purpose of each field whose model does not say it."""


def page() -> str:
    """docs/reference/feature-file.md."""
    lines = head("Fields of a feature file", ABOUT)
    for title, model in (("A feature", Feature), ("A task", Task), ("retries", Retries)):
        lines += ["", f"## {title}"]
        rows = [
            [
                code(name),
                kinds.of(field) + kinds.bounds(field),
                kinds.default(field),
                sentence(field.description or MORE[model.__name__, name]),
            ]
            for name, field in model.model_fields.items()
        ]
        lines += table(["field", "type", "default", "what it is for"], rows)
    return "\n".join(lines) + "\n"
