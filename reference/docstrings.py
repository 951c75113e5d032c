"""Makes docstrings ready for the site: examples become code, and fields of models say what they are for.

An extension of griffe, which mkdocs.yml names; it is no part of `python -m reference`.
"""

from __future__ import annotations

import importlib
import re
import textwrap
from typing import Any

import griffe
from pydantic import BaseModel

from reference import kinds
from reference.markdown import sentence

EXAMPLE = re.compile(r"^Example:\n((?:    .*\n?|\n)+)", re.M)


class Docstrings(griffe.Extension):
    """Changes what griffe has read before the site is made from it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn the example of a docstring into code."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(_as_code, obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """List the fields of a model, each with its type and its description, in the docstring of the class."""
        model = getattr(importlib.import_module(cls.module.path), cls.name, None)
        if not (isinstance(model, type) and issubclass(model, BaseModel) and cls.docstring):
            return
        fields = [
            f"    {name} ({kinds.of(field).replace('`', '')}): {sentence(field.description) or '-'}"
            for name, field in model.model_fields.items()
        ]
        cls.docstring.value += "\n".join(["\n\nAttributes:", *fields])


def _as_code(example: re.Match[str]) -> str:
    code = textwrap.dedent(example[1]).strip()
    language = "pycon" if code.startswith(">>>") else "python"
    return f"**Example**\n\n```{language}\n{code}\n```\n"
