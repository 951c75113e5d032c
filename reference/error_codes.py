"""Every error code, from the errors themselves."""

from __future__ import annotations

import re

from orchestrator.contract import error_codes
from reference.markdown import head

ABOUT = """\
Each error is an object on standard output with `--json`: `{"code": …, "message": …, "subject": …,
"actions": …, "facts": …}` ([its shape](json.md#erroranswer)). The words in braces are its facts.
`orchestrator schema codes` prints this list as JSON. [Six errors as they are printed](reports.md) shows
what people see.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | not completed |
| 2 | a mistake in what was asked |
| 3 | no connection |
| 4 | a wait that timed out |
| 5 | `wait`: a person is needed |"""


def page() -> str:
    """docs/reference/errors.md."""
    lines = head("Error codes", ABOUT)
    for one in error_codes.codes().codes:
        lines += ["", f"## {one.code}", "", f"Exit code {one.exit_code}.", "", *_quoted(one.message)]
    return "\n".join(lines) + "\n"


def _quoted(message: str) -> list[str]:
    """The message as a quotation, its facts without the format that Python needs."""
    plain = re.sub(r"\{(\w+)[^}]*\}", r"{\1}", message)
    return [f"> {' '.join(part.split())}" for part in plain.split("\n\n")]
