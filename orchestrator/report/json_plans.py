"""Plans, routes, graphs and limits as answers of `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from orchestrator.contract import answer, machine_answers, plan_answers
from orchestrator.model.plan import Plan, Route
from orchestrator.model.usage import BudgetStand, UsageRow
from orchestrator.planning import routing
from orchestrator.planning.limits import Limit
from orchestrator.report.json_page import LIMIT, left_out, page
from orchestrator.report.picture import Picture

SHOWN_BEHIND = 5


def route_groups(routes: Mapping[str, Route], limit: int = LIMIT) -> tuple[plan_answers.RouteGroup, ...]:
    """Say who gets each task and why, with the tasks of one specialist and reason together."""
    return tuple(route_group(route, tasks, limit) for route, tasks in routing.grouped(routes))


def routes(found: Mapping[str, Route], limit: int = LIMIT, after: str = "") -> plan_answers.RoutesAnswer:
    """Say who gets each task, and why; `after` is the number of the last group of the part before."""
    groups = list(enumerate(route_groups(found, limit), 1))
    part, left, cursor = page(groups, limit, after, lambda numbered: str(numbered[0]))
    return plan_answers.RoutesAnswer(
        routes=tuple(group for _, group in part), left_out=left_out(routes=left), after=cursor
    )


def fallback(routes: Mapping[str, Route]) -> tuple[plan_answers.RouteGroup, ...]:
    """The tasks that the default does because no tag matches."""
    return route_groups({task: route for task, route in routes.items() if route.rule == "default"})


def route_group(route: Route, tasks: Sequence[str] = (), limit: int = LIMIT) -> plan_answers.RouteGroup:
    """A route, with the tasks that take it. Its reason is left out if only one tag matched."""
    is_plain = route.rule == "tag" and "(" not in route.reason
    return plan_answers.RouteGroup(
        specialist=answer.Specialist(name=route.specialist, title=route.title) if route.specialist else None,
        queue="" if route.queue == route.specialist else route.queue,
        model_tier=route.model_tier or "",
        runtime=route.runtime,
        ladder=route.ladder,
        rule="" if route.rule == "tag" else route.rule,
        tag=route.tag or "",
        reason="" if is_plain else route.reason,
        total=len(tasks) if len(tasks) > limit else 0,
        tasks=tuple(tasks[:limit]),
        suggestions=route.suggestions[:SHOWN_BEHIND],
    )


def recommended(
    route: Route, domains: Mapping[str, str], near: Sequence[str] = ()
) -> plan_answers.RecommendAnswer:
    """Say who gets one task; if no tag matches, also which tags would (see `routing.domains`, `routing.near`)."""
    is_matched = route.rule not in ("default", "nobody")
    group = route_group(route)
    return plan_answers.RecommendAnswer(
        specialist=group.specialist,
        queue=group.queue,
        model_tier=group.model_tier,
        runtime=group.runtime,
        ladder=group.ladder,
        rule=group.rule,
        tag=group.tag,
        domains={} if is_matched else domains,
        near=() if is_matched else tuple(near),
    )


def plan(
    planned: Plan, routes: Mapping[str, Route], limit: int = LIMIT, after: str = ""
) -> plan_answers.PlanAnswer:
    """A plan: which tasks would run when, and who would do them."""
    batches, left, cursor = page(planned.batches, limit, after, lambda batch: str(batch.number))
    groups = route_groups(routes, limit)
    path, known = planned.critical_path, planned.known
    return plan_answers.PlanAnswer(
        title=planned.feature.title,
        strategy=planned.strategy,
        requested=planned.requested,
        cap=planned.cap,
        total=len(planned.feature.tasks),
        sources=plan_answers.Sources(
            written=planned.written, learned=len(planned.learned), unknown=planned.unknown
        ),
        **({} if planned.is_guess else _seconds(planned)),
        batches=tuple(
            plan_answers.PlannedBatch(
                batch=batch.number,
                tasks=batch.tasks[:limit],
                total=len(batch.tasks) if len(batch.tasks) > limit else 0,
                seconds=batch.expected if known.issuperset(batch.tasks) else None,
                sub_batches=len(batch.sub_batches),
            )
            for batch in batches
        ),
        critical_path=path[:limit],
        bottlenecks=tuple(
            plan_answers.Blocking(task=one.task, blocks=one.blocks) for one in planned.bottlenecks[:limit]
        ),
        routes=groups[:limit],
        left_out=left_out(
            batches=left,
            critical_path=max(0, len(path) - limit),
            bottlenecks=max(0, len(planned.bottlenecks) - limit),
            routes=max(0, len(groups) - limit),
        ),
        after=cursor,
    )


def _seconds(planned: Plan) -> dict[str, float]:
    return {
        "seconds": planned.expected_seconds,
        "total_seconds": planned.total_seconds,
        "critical_seconds": planned.critical_seconds,
        "expected_batched": planned.expected_batched,
        "expected_dataflow": planned.expected_dataflow,
        "barrier_percent": planned.barrier_percent,
    }


def budget_line(stand: BudgetStand) -> machine_answers.BudgetLine:
    """How much of a budget is used."""
    return machine_answers.BudgetLine(
        budget="feature" if stand.which == "feature" else "day",
        limit=stand.limit,
        spent=stand.spent,
        kept=stand.kept,
        left=stand.left,
    )


def usage_line(row: UsageRow, *, named: bool = True) -> machine_answers.UsageLine:
    """A sum of what agents have used; the sum of all has no name."""
    fields = row.model_dump(exclude={"name"})
    return machine_answers.UsageLine(name=row.name if named else "", **fields)


def limit_line(limit: Limit, most: int = LIMIT) -> machine_answers.LimitLine:
    """A limit as it stands."""
    holders: Iterable[Any] = islice(limit.holders, most)
    return machine_answers.LimitLine(
        limit=limit.name,
        amount=limit.amount,
        in_use=limit.in_use,
        waiting=limit.waiting,
        features=limit.features,
        next_token=limit.next_token,
        holders=tuple(
            machine_answers.Holder(feature=one.feature, task=one.task, units=one.units) for one in holders
        ),
    )


def graph(found: Picture) -> plan_answers.GraphAnswer:
    """A picture for those who draw it themselves."""
    columns = [
        plan_answers.GraphColumn(
            name=name,
            boxes=tuple(
                plan_answers.GraphBox(id=box.id, title=box.title, status=box.status or "", tasks=box.tasks)
                for box in boxes
            ),
        )
        for name, boxes in found.columns
    ]
    return plan_answers.GraphAnswer(
        feature=found.title,
        columns=tuple(columns),
        arrows=tuple(found.arrows),
        cycles=tuple(arrow for arrow in found.arrows if arrow in found.marked),
        notes=found.notes,
    )
