"""Turns values into texts and tables for rich. Reads nothing itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output import inert
from orchestrator.contract import needs
from orchestrator.model import durations, words
from orchestrator.model.feature import FeatureStatus
from orchestrator.report import status_text

if TYPE_CHECKING:
    from orchestrator.client.snapshot import Snapshot
    from orchestrator.model.progress import Progress, TaskState, Unreadable

TASKS_SHOWN = 40
"""Lines on the open batch of a large feature, if there is no terminal whose height sets the limit."""

SIGNS: Mapping[str, tuple[str, str]] = {
    "completed": ("✓", "green"),
    "running": ("▶", "cyan"),
    "failed": ("✗", "bold red"),
    "blocked": ("■", "bold yellow"),
    "retrying": ("↻", "yellow"),
    "launched": ("›", ""),
    "queued": ("…", ""),
    "waiting": ("·", "dim"),
    "cancelled": ("–", "dim"),
    "skipped": ("–", "dim"),
    "in-review": ("?", "bold yellow"),
    "unassigned": ("?", "bold yellow"),
    "on-hold": ("‖", "yellow"),
    "deferred": ("‖", "yellow"),
    "testing": ("▶", "cyan"),
    "changes-requested": ("↻", "yellow"),
}
"""The sign and the style of a task's word."""

CALM = ("queued", "waiting", "completed", "cancelled", "skipped")
CALM_SHOWN = 3
"""If not all tasks can be shown: how many of those that need no look are."""

FEATURE_STYLES = {
    FeatureStatus.COMPLETED: "green",
    FeatureStatus.BLOCKED: "bold red",
    FeatureStatus.ON_HOLD: "bold yellow",
    FeatureStatus.PENDING_REVIEW: "bold yellow",
    FeatureStatus.FAILED: "bold red",
    FeatureStatus.CANCELLED: "dim",
}


def table(*columns: str) -> Table:
    """An empty table with these headings."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


# Features


def feature_table(features: Iterable[Progress], now: float) -> Table:
    """The features, those that need a person first."""
    made = table("Id", "Title", "Status", "Batch", "Tasks", "In flight", "Age")
    for progress in sorted(features, key=_urgency):
        stopped = f", {progress.stopped} stopped" if progress.stopped else ""
        made.add_row(
            progress.id,
            inert(progress.title),
            Text(progress.status, style=FEATURE_STYLES.get(progress.status, "")),
            f"{progress.batch}/{progress.batches}",
            f"{progress.completed:,}/{progress.total:,}{stopped}",
            f"{progress.in_flight:,}",
            durations.write(max(0.0, now - progress.created)),
        )
    return made


def unreadable_line(feature: Unreadable) -> Text:
    """A feature that cannot be read."""
    title = f"  {feature.title}" if feature.title else ""
    status = f"  {feature.status}" if feature.status else ""
    return inert(f"{feature.id}{title}{status}: cannot be read: {feature.unreadable}", "bold yellow")


def _urgency(progress: Progress) -> int:
    if needs.of_feature(progress) or progress.stopped or progress.status in needs.WAITING:
        return 0
    return 2 if progress.status.is_over else 1


def feature_lines(snapshot: Snapshot, now: float, width: int, room: int | None = None) -> list[Text]:
    """A feature with its batches and tasks, a text for each line, none wider than `width`.

    Parameters:
        now: Seconds since the epoch.
        width: Columns.
        room: The most lines: the most important ones are kept. None: only the limit of a large feature.
    """
    head = _head(snapshot, now, width)
    whole = [line for number in snapshot.sizes for line in _batch(snapshot, number, now, width)]
    if snapshot.is_whole and (room is None or len(head) + len(whole) <= room):
        lines = head + whole
    else:
        left = (room or TASKS_SHOWN + len(head) + 6) - len(head)
        lines = head + _open_batch(snapshot, now, width, left)
    return [_cut(line, width) for line in lines[:room]]


def _head(snapshot: Snapshot, now: float, width: int) -> list[Text]:
    progress = snapshot.progress
    title = Text.assemble((inert(progress.title).plain, "bold"), "  ", (progress.id, "dim"))
    started, end = progress.started or progress.created, progress.finished or now
    facts = [
        f"{progress.strategy}",
        f"at most {words.count(progress.cap, 'task')} at once",
        durations.write(max(0.0, end - started)),
    ]
    if progress.expected_end and progress.expected_end > now:
        facts.append(f"ends in about {durations.write(progress.expected_end - now)}")
    status = Text(progress.status, style=FEATURE_STYLES.get(progress.status, "cyan"))
    lines = [title, Text.assemble(status, " · ", " · ".join(facts)), _bar(progress, width)]
    return [*lines, inert(f"! {snapshot.notice}", "bold yellow")] if snapshot.notice else lines


def _bar(progress: Progress, width: int) -> Text:
    skipped = f", {progress.skipped:,} skipped" if progress.skipped else ""
    text = f" {progress.completed:,}/{progress.total:,} tasks{skipped} ({progress.percent}%)"
    length = max(4, min(60, width - len(text) - 1))
    done = length * max(progress.completed, progress.resolved) // progress.total
    return Text.assemble(("━" * done, "green"), ("─" * (length - done), "dim"), text)


def _batch(snapshot: Snapshot, number: int, now: float, width: int) -> list[Text]:
    states = snapshot.of_batch(number)
    return [_heading(snapshot, number), *_rows(states, snapshot, now, width)]


def _heading(snapshot: Snapshot, number: int) -> Text:
    progress = snapshot.progress
    line = status_text.batch_line(progress, number, snapshot.sizes[number])
    if number < progress.batch or (
        number == progress.batch and progress.batch_resolved == progress.batch_total
    ):
        return Text(f"✓ {line}", style="green")
    return Text(f"▶ {line}", style="bold") if number == progress.batch else Text(f"· {line}", style="dim")


def _open_batch(snapshot: Snapshot, now: float, width: int, room: int) -> list[Text]:
    """The open batch with the tasks that fit, between a few lines on the batches before and after it."""
    number, batches = max(1, snapshot.progress.batch), snapshot.progress.batches
    each = min(3, max(0, (room - 4) // 2))
    before = _earlier(snapshot, number, each)
    after = _later(snapshot, number, batches, each)
    states = snapshot.of_batch(number)
    left = max(0, room - len(before) - len(after) - 1)
    rows = _rows(states, snapshot, now, width)
    if len(rows) > left:
        shown = _most_interesting(states, max(0, left - 1))
        rows = _rows(shown, snapshot, now, width)
        hidden = Counter(status_text.word(state) for state in states) - Counter(map(status_text.word, shown))
        counts = ", ".join(f"{hidden[name]:,} {name}" for name in sorted(hidden, key=status_text.place))
        rows += [Text(f"    and {sum(hidden.values()):,} more: {counts}", style="dim")][: left - len(rows)]
    return [*before, _heading(snapshot, number), *rows, *after]


def _most_interesting(states: Sequence[TaskState], most: int) -> list[TaskState]:
    """The stopped and running tasks, and some of the others."""
    ordered = sorted(states, key=status_text.urgency)
    first_calm = next(
        (at for at, state in enumerate(ordered) if status_text.word(state) in CALM), len(ordered)
    )
    return ordered[: min(most, first_calm + CALM_SHOWN)]


def _earlier(snapshot: Snapshot, number: int, most: int) -> list[Text]:
    """Lines on the batches before one, at most `most`: one for each of the nearest, and one for the others."""
    first = 1 if number - 1 <= most else number - most + 1
    lines = [_heading(snapshot, near) for near in range(first, number)] if most else []
    return (
        [Text(f"✓ {_range(1, first - 1)}: complete", style="green"), *lines] if first > 1 and most else lines
    )


def _later(snapshot: Snapshot, number: int, batches: int, most: int) -> list[Text]:
    """Lines on the batches after one, as `_earlier` gives them for those before."""
    last = batches if batches - number <= most else number + most - 1
    lines = [_heading(snapshot, near) for near in range(number + 1, last + 1)] if most else []
    fate = "never started" if snapshot.progress.status.is_over else "wait"
    return (
        [*lines, Text(f"· {_range(last + 1, batches)}: {fate}", style="dim")]
        if last < batches and most
        else lines
    )


def _range(first: int, last: int) -> str:
    return f"Batch {first}" if first == last else f"Batches {first} to {last}"


def _rows(states: Sequence[TaskState], snapshot: Snapshot, now: float, width: int) -> list[Text]:
    longest = max((cell_len(state.label) for state in snapshot.states), default=0)
    names = min(longest, max(16, width * 2 // 5))
    specialists = (
        max((cell_len(state.specialist) for state in snapshot.states), default=0) if width >= 100 else 0
    )
    return [_row(state, snapshot, now, names, specialists) for state in states]


def _row(state: TaskState, snapshot: Snapshot, now: float, names: int, specialists: int) -> Text:
    word = status_text.word(state)
    sign, style = SIGNS.get(word, ("·", ""))
    took = status_text.spent(state, now)
    cells = [
        Text(f"  {sign} {word:<10}", style=style),
        _cell(inert(state.label), names),
        *([_cell(inert(state.specialist, "dim"), specialists)] if specialists else []),
        _cell(Text("" if took is None else durations.write(took)), 7),
        inert(status_text.why(state, snapshot.progress, now, snapshot.said.get(state.id, ""))),
    ]
    return Text("  ").join(cells)


def _cell(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _cut(line: Text, width: int) -> Text:
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    return line
