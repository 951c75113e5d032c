"""The answers of the tools, as lines of few words. A task is a line, and lines that are left out are counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.contract.answer import Need
from orchestrator.contract.plan_answers import PlanAnswer
from orchestrator.mcp import calls
from orchestrator.model import durations
from orchestrator.model.progress import Progress, TaskState
from orchestrator.model.usage import UsageRow
from orchestrator.model.words import one_line, some
from orchestrator.report import status_text

BATCHES = 20
"""How many batches of a plan have a line."""

NAMES = 12
"""How many tasks of a batch are named."""

REASON = 160
"""Characters of a reason."""


def headline(progress: Progress) -> str:
    """Say where a feature stands.

    Example:
        'login-1: in-development, batch 2 of 3, 5/8 tasks complete (62%), 2 in flight'
    """
    return f"{progress.id}: {status_text.progress_line(progress)}"


def task_line(state: TaskState, now: float, said: str = "") -> str:
    """Say where a task stands.

    Example:
        'T3 blocked senior-engineer 4m $0.31: no URL'
    """
    took = status_text.spent(state, now)
    time = durations.write(took) if took else ""
    words = [state.id, status_text.word(state), state.specialist, time, status_text.cost(state)]
    told = status_text.note(state) or said
    return " ".join(filter(None, words)) + (f": {cut(told, REASON)}" if told else "")


def need_line(need: Need) -> str:
    """Say what a feature waits for, why, and the calls that help."""
    who = f"{need.task} " if need.task else ""
    cause = f" ({need.cause})" if need.cause else ""
    reason = f": {cut(one_line(need.reason), REASON)}" if need.reason else ""
    behind = f", {need.behind} behind it" if need.behind else ""
    helping = calls.line(need.actions)
    return f"{who}{need.need}{cause}{reason}{behind}" + (f" → {helping}" if helping else "")


def usage_line(row: UsageRow) -> str:
    """Say what was used.

    Example:
        >>> usage_line(UsageRow(name="T1", input=1200, output=300, requests=4, cost=0.31))
        'T1 $0.31 1,200 in 300 out 4 requests'
    """
    words = [row.name, row.price, f"{row.input + row.cache_write:,} in", f"{row.output:,} out"]
    return " ".join(filter(None, [*words, f"{row.requests:,} requests"]))


def plan_lines(draft: str, plan: PlanAnswer) -> list[str]:
    """A plan: its id, a line for each batch, who does it, and how long it takes."""
    time = f", {durations.write(plan.seconds)}" if plan.seconds is not None else ""
    head = f"plan {draft}: {plan.total} tasks, {len(plan.batches)} batches, {plan.strategy}, cap {plan.cap}{time}"
    batches = [
        f"{batch.batch}: {some(batch.tasks, separator=' ', most=NAMES, of=batch.total)}"
        for batch in plan.batches[:BATCHES]
    ]
    more = len(plan.batches) - BATCHES
    rest = [f"and {more} more batches"] if more > 0 else []
    routes = [
        f"{group.specialist.name if group.specialist else 'nobody'}: {group.total or len(group.tasks)}"
        f"{f' (tag {group.tag})' if group.tag else f' ({group.rule})' if group.rule else ''}"
        for group in plan.routes
    ]
    return [head, *batches, *rest, f"routes {', '.join(routes)}"]


def counted(lines: Sequence[str], left: int, what: str = "tasks") -> list[str]:
    """Some lines, and how many are not among them."""
    return [*lines, f"and {left:,} more {what}"] if left > 0 else list(lines)


def cut(text: str, most: int) -> str:
    """The first characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def head(text: str, most: int) -> str:
    """The first characters of a text, and how many are left out."""
    left = len(text) - most
    return f"{text[:most]}\n({left:,} characters more)" if left > 0 else text


def tail(text: str, most: int) -> str:
    """The last characters of a text, and how many are left out.

    Example:
        >>> tail("one two", 3)
        '(4 characters before)\\ntwo'
    """
    left = len(text) - most
    return f"({left:,} characters before)\n{text[left:]}" if left > 0 else text


def joined(lines: Iterable[str]) -> str:
    """Lines as one text."""
    return "\n".join(lines)
