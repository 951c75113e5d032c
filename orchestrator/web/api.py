"""The JSON API: what `--json` answers, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import redis
from tornado.escape import json_decode
from tornado.web import HTTPError

from orchestrator.client import actions, answers, explaining, task_log
from orchestrator.contract import compact
from orchestrator.contract.feature_answers import DecisionAnswer, FeaturesAnswer
from orchestrator.contract.machine_answers import LimitsAnswer
from orchestrator.contract.task_answers import EventsAnswer
from orchestrator.feature_file import reader
from orchestrator.model import errors, identifiers
from orchestrator.planning import routing
from orchestrator.report import json_plans, json_tasks
from orchestrator.state import actor
from orchestrator.web import listing, snapshot
from orchestrator.web.handler import Handler, status_of, told

if TYPE_CHECKING:
    from orchestrator.client.handle import Handle
    from orchestrator.contract.answer import Answer
    from orchestrator.model.feature import Feature

P = ParamSpec("P")
T = TypeVar("T")

MOST_EVENTS = 1_000


class Call(Handler):
    """A call of the API."""

    def write_error(self, status_code: int, **given: Any) -> None:
        """Called by Tornado: errors are JSON too."""
        error = (given.get("exc_info") or (None, None))[1]
        if isinstance(error, errors.OrchestratorError):
            self.write_json(told(error), status_of(error))
            return
        if isinstance(error, redis.RedisError):
            self.write_json({"error": {"code": "redis-unreachable", "message": "Redis is away."}}, 503)
            return
        message = error.log_message if isinstance(error, HTTPError) and error.log_message else self._reason
        if status_code == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        self.write_json({"error": {"code": "refused", "message": message}}, status_code)

    async def find(self, feature_id: str) -> Handle:
        """The feature that the address names.

        Raises:
            NoSuchFeature: There is none of this id.
        """
        return await self.site.run(self.site.client.feature, feature_id)

    async def decide(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Change something in the name of who asks for it."""

        def act() -> T:
            with actor.acting(self.visitor):
                return function(*args, **kwargs)

        return await self.site.run(act)

    def whole(self, name: str, default: int, most: int) -> int:
        """A number of the query, from 1 to `most`.

        Raises:
            HTTPError: It is none.
        """
        given = self.get_query_argument(name, "")
        if not given:
            return default
        if not given.isdecimal() or not 1 <= int(given) <= most:
            raise HTTPError(400, f"{name} is no number from 1 to {most:,}", reason="Bad Request")
        return int(given)

    @property
    def fields(self) -> str | None:
        """The fields that are asked for, as --fields takes them."""
        given: str = self.get_query_argument("fields", "")
        return given or None

    def given(self) -> Mapping[str, Any]:
        """The content of the request: a JSON object, or the fields of a form.

        Raises:
            HTTPError: It is neither.
        """
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            return {name: self.get_body_argument(name) for name in self.request.body_arguments}
        try:
            found = json_decode(self.request.body)
        except (ValueError, UnicodeDecodeError):
            found = None
        if not isinstance(found, dict):
            raise HTTPError(400, "What was sent is no JSON object.", reason="Bad Request")
        return found


class Features(Call):
    """The features, and a new one."""

    async def get(self) -> None:
        """GET /api/features?q=&status=&tag=&after=&limit=."""
        asked = listing.Asked(
            text=self.get_query_argument("q", ""),
            status=self.get_query_argument("status", ""),
            tag=self.get_query_argument("tag", ""),
            after=self.get_query_argument("after", ""),
            limit=self.whole("limit", listing.LIMIT, listing.MOST),
        )
        found: FeaturesAnswer = await self.site.run(listing.features, self.site.client, asked)
        self.answer(found, fields=self.fields or compact.EVERYTHING)

    async def post(self) -> None:
        """POST /api/features: enqueue a feature, written as in a feature file."""
        feature = await self.site.run(read_feature, self)
        key = self.request.headers.get("Idempotency-Key")
        handle = await self.decide(self.site.client.enqueue, feature, idempotency_key=key)
        found = await self.site.run(answers.concluded, self.site.client, handle, repeated=handle.repeated)
        self.set_header("Location", self.reverse_url("feature", handle.id))
        self.answer(found, 200 if handle.repeated else 201, self.fields)


def read_feature(call: Call) -> Feature:
    """The feature that was sent: as a file, or in the field `text` of a form.

    Raises:
        InvalidFeature: It has mistakes.
    """
    kind = call.request.headers.get("Content-Type", "").partition(";")[0].strip()
    is_form = kind in ("application/x-www-form-urlencoded", "multipart/form-data")
    text = call.get_body_argument("text", "", strip=False) if is_form else call.request.body
    # JSON is YAML too, but its own reader names the mistakes of JSON.
    is_json = kind == "application/json" or (is_form and str(text).lstrip().startswith("{"))
    return reader.parse(text, call.site.settings.limits, source="The text", json=is_json)


class Plan(Call):
    """A plan of a feature that is not enqueued."""

    async def post(self) -> None:
        """POST /api/plan: what would run when. Nothing is stored."""
        found = await self.site.run(self._plan)
        self.answer(found, fields=self.fields)

    def _plan(self) -> Answer:
        feature = read_feature(self)
        plan = self.site.client.plan(feature)
        return json_plans.plan(plan, routing.route(feature, self.site.settings), limit=1_000)


class Feature_(Call):
    """One feature."""

    async def get(self, feature_id: str) -> None:
        """GET /api/features/ID?all=&limit=&after=."""
        handle = await self.find(feature_id)
        found = await self.site.run(
            answers.feature,
            self.site.client,
            handle,
            whole=bool(self.get_query_argument("all", "")),
            limit=self.whole("limit", 100, 100_000),
            after=self.get_query_argument("after", ""),
        )
        self.answer(found, fields=self.fields)


class Graph(Call):
    """All tasks of a feature, for the drawing."""

    async def get(self, feature_id: str) -> None:
        """GET /api/features/ID/graph."""
        drawn = await self.site.run(self.site.snapshots.take, feature_id)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.finish(drawn.gzipped)
        else:
            self.finish(drawn.plain)


class Events(Call):
    """The events of a feature."""

    async def get(self, feature_id: str) -> None:
        """GET /api/features/ID/events?after=&limit=."""
        handle = await self.find(feature_id)
        after = self.get_query_argument("after", "") or "-"
        limit = self.whole("limit", MOST_EVENTS, MOST_EVENTS)
        events = (await self.site.run(handle.events, after))[:limit]
        found = EventsAnswer(
            feature=feature_id,
            events=tuple(snapshot.event_line(event) for event in events),
            gone=await self.site.run(handle.events_gone),
            after=events[-1].id if events else "",
        )
        value = compact.select(found, compact.EVERYTHING)
        self.write_json({**value, "after": found.after} if found.after else value)


class Task(Call):
    """One task, with what it was asked and how it ended."""

    async def get(self, feature_id: str, task_id: str) -> None:
        """GET /api/features/ID/tasks/TASK."""
        handle = await self.find(feature_id)
        self.answer(await self.site.run(self._read, handle, task_id), fields=self.fields)

    def _read(self, handle: Handle, task_id: str) -> Answer:
        task = self.site.client.store.tasks.find(handle.id, task_id)
        return answers.task(
            self.site.client,
            handle,
            task_id,
            whole=True,
            brief=json_tasks.brief(task),
            outcome=json_tasks.outcome(handle.outcome(task_id)),
            log=task_log.end(self.site.client, handle, task_id),
        )


class Explain(Call):
    """Why a task is in its status."""

    async def get(self, feature_id: str, task_id: str) -> None:
        """GET /api/features/ID/tasks/TASK/explain."""
        handle = await self.find(feature_id)
        client = self.site.client
        found = await self.site.run(explaining.explain, client, handle, task_id)
        self.answer(await self.site.run(explaining.answer, client, handle, found), fields=self.fields)


class Decisions(Call):
    """Decisions about a feature or a task."""

    async def post(self, feature_id: str) -> None:
        """POST /api/features/ID/decisions: {action, task, arguments}. A form of a page is led back to its page."""
        handle = await self.find(feature_id)
        given = dict(self.given())
        action, task = str(given.pop("action", "")), str(given.pop("task", "") or "")
        sent = given.get("arguments", given)
        arguments = {str(name): str(value) for name, value in sent.items()} if isinstance(sent, dict) else {}
        text = await self.decide(actions.carry_out, handle, action, task, arguments)
        found: DecisionAnswer = await self.site.run(
            answers.decision, self.site.client, handle, text, [task] if task else []
        )
        if wants_page(self.request.headers.get("Accept", "")):
            has_page = task and not identifiers.is_gates(task)
            names = ("feature-task", handle.id, task) if has_page else ("feature", handle.id)
            self.redirect(self.reverse_url(*names), status=303)
            return
        self.answer(found, fields=self.fields)


def wants_page(accept: str) -> bool:
    """Whether a browser sent a form by itself, without a script.

    Example:
        >>> wants_page("text/html,application/xhtml+xml"), wants_page("application/json")
        (True, False)
    """
    return "text/html" in accept


class Limits(Call):
    """The limits that hold over all features."""

    async def get(self) -> None:
        """GET /api/limits."""
        found = await self.site.run(self.site.client.limits)
        self.answer(
            LimitsAnswer(limits=tuple(json_plans.limit_line(one) for one in found)), fields=self.fields
        )

    async def post(self) -> None:
        """POST /api/limits: {limit, amount}."""
        given = self.given()
        name, amount = str(given.get("limit", "")), str(given.get("amount", ""))
        changed = await self.decide(self.site.client.set_limit, name, amount)
        if wants_page(self.request.headers.get("Accept", "")):
            self.redirect(self.reverse_url("features-limits"), status=303)
            return
        self.answer(LimitsAnswer(limits=(json_plans.limit_line(changed),)), fields=self.fields)


class Description(Call):
    """The description of the API, as OpenAPI."""

    def get(self) -> None:
        """GET /api/features/openapi.json."""
        from orchestrator.web import openapi

        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(
            json.dumps(openapi.document(self.request.path.removesuffix("/api/features/openapi.json")))
        )
