"""Flower's templates with ours before them, and with our tab in its navigation bar."""

from __future__ import annotations

import re
from pathlib import Path

from tornado.template import Loader, Template

OURS = Path(__file__).with_name("templates")

TAB = """
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'features' %} active{% end %}" href="{{ reverse_url('features') }}"
            {% if active_tab == 'features' %}aria-current="page"{% end %}>Features</a>
        </li>"""

NAVIGATION = "navbar.html"
"""Flower's own template of its navigation bar."""

_LAST_TAB = re.compile(r"reverse_url\(['\"]broker['\"]\).*?</li>", re.DOTALL)
"""The tab in Flower's navigation bar that ours stands behind."""


def with_tab(navigation: str) -> str | None:
    """Flower's navigation bar with our tab; None if it has no place for it.

    Example:
        >>> "Features" in (with_tab("<ul><li><a href=\\"{{ reverse_url('broker') }}\\">Broker</a></li></ul>") or "")
        True
        >>> with_tab("<ul></ul>")
    """
    found = _LAST_TAB.search(navigation)
    return None if found is None else navigation[: found.end()] + TAB + navigation[found.end() :]


class Templates(Loader):
    """Loads a template of ours, else one of Flower's. Its navigation bar gets our tab as it is loaded.

    Args:
        flowers: The folder of Flower's templates.
    """

    def __init__(self, flowers: str) -> None:
        super().__init__(flowers)

    def _create_template(self, name: str) -> Template:
        own = OURS / name
        if own.is_file():
            return Template(own.read_bytes(), name=name, loader=self)
        source = (Path(self.root) / name).read_text("utf-8")
        if name == NAVIGATION:
            source = with_tab(source) or source
        return Template(source, name=name, loader=self)

    def has_place(self) -> bool:
        """Whether Flower's navigation bar has a place for our tab."""
        try:
            return with_tab((Path(self.root) / NAVIGATION).read_text("utf-8")) is not None
        except OSError:
            return False
