"""schema: what programs may rely on."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.asked import Asked, reports
from orchestrator.contract import compact, error_codes, schemas
from orchestrator.contract.answers import ANSWERS


@reports()
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of an answer; `codes` has the codes of errors.")
    ] = None,
    *,
    asked: Asked,
) -> None:
    """Print the JSON Schema of an answer; `codes` lists the codes of errors, `all` prints the whole contract."""
    if name is None:
        if asked.as_json:
            typer.echo(compact.write({"schemas": list(ANSWERS)}))
            return
        for known, shape in ANSWERS.items():
            output.say(f"{known:<12} {(shape.__doc__ or '').splitlines()[0]}")
    elif name == "codes":
        found = error_codes.codes()
        if asked.as_json:
            asked.answer(found)
            return
        for code in found.codes:
            output.say(f"{code.code:<28} exit {code.exit_code}  {' '.join(code.message.split())}")
    elif name == "all":
        typer.echo(json.dumps(schemas.everything(), indent=1))
    else:
        typer.echo(compact.write(schemas.schema(name)))
