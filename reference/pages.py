"""The pages, and those among them that say something else than the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from reference import answers, commands, error_codes, events, feature_file, metrics, settings, statuses

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "errors.md": error_codes.page,
    "events.md": events.page,
    "feature-file.md": feature_file.page,
    "json.md": answers.page,
    "metrics.md": metrics.page,
    "settings.md": settings.page,
    "statuses.md": statuses.page,
}
"""The name of each page, and what writes it."""


def outdated() -> list[str]:
    """The names of the pages that are missing, or that differ from what the code says now."""
    return [name for name, write in PAGES.items() if _stored(FOLDER / name) != write()]


def _stored(page: Path) -> str | None:
    return page.read_text("utf-8") if page.is_file() else None
