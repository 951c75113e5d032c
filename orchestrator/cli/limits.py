"""limits: what holds over all features, who holds it, and how to change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from orchestrator.cli import connection, output
from orchestrator.cli.asked import Asked, reports
from orchestrator.contract.machine_answers import LimitsAnswer, ModelLine
from orchestrator.model import durations
from orchestrator.model.words import count, some
from orchestrator.planning.limits import Limit
from orchestrator.report import json_page, json_plans

if TYPE_CHECKING:
    from orchestrator.state.models import ModelLimit

HOLDERS_SHOWN = 4

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode="rich")


@app.callback()
@reports(limit=50)
def limits(ctx: typer.Context, *, asked: Asked) -> None:
    """Show what holds over all features: how much there is, who holds it, and how many tasks wait for it."""
    if ctx.invoked_subcommand is not None:
        return
    with connection.client(looks=True) as client:
        found, models = client.limits(), client.models()
    _show(found, asked, models)


@app.command("set")
@reports()
def change(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="total, specialist:NAME, rate:NAME, or a resource.")
    ],
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="A number; for a rate 30/m, or '30/m burst 5'; or none.")
    ],
    *,
    asked: Asked,
) -> None:
    """Change a limit at once, until the configuration changes it again. Running tasks go on to their end."""
    with connection.client() as client:
        limit = client.set_limit(name, amount)
    if asked.as_json:
        asked.answer(LimitsAnswer(limits=(json_plans.limit_line(limit),)))
        return
    output.say(f"{limit.title}: {'no limit' if amount == 'none' else limit.amount}.")


@app.command()
@reports(limit=50)
def reset(*, asked: Asked) -> None:
    """Set every limit as it is configured."""
    with connection.client() as client:
        found = client.reset_limits()
    _show(found, asked)


def _show(found: Sequence[Limit], asked: Asked, models: Sequence[ModelLimit] = ()) -> None:
    if asked.as_json:
        part, left, cursor = json_page.page(found, asked.limit, asked.after, lambda one: one.name)
        lines = tuple(json_plans.limit_line(one) for one in part)
        asked.answer(
            LimitsAnswer(
                limits=lines,
                models=tuple(ModelLine(model=one.model, opens=one.opens, cap=one.cap) for one in models),
                left_out=json_page.left_out(limits=left),
                after=cursor,
            )
        )
        return
    if found:
        output.show(_table(found))
    if models:
        output.show(_models(models))
    if not (found or models):
        output.say(
            "There is no limit over all features. See `resources`, `concurrency` and `rate` in the settings."
        )


def _models(models: Sequence[ModelLimit]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("MODEL AT ITS LIMIT", "OPENS", "AGENTS AT ONCE"):
        table.add_column(heading, overflow="fold")
    for one in models:
        opens = f"in {durations.write(one.opens)}" if one.opens else "it is open"
        table.add_row(*map(output.inert, (one.model, opens, str(one.cap))))
    return table


def _table(found: Sequence[Limit]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("LIMIT", "THERE IS", "IN USE", "WAITING", "HELD BY"):
        table.add_column(heading, overflow="fold")
    for limit in found:
        holders = [
            f"{holder.task} of {holder.feature}" + (f" ({holder.units})" if holder.units > 1 else "")
            for holder in limit.holders
        ]
        held = some(holders, most=HOLDERS_SHOWN)
        if limit.next_token:
            held = f"the next in {durations.write(limit.next_token)}"
        waiting = (
            f"{count(limit.waiting, 'task')} of {count(limit.features, 'feature')}" if limit.waiting else "-"
        )
        in_use = "-" if limit.is_rate else str(limit.in_use)
        table.add_row(*map(output.inert, (limit.name, limit.amount, in_use, waiting, held or "-")))
    return table
