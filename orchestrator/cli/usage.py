"""usage: what agents have used, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from orchestrator.cli import connection, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.client.usage import By
from orchestrator.contract.machine_answers import UsageAnswer
from orchestrator.model.usage import UsageRow
from orchestrator.report import json_page, json_plans


@reports(limit=10)
def usage(
    feature_id: Annotated[
        str | None, typer.Argument(metavar="[FEATURE]", help="One feature; else all, on the last 30 days.")
    ] = None,
    by: Annotated[
        By | None, typer.Option(help="What is summed up; else tasks of a feature, or days.")
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Show what agents have used, and what it cost: of a feature, or of all on the last 30 days."""
    with connection.client(looks=True) as client:
        report = client.usage(feature_id, by)
    part, left, cursor = json_page.page(report.rows, asked.limit, asked.after, lambda row: row.name)
    if asked.as_json:
        asked.answer(
            UsageAnswer(
                feature=feature_id or "",
                by=report.by,
                usage=tuple(map(json_plans.usage_line, part)),
                total=json_plans.usage_line(report.total, named=False),
                budgets=tuple(map(json_plans.budget_line, report.budgets)),
                left_out=json_page.left_out(usage=left),
                after=cursor,
            )
        )
        return
    if report.rows:
        more = f"{left:,} more" if left else ""
        output.show(_table(report.by, part, report.total, more))
    else:
        output.say(
            "No agent has used anything yet." if feature_id else "No agent has used anything for 30 days."
        )
    for budget in report.budgets:
        output.say(str(budget))


def _table(by: By, rows: Sequence[UsageRow], total: UsageRow, more: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(by.upper(), overflow="fold")
    for heading in ("COST", "TOKENS IN", "FROM CACHE", "TOKENS OUT", "REQUESTS"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(output.inert(row.name or "-"), *_cells(row))
    if more:
        table.add_row(more)
    if len(rows) > 1 or more:
        table.add_row("all", *_cells(total))
    return table


def _cells(row: UsageRow) -> list[str]:
    read = row.input + row.cache_write
    return [row.price or "-", *(f"{number:,}" for number in (read, row.cache_read, row.output, row.requests))]
