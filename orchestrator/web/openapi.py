"""The description of the API, made from the models of its answers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic.json_schema import models_json_schema

from orchestrator import __version__
from orchestrator.contract.answer import Answer
from orchestrator.contract.feature_answers import DecisionAnswer, FeatureAnswer, FeaturesAnswer
from orchestrator.contract.machine_answers import ErrorAnswer, LimitsAnswer
from orchestrator.contract.plan_answers import PlanAnswer
from orchestrator.contract.task_answers import EventsAnswer, ExplainAnswer, TaskAnswer

PLACE = "#/components/schemas/"


class Route(NamedTuple):
    """One thing that the API does."""

    method: str
    path: str
    summary: str
    answer: type[Answer] | str
    """The model of the answer, or its content type."""
    query: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None
    status: int = 200


FIELDS = {"fields": "only these, with commas between them; all: all of them"}
FILE = {
    "application/yaml": {"schema": {"type": "string"}},
    "application/json": {"schema": {"type": "object"}},
}
DECISION = {
    "type": "object",
    "required": ["action"],
    "properties": {
        "action": {"type": "string", "description": "as in the actions of an answer, such as retry"},
        "task": {"type": "string", "description": "absent: the feature as a whole"},
        "arguments": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
LIMIT = {
    "type": "object",
    "required": ["limit", "amount"],
    "properties": {"limit": {"type": "string"}, "amount": {"type": "string"}},
}

ROUTES = (
    Route(
        "get",
        "/api/features",
        "The features, newest first",
        FeaturesAnswer,
        {
            "q": "in the id or the title",
            "status": "only these",
            "tag": "only these",
            "after": "the last of the page before",
            "limit": "the most of them",
            **FIELDS,
        },
    ),
    Route("post", "/api/features", "Enqueue a feature", FeatureAnswer, FIELDS, FILE, 201),
    Route("post", "/api/plan", "What would run when; nothing is stored", PlanAnswer, FIELDS, FILE),
    Route(
        "get",
        "/api/features/{feature}",
        "Where a feature stands",
        FeatureAnswer,
        {
            "all": "anything: all of its tasks",
            "limit": "the most entries of a list",
            "after": "the last task before",
            **FIELDS,
        },
    ),
    Route("get", "/api/features/{feature}/graph", "All of its tasks, with every field", FeatureAnswer),
    Route(
        "get",
        "/api/features/{feature}/events",
        "What happened, oldest first",
        EventsAnswer,
        {"after": "the last event that is known", "limit": "the most of them"},
    ),
    Route(
        "get",
        "/api/features/{feature}/stream",
        "What happens, as it happens (server-sent events)",
        "text/event-stream",
        {"after": "the last event that is known; the header Last-Event-ID goes before"},
    ),
    Route(
        "post",
        "/api/features/{feature}/decisions",
        "Decide something",
        DecisionAnswer,
        FIELDS,
        {"application/json": {"schema": DECISION}},
    ),
    Route("get", "/api/features/{feature}/tasks/{task}", "One task", TaskAnswer, FIELDS),
    Route(
        "get",
        "/api/features/{feature}/tasks/{task}/explain",
        "Why a task is in its status",
        ExplainAnswer,
        FIELDS,
    ),
    Route("get", "/api/features/{feature}/tasks/{task}/log", "Its output, as it comes", "text/event-stream"),
    Route("get", "/api/limits", "What holds over all features", LimitsAnswer, FIELDS),
    Route(
        "post", "/api/limits", "Change a limit", LimitsAnswer, FIELDS, {"application/json": {"schema": LIMIT}}
    ),
)
"""All that the API does."""


@functools.cache
def document(server: str = "") -> dict[str, Any]:
    """The API as OpenAPI 3.1.

    Args:
        server: Where it begins, if Flower has a `url_prefix`.

    Example:
        >>> sorted(document()["paths"]["/api/features"])
        ['get', 'post']
    """
    models = {route.answer for route in ROUTES if not isinstance(route.answer, str)} | {ErrorAnswer}
    wanted: Any = [(model, "serialization") for model in sorted(models, key=lambda one: one.__name__)]
    _, schemas = models_json_schema(wanted, ref_template=f"{PLACE}{{model}}")
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Task Orchestrator", "version": __version__},
        "servers": [{"url": server or "/"}],
        "security": [{"password": []}, {"secret": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic", "description": "Flower's own"},
                "secret": {"type": "http", "scheme": "bearer", "description": "where Flower has no password"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    named = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named
    ] + [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in route.query.items()
    ]
    if isinstance(route.answer, str):
        content: dict[str, Any] = {route.answer: {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": {"$ref": f"{PLACE}{route.answer.__name__}"}}}
    error = {"type": "object", "properties": {"error": {"$ref": f"{PLACE}ErrorAnswer"}}}
    body = {"requestBody": {"required": True, "content": route.body}} if route.body else {}
    return {
        "summary": route.summary,
        "parameters": parameters,
        **body,
        "responses": {
            str(route.status): {"description": "Done", "content": content},
            "default": {"description": "Refused", "content": {"application/json": {"schema": error}}},
        },
    }
