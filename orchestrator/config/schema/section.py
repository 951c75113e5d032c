"""A section of the settings: the base class, and types that several sections have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

PYTHON_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"


Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\*?$")]

PASS_ENV = "variables of the worker that the command gets, beside PATH, HOME, LANG, LC_*, TZ, TMPDIR; PIP_* is all such"  # nosec B105  # it is no password, but what pass_env is for


class Section(BaseModel):
    """A part of the settings: nothing but its declared fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
