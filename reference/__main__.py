"""Writes the pages of docs/reference; with --check it writes nothing, and fails where a page is old."""

from __future__ import annotations

import sys

from reference import pages


def main() -> int:
    """Write or check the pages; the exit code."""
    old = pages.outdated()
    if "--check" in sys.argv[1:]:
        for page in old:
            print(f"docs/reference/{page} is old. Run `make reference`, and commit what it writes.")
        return 1 if old else 0
    for page in old:
        (pages.FOLDER / page).write_text(pages.PAGES[page](), "utf-8")
        print(f"docs/reference/{page} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
