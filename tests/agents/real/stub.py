"""A local stub of the APIs of models: it answers each request from a script, and keeps what it was asked.

    with Stub([Answer(run="make test"), Answer(text="Done.")]) as stub:
        ... run an agent's program whose API lies at stub.url

An agent's requests without tools (for a title, for a choice of model) are no part of its work: they get a word, and
take nothing from the script. The last answer of the script holds for all later requests.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.agents.real.answers import Answer, Tokens
from tests.agents.real.dialects import Anthropic, Event, Gemini, Responses

Dialect = type[Anthropic] | type[Responses] | type[Gemini]

PATHS: tuple[tuple[str, Dialect], ...] = (
    (r"/v1/messages(\?.*)?$", Anthropic),
    (r"/responses$", Responses),
    (r"/models/(?P<model>[^/:]+):(?P<verb>\w*[gG]enerateContent)", Gemini),
)
ASIDE = Answer(text="ok", usage=Tokens(input=0, output=0))


@dataclass(frozen=True)
class Asked:
    """A request of an agent's work: its path, its headers and its body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    def says(self, text: str) -> bool:
        """True when the body has the text anywhere."""
        return text in json.dumps(self.body, ensure_ascii=False)


class Stub:
    """The server. `url` is its address; `asked` are the requests that took an answer from the script."""

    def __init__(self, script: Sequence[Answer]) -> None:
        self.script = list(script)
        self.asked: list[Asked] = []
        self.aside: list[Asked] = []
        self._lock = threading.Lock()
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Stub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked, tools: Sequence[str]) -> Answer:
        """The next answer of the script, or a word for a request that has no tools."""
        with self._lock:
            if not tools:
                self.aside.append(asked)
                return ASIDE
            self.asked.append(asked)
            return self.script[min(len(self.asked), len(self.script)) - 1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Programs that are killed leave broken connections: no news."""


def _handler_of(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.stub = stub
    return Handler


class _Handler(BaseHTTPRequestHandler):
    stub: Stub
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "stub", ""

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing: the tests read `Stub.asked`."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """One moment for all, so that recordings do not differ by it."""
        return "Thu, 01 Jan 2026 00:00:00 GMT"

    def do_GET(self) -> None:
        """Lists of models and the like: there are none. Nor are there WebSockets (426: codex then speaks HTTP)."""
        status = 426 if self.headers.get("upgrade") else 404
        self._send(status, {"error": {"message": "the stub has no such page"}}, {})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answer a request of one of the APIs."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        for pattern, dialect in PATHS:
            if found := re.search(pattern, self.path):
                named = found.groupdict()
                body.setdefault("model", named.get("model"))
                streams = body.get("stream") or named.get("verb", "").startswith("stream")
                asked = Asked(self.path, dict(self.headers.items()), body)
                return self._answer(
                    self.stub.answer(asked, dialect.tools(body)), dialect, body, bool(streams)
                )
        return self.do_GET()

    def _answer(self, answer: Answer, dialect: Dialect, body: dict[str, Any], streams: bool) -> None:
        number = len(self.stub.asked)
        if answer.hang:
            self.stub.over.wait()
            self.close_connection = True
        elif answer.is_trouble:
            self._send(answer.status, dialect.trouble(answer), answer.headers)
        elif streams:
            events = dialect.stream(answer, body, number)
            self._stream(events[: len(events) // 2] if answer.cut else events)
        else:
            self._send(200, dialect.whole(answer, body, number), answer.headers)

    def _send(self, status: int, body: Any, headers: Any) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            **headers,
            "content-type": "application/json",
            "content-length": len(raw),
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _stream(self, events: Sequence[Event]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for name, data in events:
            head = f"event: {name}\n" if name else ""
            self.wfile.write(f"{head}data: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()
