"""The way into Flower: its application gets our handlers, and its navigation bar our tab."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado.web import StaticFileHandler, url

from orchestrator.web.site import Site
from orchestrator.web.templates import Templates

if TYPE_CHECKING:
    from orchestrator.engine.installation import Installation

logger = logging.getLogger("orchestrator")

STATIC = Path(__file__).with_name("static")


def open_in(flower: Any, engine: Installation) -> None:
    """Bring the pages of features into a Flower that is about to start.

    A Flower that has no place for them stays as it is, and its log says so.

    Args:
        flower: Flower's Tornado application.
        engine: The engine in the Celery app that it watches.
    """
    import flower as package

    templates = Templates(flower.settings.get("template_path", ""))
    if not (templates.has_place() and hasattr(flower, "add_handlers")):
        logger.warning(
            "This Flower (%s) has no place for the tab Features; the pages are made for Flower 2.0 and later. "
            "Install a newer one, or use `orchestrator status`.",
            getattr(package, "__version__", "of an unknown version"),
        )
        return
    site = Site(engine.app, flower.options)
    flower.settings["template_loader"] = templates
    flower.add_handlers(r".*", handlers(site, flower.options.url_prefix or ""))
    is_secret_new = engine.settings.web.secret is None
    if is_secret_new and not site.has_password and not flower.options.unix_socket:
        logger.warning("Features: %s", address(flower.options, site.secret))


def address(options: Any, secret: str) -> str:
    """The address of the features in a Flower without a password.

    Example:
        >>> from types import SimpleNamespace
        >>> address(SimpleNamespace(address="", port=5555, url_prefix="", certfile=None), "s3cret")
        'http://127.0.0.1:5555/features?secret=s3cret'
    """
    scheme = "https" if options.certfile else "http"
    prefix = f"/{options.url_prefix.strip('/')}" if options.url_prefix else ""
    return f"{scheme}://{options.address or '127.0.0.1'}:{options.port}{prefix}/features?secret={secret}"


class Static(StaticFileHandler):
    """Our scripts and styles. A browser asks whether they have changed: after an upgrade they belong together."""

    def set_extra_headers(self, path: str) -> None:
        """Called by Tornado."""
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")


def handlers(site: Site, prefix: str = "") -> list[Any]:
    """Our addresses, each with the handler that answers.

    Args:
        site: Shared by all pages.
        prefix: Flower's `url_prefix`.
    """
    from orchestrator.web import api, events, pages

    start = f"/{prefix.strip('/')}" if prefix else ""
    shared = {"site": site}
    found = [
        ("/features", pages.Features, "features"),
        ("/features/plan", pages.Plan, "features-plan"),
        ("/features/limits", pages.Limits, "features-limits"),
        ("/feature/ID", pages.Feature, "feature"),
        ("/feature/ID/task/ID", pages.Task, "feature-task"),
        ("/api/features", api.Features, "api-features"),
        ("/api/features/openapi.json", api.Description, "api-features-openapi"),
        ("/api/features/ID", api.Feature_, "api-feature"),
        ("/api/features/ID/graph", api.Graph, "api-feature-graph"),
        ("/api/features/ID/events", api.Events, "api-feature-events"),
        ("/api/features/ID/stream", events.FeatureStream, "api-feature-stream"),
        ("/api/features/ID/decisions", api.Decisions, "api-feature-decisions"),
        ("/api/features/ID/tasks/ID", api.Task, "api-feature-task"),
        ("/api/features/ID/tasks/ID/explain", api.Explain, "api-feature-task-explain"),
        ("/api/features/ID/tasks/ID/log", events.LogStream, "api-feature-task-log"),
        ("/api/plan", api.Plan, "api-plan"),
        ("/api/limits", api.Limits, "api-limits"),
    ]
    return [
        url(rf"{start}/features/static/(.*)", Static, {"path": str(STATIC)}, name="features-static"),
        *(url(start + path.replace("ID", "([^/]+)"), kind, shared, name) for path, kind, name in found),
    ]
