"""A picture in DOT, the language of Graphviz."""

from __future__ import annotations

from orchestrator.report.colours import COLOURS, MARKED, PLAIN
from orchestrator.report.picture import Box, Picture

LONGEST_LABEL = 80
"""How many characters of a title a box has that other programs draw."""


def dot(found: Picture) -> str:
    """A picture in DOT, the language of Graphviz: `dot -Tsvg`.

    Example:
        >>> from orchestrator import Feature, Task
        >>> from orchestrator.report import picture
        >>> login = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> print(dot(picture.whole(login, [["T1"], ["T2"]])), end="")
        digraph "Login" {
            rankdir=LR
            node [shape=box style="rounded,filled" fillcolor="#ffffff" color="#64748b" fontname="sans-serif"]
            subgraph cluster_1 {
                label="Batch 1"
                "T1" [label="T1"]
            }
            subgraph cluster_2 {
                label="Batch 2"
                "T2" [label="T2"]
            }
            "T1" -> "T2"
        }
    """
    style = f'shape=box style="rounded,filled" fillcolor="{PLAIN.fill}" color="{PLAIN.line}" fontname="sans-serif"'
    lines = [
        *(f"// {note}" for note in found.notes),
        f'digraph "{_for_dot(found.title)}" {{',
        "    rankdir=LR",
        f"    node [{style}]",
    ]
    for number, (heading, boxes) in enumerate(found.columns, start=1):
        if heading:
            lines += [f"    subgraph cluster_{number} {{", f'        label="{_for_dot(heading)}"']
            lines += [f"        {_dot_box(box, is_centre=box.id == found.centre)}" for box in boxes]
            lines += ["    }"]
        else:
            lines += [f"    {_dot_box(box, is_centre=box.id == found.centre)}" for box in boxes]
    for arrow in found.arrows:
        mark = f' [color="{MARKED}" penwidth=2]' if arrow in found.marked else ""
        lines += [f'    "{_for_dot(arrow[0])}" -> "{_for_dot(arrow[1])}"{mark}']
    return "\n".join([*lines, "}"]) + "\n"


def shorten(text: str) -> str:
    """Cut a label at its longest length."""
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1].rstrip() + "…"


def _for_dot(text: str) -> str:
    # Graphviz also reads HTML's entities in labels, hence the &.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _dot_box(box: Box, *, is_centre: bool) -> str:
    colours = COLOURS.get(box.status, PLAIN) if box.status else None
    colour = f' fillcolor="{colours.fill}" color="{colours.line}"' if colours else ""
    colour += " penwidth=3" if is_centre else ""
    return f'"{_for_dot(box.id)}" [label="{_for_dot(shorten(box.label))}"{colour}]'
