"""The defaults of Flower for `celery -A orchestrator flower`: it serves this machine alone, and shows our columns."""

from __future__ import annotations

import copy
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from orchestrator.config.addresses import is_loopback
from orchestrator.engine import installation
from orchestrator.model import errors, identifiers

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

logger = logging.getLogger("orchestrator")

OPEN_API = "FLOWER_UNAUTHENTICATED_API"
STARTS = ("apply", "async-apply", "send-task")
"""The names in Flower's API for the start of a task."""

YES = ("y", "yes", "t", "true", "on", "1")


def format_task(task: Any) -> Any:
    """Show the feature and the task instead of the arguments, and the cause of a failure as the result.

    Args:
        task: A `celery.events.state.Task`. Its uuid is that of `orchestrator.engine.canvas.message_id`.

    Returns:
        A copy to be shown. The API still returns the original.

    Example:
        A task with the uuid "auth:T2:1:0f3a9c5e71d2" is shown with the arguments "auth → T2"; at its second attempt
        "auth → T2 (attempt 2)".
    """
    shown = copy.copy(task)
    attempt = identifiers.attempt_named(str(task.uuid))
    if attempt:
        feature, name, number = attempt
        shown.args = f"{feature} → {name}" + (f" (attempt {number})" if number != 1 else "")
    failed = re.match(r"""TaskFailed\((['"])(.*)\1\)$""", task.exception or "", re.DOTALL)
    if failed:
        shown.result = failed[2]
    elif isinstance(task.result, str):
        shown.result = task.result.strip("'\"")
    return shown


DEFAULTS: Mapping[str, Any] = {
    # Flower's own default is every interface of the machine, even without a password.
    "address": "127.0.0.1",
    "tasks_columns": "name,args,state,result,received,runtime,worker,uuid",
    # Seconds after which workers that are gone leave the list. Flower's own default is its next restart.
    "purge_offline_workers": 600,
    "format_task": format_task,
}
"""Flower's options (flower/options.py). Its environment, configuration file and command line override them."""


def prepare(settings: Settings) -> None:
    """Set Flower's defaults and our checks, if Celery has loaded Flower's command in this process.

    Celery loads the commands of its plugins before the app, and runs them after it, so these become the defaults.
    """
    command = sys.modules.get("flower.command")
    if command is None:
        return
    from tornado.options import options

    for name, value in DEFAULTS.items():
        setattr(options, name, value)
    bring_pages()
    vars(command)["Flower"] = _careful(command.Flower, settings)


def bring_pages() -> None:
    """Let Flower show features and their metrics, if Celery has loaded Flower's command (see `orchestrator.web`)."""
    command = sys.modules.get("flower.command")
    if command is None or getattr(command, PAGES, False):
        return
    if not isinstance(getattr(command, "Flower", None), type):
        logger.warning("This Flower starts in a way that is not known, so it shows no features.")
        return
    vars(command).update({"Flower": _with_pages(command.Flower), PAGES: True})


PAGES = "_orchestrator_pages"
"""The mark that Flower's command has when its Flower shows features."""


def _with_pages(flower: type[Any]) -> type[Any]:
    class FlowerWithPages(flower):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            engine = getattr(self.capp, installation.ATTRIBUTE, None)
            if engine is not None:
                # Late: a worker loads Flower's command too.
                from orchestrator.metrics import server
                from orchestrator.web import entrance

                entrance.open_in(self, engine)
                server.join_flower(engine.settings)

    return FlowerWithPages


def _careful(flower: type[Any], settings: Settings) -> type[Any]:
    from tornado.web import ErrorHandler

    class CarefulFlower(flower):  # type: ignore[misc]
        def __init__(self, *args: Any, options: Any, **kwargs: Any) -> None:
            try:
                check(options, settings, os.environ)
            except errors.UnsafeFlower as error:
                print(error, file=sys.stderr)
                raise SystemExit(error.exit_code) from None
            super().__init__(*args, options=options, **kwargs)

        def find_handler(self, request: Any, **kwargs: Any) -> Any:
            if is_foreign_host(request.host, self.options) or is_forbidden(request.path, settings):
                return self.get_handler_delegate(request, ErrorHandler, {"status_code": 403})
            return super().find_handler(request, **kwargs)

    return CarefulFlower


def check(options: Any, settings: Settings, environment: Mapping[str, str]) -> None:
    """Refuse a Flower through which anybody can start and stop tasks, and warn of one that anybody can read.

    Raises:
        UnsafeFlower: Any web page that the user of this machine visits could start commands through its API.
    """
    has_password = is_protected(options)
    is_open = environment.get(OPEN_API, "").lower() in YES
    if is_open and not has_password and settings.is_embedded:
        raise errors.UnsafeFlower(variable=OPEN_API)
    if not has_password and not options.unix_socket and not is_loopback(options.address):
        logger.warning(
            "Flower listens on %s without a password: anybody who reaches it can stop workers and tasks. "
            "Set FLOWER_BASIC_AUTH=user:password, or leave out --address.",
            options.address or "every interface",
        )


def is_forbidden(path: str, settings: Settings) -> bool:
    """Whether a request would start a task or read its result: a monitor does neither.

    Tasks may be started if the operator has opened canvases to everybody (`trust.canvas`).

    Example:
        >>> from orchestrator.config.settings import Settings
        >>> is_forbidden("/api/task/send-task/writer.standalone", Settings()), is_forbidden("/api/tasks", Settings())
        (True, False)
    """
    found = re.search(r"/api/task/+([^/]+)", unquote(path))
    if not found:
        return False
    return found[1] == "result" or (found[1] in STARTS and not settings.trust.canvas)


def is_foreign_host(host: str, options: Any) -> bool:
    """Whether a request names another host: a web page that rebinds its own name to this machine does (DNS rebinding).

    A Flower with a password is safe from that, and one behind a proxy may have any name.

    Example:
        >>> from types import SimpleNamespace
        >>> options = SimpleNamespace(address="127.0.0.1", basic_auth=[], auth="", unix_socket="")
        >>> is_foreign_host("localhost:5555", options), is_foreign_host("evil.example:5555", options)
        (False, True)
    """
    if is_protected(options) or options.unix_socket or not is_loopback(options.address):
        return False
    return not is_loopback(urlsplit(f"//{host}").hostname or "")


def is_protected(options: Any) -> bool:
    """Whether Flower asks who comes.

    Example:
        >>> from types import SimpleNamespace
        >>> is_protected(SimpleNamespace(basic_auth=["ops:secret"], auth=""))
        True
    """
    return bool(options.basic_auth or options.auth)
