"""What was seen of an agent's run: values, which the reader of its output fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator.model.usage import dollars


class Denial(NamedTuple):
    """A tool that the agent was refused."""

    tool: str
    use: str = ""
    """The command that the tool was to run, if it is one that runs commands."""

    @property
    def rule(self) -> str:
        """The entry of `tools.allow` that would allow it.

        Example:
            >>> Denial("Bash", "pytest -x tests").rule, Denial("WebFetch").rule
            ('Bash(pytest *)', 'WebFetch')
        """
        words = self.use.split()
        if not words:
            return self.tool
        if set(self.use) & set(";|&$`<>("):  # several commands, which no rule for one of them would allow
            return f"{self.tool}({self.use})"
        return f"{self.tool}({words[0]} *)" if len(words) > 1 else f"{self.tool}({words[0]})"


class Progress(NamedTuple):
    """How far a run is.

    Example:
        >>> str(Progress(turn=12, tool="Edit api.py", cost=0.312))
        'turn 12, Edit api.py, $0.31'
    """

    turn: int = 0
    tool: str = ""
    cost: float | None = None

    def __str__(self) -> str:
        turn = f"turn {self.turn}" if self.turn else ""
        cost = "" if self.cost is None else dollars(self.cost)
        return ", ".join(filter(None, (turn, self.tool, cost)))


@dataclass
class Seen:
    """What the output of a run has said so far.

    Args:
        session: The agent's own name for the conversation; "": it has not said one.
        model: The model that it works with, as it says.
        tool: The last tool it used, and on what.
        turns: Requests to the model; where they are not told, the tools it used and one.
        text: Its last message.
        structured: Its answer in the form that was asked for.
        is_final: The last event of the run was there.
        is_error: That event says that the run failed.
        subtype: That event's word for how it ended.
        status: The status code of the model's API, in an error.
        errors: Texts of errors, the newest last.
        denials: Tools that it was refused.
        resets: When a limit is reset, as it was said: seconds since 1970, or a text.
        noise: The newest lines that are no events, such as those of its error output.
        skipped: Lines that were left out, because they are too long.
        signs: Signs of life: events that are no errors. Some programs report the same error without end.
    """

    session: str = ""
    model: str = ""
    tool: str = ""
    turns: int = 0
    text: str = ""
    structured: Any = None
    is_final: bool = False
    is_error: bool = False
    subtype: str = ""
    status: int | None = None
    errors: list[str] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    resets: float | str | None = None
    noise: list[str] = field(default_factory=list)
    skipped: int = 0
    signs: int = 0
