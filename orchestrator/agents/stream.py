"""Reads the output of an agent while it runs: who it is, what it does, what it has used, what it says at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from orchestrator.agents.events import first_at, found_in, matches, text_at, value_at
from orchestrator.agents.seen import Denial, Progress, Seen
from orchestrator.agents.usage_reader import UsageReader, plain_model, whole
from orchestrator.config.schema.agent_runtimes import AgentRuntime, EventResult
from orchestrator.model.usage import Usage
from orchestrator.model.words import one_line

LONGEST = 8_000_000
"""Bytes of a line; a longer one is left out."""

MOST_TEXT = 200_000
"""Characters of a message that are kept, its last ones."""

MOST_KEPT = 20
"""Errors, and lines that are no events, that are kept: the newest."""

MOST_DENIALS = 50

SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,199}")
"""The id of a conversation. It becomes an argument of the next run, and so must not look like an option."""


class StreamReader:
    """Reads the output of one run of an agent's program.

    Whatever arrives is read: half lines wait for their rest, lines that are too long or no JSON are left out, and
    events that the runtime does not describe are passed over.

    Args:
        runtime: How the program's events are to be read.
        baseline: What the conversation had used before this run, for programs that report its sum.
        model: The model that the program was told to use, until it says one itself.
        known: What stands in each usage, such as its tier: the names of fields of `Usage`.
        price: Adds what a usage costs, where the program does not say it.
        log: Gets each line that the log of the attempt is to have.

    Example:
        >>> from orchestrator.config.schema.agent_runtimes import AgentRuntime
        >>> reader = StreamReader(AgentRuntime(command=["agent"], session="/id", text={"at": "/text"}))
        >>> reader.feed(b'{"id": "s1", "text": "do')
        >>> reader.feed(b'ne"}\\n')
        Progress(turn=1, tool='', cost=None)
        >>> reader.seen.session, reader.seen.text
        ('s1', 'done')
    """

    def __init__(
        self,
        runtime: AgentRuntime,
        baseline: Usage | None = None,
        *,
        model: str = "",
        known: Mapping[str, str] | None = None,
        price: Callable[[Usage], Usage] = lambda usage: usage,
        log: Callable[[bytes], object] = lambda line: None,
    ) -> None:
        self.seen = Seen(model=plain_model(model))
        self._runtime, self._known, self._price = runtime, dict(known or {}), price
        self._log = log
        self._usages: tuple[Usage, ...] | None = None
        self._usage = UsageReader(runtime, baseline)
        self._rest = bytearray()
        self._is_too_long = False
        self._goes_on = False
        self._tools = set[str]()
        self._shown = Progress()

    # What it is given

    def feed(self, data: bytes) -> Progress | None:
        """Read a piece of the output: a line, a part of one, or several. Returns how far the run is, if that is new."""
        if self._runtime.events != "jsonl":
            self._keep(data)
            self.seen.signs += bool(data)
            if self._runtime.events == "none":
                self._log(data)
            return None
        for piece in _lines(data):
            self._keep(piece)
            if piece.endswith(b"\n"):
                self._read_rest()
        return self._news()

    def note(self, data: bytes) -> None:
        """Read a line of the program's error output, which has no events."""
        self._note(data.decode(errors="replace"))

    def close(self) -> Progress | None:
        """Read what is left, once the output has ended."""
        if self._runtime.events == "none":
            self.seen.text = self._rest.decode(errors="replace").strip()[-MOST_TEXT:]
            self.seen.is_final = bool(self.seen.text)
            self._rest.clear()
        else:
            self._read_rest()
        return self._news()

    # What it knows

    @property
    def usages(self) -> tuple[Usage, ...]:
        """What the run has used so far, one value for each model, with what it costs where that is known."""
        if self._usages is None:
            seen = self.seen
            known = {**self._known, **({"session": seen.session} if seen.session else {})}
            found = self._usage.usages(model=seen.model, is_over=seen.is_final, turns=seen.turns, known=known)
            self._usages = tuple(self._price(used) for used in found)
        return self._usages

    @property
    def session_total(self) -> Usage | None:
        """What the whole conversation has used: the baseline of the next run. None: this program does not say it."""
        return self._usage.session_total

    # How it reads

    def _keep(self, piece: bytes) -> None:
        if len(self._rest) + len(piece) > LONGEST:
            self._is_too_long = True
            self._rest.clear()
        if not self._is_too_long:
            self._rest += piece

    def _read_rest(self) -> None:
        line, self._rest = bytes(self._rest), bytearray()
        if self._is_too_long:
            self._is_too_long = False
            self.seen.skipped += 1
            self._log(f"(a line of more than {LONGEST:,} bytes is left out)\n".encode())
        elif (text := line.decode(errors="replace").strip()) and self._read(text):
            self._log(line)

    def _read(self, line: str) -> bool:
        """Read a line. Returns whether the log is to have it."""
        try:
            event = from_json(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._note(line)
            return True
        self._read_event(event)
        return not any(matches(event, when) for when in self._runtime.unlogged)

    def _note(self, line: str) -> None:
        if line := one_line(line, 1_000):
            self.seen.noise = [*self.seen.noise, line][-MOST_KEPT:]

    def _read_event(self, event: dict[str, Any]) -> None:
        seen, runtime = self.seen, self._runtime
        session = text_at(event, runtime.session) if runtime.session else ""
        if SESSION.fullmatch(session):
            seen.session = session
        for kind, part in found_in(event, runtime.model):
            seen.model = plain_model(text_at(part, kind.at)) or seen.model
        for kind, part in found_in(event, runtime.tool):
            self._use_tool(text_at(part, kind.at), first_at(part, kind.detail), value_at(part, kind.id))
        for kind, part in found_in(event, runtime.text):
            self._say(text_at(part, kind.at), goes_on=bool(value_at(part, kind.adds)))
        for kind, part in found_in(event, runtime.refused):
            self._refuse(text_at(part, kind.at) or seen.tool.split(" ")[0], first_at(part, kind.detail))
        self._read_error(event)
        if self._usage.feed(event, seen.model):
            self._usages = None
        if runtime.final and matches(event, runtime.final.when):
            self._end(event, runtime.final)
        seen.turns = max(seen.turns, self._usage.turns or self._guessed_turns())

    def _guessed_turns(self) -> int:
        """Where no event has told of a request: the first, or one before each tool and one after all of them."""
        if not (self._tools or self.seen.text):
            return 0
        return 1 if self._runtime.turn else len(self._tools) + 1

    def _read_error(self, event: dict[str, Any]) -> None:
        seen, runtime = self.seen, self._runtime
        seen.signs += not any(True for _ in found_in(event, runtime.error))
        for kind, part in found_in(event, runtime.error):
            if text := one_line(text_at(part, kind.at), 2_000):
                seen.errors = [*seen.errors, text][-MOST_KEPT:]
        for kind, part in found_in(event, runtime.status):
            seen.status = whole(value_at(part, kind.at)) or seen.status
        for kind, part in found_in(event, runtime.resets):
            said = value_at(part, kind.at)
            if isinstance(said, str | int | float) and not isinstance(said, bool):
                seen.resets = said

    def _use_tool(self, name: str, detail: Any, id: Any) -> None:
        if not (name := one_line(name, 60)):
            return
        self._tools.add(str(id)[:200] if isinstance(id, str | int) else f"#{len(self._tools)}")
        self._goes_on = False
        self.seen.tool = f"{name} {_short(detail)}".rstrip()

    def _say(self, text: str, *, goes_on: bool) -> None:
        if text:
            before = self.seen.text if goes_on and self._goes_on else ""
            self.seen.text, self._goes_on = (before + text)[-MOST_TEXT:], goes_on

    def _refuse(self, tool: str, use: Any) -> None:
        denial = Denial(one_line(tool, 100), one_line(use, 200) if isinstance(use, str) else "")
        if denial.tool and denial not in self.seen.denials and len(self.seen.denials) < MOST_DENIALS:
            self.seen.denials.append(denial)

    def _end(self, event: dict[str, Any], final: EventResult) -> None:
        seen = self.seen
        seen.is_final = True
        seen.is_error = bool(final.failed) and matches(event, final.failed)
        seen.subtype = one_line(text_at(event, final.subtype), 100) if final.subtype else ""
        seen.status = whole(value_at(event, final.status)) or seen.status
        if (structured := value_at(event, final.structured)) is not None:
            seen.structured = structured
        text = text_at(event, final.text) if final.text else ""
        if text and seen.is_error:
            seen.errors = [*seen.errors, one_line(text, 2_000)][-MOST_KEPT:]
        elif text:
            self._say(text, goes_on=False)
        denials = value_at(event, final.denials)
        for denied in denials if isinstance(denials, list) else ():
            self._refuse(text_at(denied, final.denied_tool), first_at(denied, final.denied_use))

    def _news(self) -> Progress | None:
        costs = [used.cost for used in self.usages if used.cost is not None]
        now = Progress(self.seen.turns, self.seen.tool, sum(costs) if costs else None)
        if str(now) == str(self._shown):
            return None
        self._shown = now
        return now


def _lines(data: bytes) -> list[bytes]:
    """The lines of output; only a line feed ends one."""
    return [piece for piece in re.split(rb"(?<=\n)", data) if piece]


def _short(detail: Any) -> str:
    """What a tool is used on, in a few words: of a path its last part."""
    if isinstance(detail, list):
        detail = " ".join(str(part) for part in detail[:20])
    text = one_line(detail, 200) if isinstance(detail, str) else ""
    if "/" in text and " " not in text:
        text = text.rstrip("/").rsplit("/", 1)[-1]
    return one_line(text, 40)
