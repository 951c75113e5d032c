"""A picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

from orchestrator.model.task import TaskStatus
from orchestrator.report import picture
from orchestrator.report.colours import COLOURS, MARKED, PLAIN
from orchestrator.report.graphviz import shorten
from orchestrator.report.picture import Box, Picture

LONGEST_TEXT = 50_000
"""Mermaid draws no text that is longer (its setting maxTextSize)."""


def fitted(found: Picture, keep: Collection[str] = ()) -> Picture:
    """A picture folded so far that Mermaid draws it.

    Parameters:
        keep: Tasks that are not folded.
    """
    most = picture.MOST_BOXES
    small = picture.folded(found, most, keep)
    while len(mermaid(small)) > LONGEST_TEXT and most > 1:
        most //= 2
        small = picture.folded(found, most, keep)
    return small


def mermaid(found: Picture) -> str:
    """A picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown.

    Example:
        >>> from orchestrator import Feature, Task
        >>> from orchestrator.report import picture
        >>> login = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> print(mermaid(picture.whole(login, [["T1"], ["T2"]])), end="")
        flowchart LR
            subgraph b1["Batch 1"]
                direction TB
                n1["T1"]
            end
            subgraph b2["Batch 2"]
                direction TB
                n2["T2"]
            end
            n1 --> n2
    """
    # Boxes get generated names, because a task may be called "end", which is a keyword of Mermaid.
    names = {box.id: f"n{place}" for place, box in enumerate(found.boxes, start=1)}
    lines = [f"%% {_for_mermaid(note)}" for note in found.notes] + ["flowchart LR"]
    for number, (heading, boxes) in enumerate(found.columns, start=1):
        shown = [f'{names[box.id]}["{_for_mermaid(shorten(box.label))}"]' for box in boxes]
        if heading:
            shown = [f"    {line}" for line in ("direction TB", *shown)]
            lines += [
                f'    subgraph b{number}["{_for_mermaid(heading)}"]',
                *(f"    {line}" for line in shown),
                "    end",
            ]
        else:
            lines += [f"    {line}" for line in shown]
    lines += [f"    {names[start]} --> {names[end]}" for start, end in found.arrows]
    marked = [str(place) for place, arrow in enumerate(found.arrows) if arrow in found.marked]
    if marked:
        lines += [f"    linkStyle {','.join(marked)} stroke:{MARKED},stroke-width:2px"]
    if found.centre in names:
        lines += [f"    style {names[found.centre]} stroke-width:4px"]
    for status, boxes in _by_status(found):
        kind = status.replace("-", "_")
        colour = COLOURS.get(status, PLAIN)
        lines += [f"    classDef {kind} fill:{colour.fill},stroke:{colour.line},color:#0f172a"]
        lines += [f"    class {','.join(names[box.id] for box in boxes)} {kind}"]
    return "\n".join(lines) + "\n"


def _by_status(found: Picture) -> Iterator[tuple[TaskStatus, list[Box]]]:
    groups: dict[TaskStatus, list[Box]] = defaultdict(list)
    for box in found.boxes:
        if box.status:
            groups[box.status].append(box)
    yield from groups.items()


def _for_mermaid(text: str) -> str:
    """Mermaid reads #name; and #number; as characters; all others that it, or HTML, might act on are written so."""
    return "".join(char if char.isalnum() or char in " .,-_" else f"#{ord(char)};" for char in text)
