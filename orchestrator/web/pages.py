"""The pages."""

from __future__ import annotations

from typing import Any

from orchestrator.web import access
from orchestrator.web.handler import COOKIE_DAYS, NO_DOOR, Handler


class Page(Handler):
    """A page, in Flower's frame."""

    def refuse(self) -> None:
        """Let somebody in by the secret in the address, or say how to get in."""
        if self.site.has_password:
            self.redirect(self.get_login_url())
            return
        given = self.get_query_argument("secret", "")
        if access.is_same(given, self.site.secret):
            self.set_signed_cookie(
                self.cookie,
                access.proof(given),
                expires_days=COOKIE_DAYS,
                httponly=True,
                samesite="Lax",  # a link in another program leads here too
                secure=self.request.protocol == "https",
            )
            self.redirect(self.request.path)  # the secret leaves the address, and the browser's history
            return
        self.set_status(403)
        self.show("refused.html", reason=NO_DOOR)

    def show(self, template: str, **given: Any) -> None:
        """Answer with one of our templates."""
        self.render(template, site=self.site, **given)


class Features(Page):
    """The features, newest first."""

    async def get(self) -> None:
        """GET /features."""
        self.show("features.html")
