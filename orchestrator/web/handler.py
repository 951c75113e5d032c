"""The start of every page and every call of the API: find out who comes, and say what a browser may do."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flower.views import BaseHandler
from tornado.web import HTTPError

from orchestrator.contract import compact, error_codes
from orchestrator.contract.answer import Answer
from orchestrator.engine import flower_config
from orchestrator.model import errors
from orchestrator.web import access, texts

if TYPE_CHECKING:
    from orchestrator.web.site import Site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No script and no style but those of files that Flower serves; no frame around the page."""

COOKIE = "task-orchestrator"
COOKIE_DAYS = 30

NO_DOOR = (
    "This Flower has no password, so its features are shown only to who comes by the address with the secret. "
    "It stands in Flower's output (Features: http://…), and `orchestrator up` prints it. "
    "Or give Flower a password: FLOWER_BASIC_AUTH=user:password."
)


class Handler(BaseHandler):  # type: ignore[misc]  # flower has no types
    """A request about features.

    Args (of `initialize`):
        site: Shared by all pages.
    """

    site: Site
    visitor: str
    """The name of the visitor, as the events of their decisions have it."""

    def initialize(self, site: Site) -> None:
        """Called by Tornado."""
        self.site = site

    def set_default_headers(self) -> None:
        """Called by Tornado. No page of another origin may read this, whatever Flower allows for its own API."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        """Called by Tornado before the method of the request.

        Raises:
            HTTPError: They may not.
        """
        if flower_config.is_foreign_host(self.request.host, self.site.options):
            raise HTTPError(403, reason="Foreign Host")
        found = self.find_visitor()
        if found is None:
            self.refuse()
        else:
            self.visitor = found
            if self.request.method not in ("GET", "HEAD") and self.site.is_read_only:
                raise HTTPError(403, "This Flower only shows (web.read_only).", reason="Read Only")

    def find_visitor(self) -> str | None:
        """The name of the visitor, by Flower's own authentication; where it has none, by the secret.

        Raises:
            HTTPError: A password is asked for, or is wrong.
        """
        given = self.request.headers.get("Authorization", "")
        if self.site.has_password:
            user = self.get_current_user()
            if not user:
                return None
            return user if isinstance(user, str) else access.name_in(given)
        if given.startswith("Bearer ") and access.is_same(given.removeprefix("Bearer "), self.site.secret):
            return access.UNNAMED
        shown = self.get_secure_cookie(self.cookie) or b""
        if access.is_same(shown.decode("ascii", "replace"), access.proof(self.site.secret)):
            return access.UNNAMED
        return None

    @property
    def cookie(self) -> str:
        """The name of our cookie. Browsers send it to all ports of a host, and each may have a Flower."""
        return f"{COOKIE}-{self.request.host.rpartition(':')[2]}"

    def refuse(self) -> None:
        """Answer somebody who may not see this.

        Raises:
            HTTPError: Always.
        """
        raise HTTPError(401 if self.site.has_password else 403, NO_DOOR)

    def check_xsrf_cookie(self) -> None:
        """Called by Tornado before anything is changed.

        Raises:
            HTTPError: Another page sent it, or it does not bring the token of one of ours.
        """
        headers = self.request.headers
        origin, site = headers.get("Origin", ""), headers.get("Sec-Fetch-Site", "")
        if not access.is_from_here(self.request.host, origin, site):
            raise HTTPError(403, "Another page sent this request.", reason="Cross-Site Request")
        given = headers.get("Authorization", "")
        if given.startswith("Bearer ") or (given and not (origin or site or headers.get("Cookie"))):
            return  # a program: a browser sends by itself no token, and a password only with its own headers
        super(BaseHandler, self).check_xsrf_cookie()

    def reverse_url(self, name: str, *args: Any) -> str:
        """The address of a page; ids in it may have any sign. Tornado leaves a slash in an id as it is.

        Example: `reverse_url("feature-task", "auth", "a/b")` is /feature/auth/task/a%2Fb; "{task}" stays so.
        """
        marks = [f"-{number}-{secrets.token_hex(8)}" for number in range(len(args))]
        found: str = super().reverse_url(name, *marks)
        for mark, given in zip(marks, args, strict=True):
            found = found.replace(mark, quote(str(given), safe="{}" if name != "features-static" else "/"))
        return found

    def render_part(self, name: str, drawn: Any) -> str:
        """A part of a page, as its template shows it."""
        shown: bytes = self.render_string(
            f"parts/{name}.html",
            drawn=drawn,
            site=self.site,
            **texts.FUNCTIONS,
        )
        return shown.decode()

    def answer(self, found: Answer, status: int = 200, fields: str | None = None) -> None:
        """Answer with what `--json` has."""
        self.write_json(compact.select(found, fields), status)

    def write_json(self, value: Any, status: int = 200) -> None:
        """Answer with a JSON value."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(compact.write(value))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Called by Tornado. A refused request is no fault of this program."""
        if not isinstance(value, errors.OrchestratorError):
            super().log_exception(typ, value, tb)


def status_of(error: errors.OrchestratorError) -> int:
    """The HTTP status of an error.

    Example:
        >>> status_of(errors.NoSuchFeature(feature="auth"))
        404
    """
    match error:
        case errors.NoSuchFeature() | errors.NoSuchTask() | errors.NoLog() | errors.NoSuchLimit():
            return 404
        case errors.RedisUnreachable() | errors.BrokerUnreachable() | errors.RedisRefuses():
            return 503
        case errors.RefusedTransition() | errors.FeatureOver() | errors.FeatureExists() | errors.KeyTaken():
            return 409
        case errors.UsageError():
            return 400
    return 409


def told(error: errors.OrchestratorError) -> dict[str, Any]:
    """An error as `--json` has it, in an envelope of its own.

    Example:
        >>> told(errors.NoSuchFeature(feature="auth"))["error"]["code"]
        'no-such-feature'
    """
    return {"error": compact.select(error_codes.of(error))}
