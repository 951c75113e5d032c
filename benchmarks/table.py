"""The rows as a table for people, on the terminal and in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Figure, Row
from benchmarks.options import BUDGET, MINUTES

HEAD = ("what", "ours", "beside", "ratio", "target", "")
TITLE = "Medians; in brackets the number of runs, and the lowest and highest ratio"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table, and the notes below it."""
    table = Table(*HEAD, title=TITLE)
    for row in rows:
        table.add_row(*_cells(row, "\n"))
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", highlight=False, soft_wrap=True)


def show_time(took: Mapping[str, float], minutes: float, console: Console) -> None:
    """Print how long each subject took beside what it may take."""
    table = Table("subject", title="Seconds, beside the budget")
    table.add_column("took", justify="right")
    table.add_column("budget", justify="right")
    for subject, seconds in took.items():
        table.add_row(subject, f"{seconds:.0f}", f"{BUDGET[subject]}")
    all_in_all = f"{60 * minutes:.0f}", f"{60 * MINUTES}"
    table.add_row("all, with starting and stopping", *all_in_all)
    console.print(table)


def markdown(rows: Sequence[Row]) -> str:
    """The same table, for the documentation.

    Example:
        >>> print(markdown([Row("a row", skipped="not installed")]))
        | what | ours | beside | ratio | target |  |
        |---|---|---|---|---|---|
        | a row | not installed |  |  |  |  |
    """
    lines = [HEAD, ["---"] * len(HEAD), *(_cells(row, "<br>") for row in rows)]
    return "\n".join(
        f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines
    )


def _cells(row: Row, new_line: str) -> list[str]:
    return [
        row.name,
        _figure(row.ours, new_line) or row.skipped,
        _figure(row.beside, new_line),
        _ratio(row, new_line),
        f"{row.target}" if row.target else "",
        _verdict(row, new_line),
    ]


def _ratio(row: Row, new_line: str) -> str:
    if row.ratio is None:
        return ""
    spread = f"{new_line}({min(row.ratios):,.3g} to {max(row.ratios):,.3g})" if len(row.ratios) > 1 else ""
    return f"{row.ratio:,.3g}{spread}"


def _verdict(row: Row, new_line: str) -> str:
    """Whether the target is met, and how far it is missed, as a share of it."""
    if row.shortfall is None or row.target is None:
        return ""
    if row.shortfall <= 0:
        return "met"
    return f"missed,{new_line}{row.shortfall:.1%} {'short' if row.target.rule == 'at least' else 'over'}"


def _figure(figure: Figure | None, new_line: str) -> str:
    if figure is None:
        return ""
    number = f"{figure.median:,.0f}" if figure.median >= 100 else f"{figure.median:,.3g}"
    count = "computed" if figure.is_computed else len(figure.values)
    return f"{number} {figure.unit} ({count}){new_line}{figure.label}"
