"""The picture of a graph before it is drawn: all of a small graph, the folded summary of a large one.

A picture has columns of boxes. A box is a task, or stands for many that are folded into it; the notes say
what is folded. `drawing` writes pictures down.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from orchestrator.model import durations
from orchestrator.model.feature import Feature
from orchestrator.model.flows import STOPPED
from orchestrator.model.plan import Plan
from orchestrator.model.task import TaskStatus
from orchestrator.model.words import count, named
from orchestrator.planning import cycle_search, graph

States: TypeAlias = Mapping[str, TaskStatus]
Arrow: TypeAlias = tuple[str, str]
"""From a box to one that waits for it."""

MOST_BOXES, MOST_ARROWS = 300, 500
"""More of them are no use to look at; and Mermaid draws no more than 500 arrows."""

MOST_COLUMNS, WIDEST = 30, 30
"""A picture with more columns, or with more boxes in one, fits no screen."""

LONGEST_PATH = 100
"""How many columns may have boxes that are not folded."""

KEPT_STOPPED = 5
"""How many failed and blocked tasks of a folded batch keep their own boxes."""

URGENCY = (
    *STOPPED,
    TaskStatus.ON_HOLD,
    TaskStatus.DEFERRED,
    TaskStatus.IN_REVIEW,
    TaskStatus.IN_PROGRESS,
    TaskStatus.TESTING,
    TaskStatus.CHANGES_REQUESTED,
    TaskStatus.PENDING,
    TaskStatus.BACKLOG,
    TaskStatus.CANCELLED,
    TaskStatus.COMPLETED,
)
"""A box that stands for many has the status of the most urgent one."""


@dataclass(frozen=True)
class Box:
    """A task, or many tasks."""

    id: str
    title: str = ""
    status: TaskStatus | None = None
    tasks: int = 1

    @property
    def label(self) -> str:
        """Both on one line."""
        return named(self.id, self.title)


@dataclass(frozen=True)
class Picture:
    """The content of a drawing.

    Args:
        title: Above it.
        columns: Each a heading and its boxes.
        arrows: Between boxes.
        marked: Those of the arrows that are drawn in red.
        notes: Notes for the reader, such as which batches are folded.
        centre: The box that it is about, if it is about one.
        states: How many tasks have each status; empty if that is not known.
    """

    title: str
    columns: Sequence[tuple[str, Sequence[Box]]]
    arrows: Sequence[Arrow]
    marked: Collection[Arrow] = frozenset()
    notes: tuple[str, ...] = ()
    centre: str = ""
    states: Mapping[TaskStatus, int] = field(default_factory=dict)

    @property
    def boxes(self) -> list[Box]:
        """All of them, by column."""
        return [box for _, boxes in self.columns for box in boxes]


def whole(feature: Feature, batches: Sequence[Sequence[str]], states: States | None = None) -> Picture:
    """Every task, a column for each batch.

    Example:
        >>> from orchestrator import Task
        >>> login = Feature(title="Login", tasks=[Task(id="T1"), Task(id="T2", depends_on=["T1"])])
        >>> whole(login, [["T1"], ["T2"]]).arrows
        [('T1', 'T2')]
    """
    return _some(feature, batches, states, {task.id for task in feature.tasks})


def _some(
    feature: Feature, batches: Sequence[Sequence[str]], states: States | None, shown: Collection[str]
) -> Picture:
    """Some of the tasks, in the columns of those batches that have any of them."""
    known = states or {}
    boxes = {
        task.id: Box(task.id, task.title, known.get(task.id)) for task in feature.tasks if task.id in shown
    }
    columns = [
        (f"Batch {number}", [boxes[task] for task in tasks if task in boxes])
        for number, tasks in enumerate(batches, start=1)
    ]
    arrows = [
        (dependency, task.id)
        for task in feature.tasks
        if task.id in boxes
        for dependency in task.depends_on
        if dependency in boxes
    ]
    tally = Counter(known.values())
    return Picture(feature.title, [column for column in columns if column[1]], arrows, states=tally)


def around(
    feature: Feature, batches: Sequence[Sequence[str]], task: str, depth: int, states: States | None = None
) -> Picture:
    """A task with its dependencies and its dependents, at most `depth` steps away.

    Raises:
        KeyError: There is no such task.
    """
    near, note = _near(feature, task, depth)
    return replace(_some(feature, batches, states, near), notes=(note,), centre=task)


def _near(feature: Feature, task: str, depth: int) -> tuple[set[str], str]:
    """The tasks around one, and a note that says so."""
    feature.task(task)
    needs = {one.id: one.depends_on for one in feature.tasks}
    near = _within(needs, task, depth) | _within(graph.dependents(needs), task, depth)
    steps, tasks = count(depth, "step"), count(len(needs), "task")
    return near, f"{task} with what is at most {steps} before and behind it: {len(near):,} of {tasks}"


def _within(edges: graph.Graph, start: str, depth: int) -> set[str]:
    found, nearest = {start}, {start}
    for _ in range(depth):
        nearest = {end for task in nearest for end in edges[task]} - found
        found |= nearest
    return found


def critical(plan: Plan, states: States | None = None) -> Picture:
    """The critical path, in red, with what its tasks depend on and what depends on them."""
    path = plan.critical_path
    needs = {task.id: task.depends_on for task in plan.feature.tasks}
    followers = graph.dependents(needs)
    near = {end for task in path for end in (task, *needs[task], *followers[task])}
    found = _some(plan.feature, [batch.tasks for batch in plan.batches], states, near)
    length = "" if plan.is_guess else f" ({durations.write(plan.critical_seconds)})"
    note = f"The critical path{length} is red: {count(len(path), 'task')}, with {len(near) - len(path):,} beside it"
    return replace(found, notes=(note,), marked=set(itertools.pairwise(path)))


def by_batches(plan: Plan, states: States | None = None) -> Picture:
    """A box for each batch, with how many tasks it has."""
    known = states or {}
    needs = {task.id: task.depends_on for task in plan.feature.tasks}
    number_of = {task: batch.number for batch in plan.batches for task in batch.tasks}
    columns = [
        (f"Batch {batch.number}", [_standing_for(f"Batch {batch.number}", batch.tasks, known)])
        for batch in plan.batches
    ]
    links = {(number_of[end], number_of[start]) for start, ends in needs.items() for end in ends}
    arrows = [(f"Batch {one}", f"Batch {other}") for one, other in sorted(links) if other == one + 1]
    return Picture(plan.feature.title, columns, arrows, states=Counter(known.values()))


def cyclic(feature: Feature, centre: str | None = None, depth: int = 1) -> Picture:
    """A graph with cycles, whose arrows are red; of a large one, the tasks that are on them, or what is near one task.

    The columns are the levels that there would be without the edges that the error proposes to remove.

    Raises:
        KeyError: There is no such task.
    """
    needs = {task.id: task.depends_on for task in feature.tasks}
    cycles = cycle_search.cycles(needs)
    removed = {edge for edge, _ in cycle_search.cuts(needs, cycles)}
    left = {task: [end for end in ends if (task, end) not in removed] for task, ends in needs.items()}
    levels = graph.levels(left)
    batches: dict[int, list[str]] = defaultdict(list)
    for task in needs:
        batches[levels[task]].append(task)
    notes = [f"The arrows of {count(len(cycles), 'circular dependency', 'circular dependencies')} are red"]
    shown: Collection[str] = needs.keys()
    if centre is not None:
        shown, note = _near(feature, centre, depth)
        notes.append(note)
    elif len(needs) > MOST_BOXES:
        shown = {task for knot in cycle_search.knots(needs) for task in knot}
        notes.append(f"Only the {count(len(shown), 'task')} on them are drawn, of {len(needs):,}")
    found = _some(feature, [batches[number] for number in sorted(batches)], None, shown)
    columns = [("", boxes) for _, boxes in found.columns]
    marked = {(end, start) for cycle in cycles for start, end in cycle_search.edges_of(cycle)}
    return replace(found, columns=columns, marked=marked, notes=tuple(notes), centre=centre or "")


def folded(picture: Picture, most: int = MOST_BOXES, keep: Collection[str] = ()) -> Picture:
    """A picture that is small enough to look at: wide batches, then lines of batches, become a box with a count.

    Parameters:
        most: Boxes.
        keep: Tasks that are drawn in any case, such as those of the critical path.
    """
    long = sum(any(box.id in keep for box in boxes) for _, boxes in picture.columns)
    columns = min(most, max(MOST_COLUMNS, min(long, LONGEST_PATH)))
    found, widest = picture, WIDEST
    while not _fits(found, most, columns) and widest:
        found = _fold_wide(picture, widest, keep)
        if len(found.columns) > columns:
            found = _fold_lines(found, columns)
        widest //= 2
    if found is picture:
        return picture
    found = _without_shortcuts(found)
    tasks = sum(box.tasks for box in picture.boxes)
    hidden = sum(box.tasks for box in found.boxes if box.tasks > 1)
    note = f"{hidden:,} of {count(tasks, 'task')} are folded into boxes with a count"
    return replace(found, notes=(*picture.notes, note))


def _without_shortcuts(picture: Picture) -> Picture:
    """Of boxes that stand for many, an arrow is left out where others lead to the same box.

    Where arrows lead back none is: in a circle each way leads past another one.
    """
    column = {box.id: at for at, (_, boxes) in enumerate(picture.columns) for box in boxes}
    if any(column[start] >= column[end] for start, end in picture.arrows):
        return picture
    many = {box.id for box in picture.boxes if box.tasks > 1}
    followers: dict[str, list[str]] = defaultdict(list)
    for start, end in picture.arrows:
        followers[start].append(end)

    def leads_past(start: str, end: str) -> bool:
        seen, open_ends = set[str](), [near for near in followers[start] if near != end]
        while open_ends:
            box = open_ends.pop()
            if box not in seen:
                seen.add(box)
                open_ends += followers[box]
        return end in seen

    arrows = [
        arrow
        for arrow in picture.arrows
        if arrow in picture.marked or many.isdisjoint(arrow) or not leads_past(*arrow)
    ]
    return replace(picture, arrows=arrows)


def _fits(picture: Picture, most: int, columns: int) -> bool:
    return (
        len(picture.boxes) <= most
        and len(picture.arrows) <= MOST_ARROWS
        and len(picture.columns) <= columns
        and all(len(boxes) <= WIDEST for _, boxes in picture.columns)
    )


def _fold_wide(picture: Picture, widest: int, keep: Collection[str]) -> Picture:
    """Each column that is wider than allowed becomes a box, beside what stopped in it and what is kept."""
    columns, stands_for = [], dict[str, str]()
    for number, (heading, boxes) in enumerate(picture.columns, start=1):
        if len(boxes) <= widest:
            columns.append((heading, boxes))
            continue
        stopped = [box for box in boxes if box.status in STOPPED][:KEPT_STOPPED]
        apart = [box for box in boxes if box.id in keep or box in stopped][: WIDEST - 1]
        ids = {box.id for box in apart}
        others = [box for box in boxes if box.id not in ids]
        name = heading or f"Level {number}"
        one = _folded_box(f"{name} …" if apart else name, others)
        stands_for |= {box.id: one.id for box in others}
        columns.append((heading, [*apart, one]))
    return _redirected(picture, columns, stands_for)


def _fold_lines(picture: Picture, most: int) -> Picture:
    """Neighbouring columns become one box, so that there are no more columns than allowed."""
    size = math.ceil(len(picture.columns) / most)
    columns, stands_for = [], dict[str, str]()
    for start in range(0, len(picture.columns), size):
        part = picture.columns[start : start + size]
        first, last = part[0][0], part[-1][0]
        heading = (
            first
            if first == last
            else f"{first} to {last.removeprefix('Batch ')}".replace("Batch ", "Batches ", 1)
        )
        boxes = [box for _, column in part for box in column]
        one = _folded_box(heading or f"Levels {start + 1} to {start + len(part)}", boxes)
        stands_for |= {box.id: one.id for box in boxes}
        columns.append((heading, [one]))
    return _redirected(picture, columns, stands_for)


def _redirected(
    picture: Picture, columns: Sequence[tuple[str, Sequence[Box]]], stands_for: Mapping[str, str]
) -> Picture:
    def led(arrows: Iterable[Arrow]) -> list[Arrow]:
        ends = ((stands_for.get(start, start), stands_for.get(end, end)) for start, end in arrows)
        return list(dict.fromkeys(arrow for arrow in ends if arrow[0] != arrow[1]))

    return replace(picture, columns=columns, arrows=led(picture.arrows), marked=set(led(picture.marked)))


def _folded_box(name: str, boxes: Sequence[Box]) -> Box:
    tasks = sum(box.tasks for box in boxes)
    statuses = [box.status for box in boxes if box.status]
    first = boxes[0].id if boxes[0].tasks == 1 else ""
    title = f"{count(tasks, 'task')}" + (f": {first} …" if first else "")
    return Box(name, title, _most_urgent(statuses), tasks)


def _standing_for(name: str, tasks: Sequence[str], states: States) -> Box:
    if len(tasks) == 1:
        return Box(name, tasks[0], states.get(tasks[0]))
    return Box(
        name,
        count(len(tasks), "task"),
        _most_urgent([states[task] for task in tasks if task in states]),
        len(tasks),
    )


def _most_urgent(statuses: Sequence[TaskStatus]) -> TaskStatus | None:
    return min(statuses, key=lambda status: URGENCY.index(status) if status in URGENCY else -1, default=None)
