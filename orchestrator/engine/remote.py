"""Celery's remote control, safe from what is no command. Whoever can publish on its channel may have sent it."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celery.app import control
from kombu import pidbox
from kombu.matcher import MatcherNotInstalled

from orchestrator.engine import message_validation, signing, tasks
from orchestrator.engine.message_validation import Reason
from orchestrator.engine.transport import UNUSABLE

if TYPE_CHECKING:
    from orchestrator.engine.app import App

logger = logging.getLogger("orchestrator")

JUNK = (*UNUSABLE, re.error, MatcherNotInstalled)
"""What reading a command may raise that somebody else wrote."""


class Node(pidbox.Node):
    """Takes commands for this worker.

    kombu's own tells of what it cannot use with a traceback, and lets Celery open its channel anew after it: what is
    sent meanwhile is lost (celery/worker/pidbox.py, `on_message`).
    """

    mailbox: Any  # what kombu keeps to itself is in no stubs

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._memory = signing.Memory(signing.CONTROL_SECONDS)

    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Do what a message asks for."""
        try:
            return super().handle_message(self._opened(body), message)
        except signing.Unsigned as error:
            logger.warning("A message of remote control is refused (%s): %s", Reason.UNSIGNED, error)
            tasks.count_refusal(self.mailbox.app, Reason.UNSIGNED)
        except JUNK as error:
            logger.warning("A message of remote control is dropped (%s)", type(error).__name__)
            logger.debug("Dropped", exc_info=True)

    dispatch_from_message = handle_message

    def handle(self, method: Any, arguments: Any = None) -> Any:
        """Carry out a command; its error is the answer, as with kombu."""
        try:
            return super().handle(method, arguments)
        except JUNK as error:
            logger.warning(
                "The command %s of remote control failed (%s)",
                message_validation.quoted(method),
                type(error).__name__,
            )
            logger.debug("Failed", exc_info=True)
            return {"error": repr(error)}

    def _opened(self, body: Any) -> Any:
        """What a message says, where messages are signed only if it is new, and meant for the workers of this app."""
        signer = self.mailbox.app.signer
        if signer is None:
            return body
        opened = signer.open(body, "control", signing.CONTROL_SECONDS)
        if opened.about.get("exchange") != self.mailbox.exchange.name:
            raise signing.Unsigned("it was signed for other workers")
        self._memory.take(opened)
        return opened.body

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called by kombu where a message cannot be read."""
        logger.warning("A message of remote control is dropped (%s)", type(exc).__name__)


class Mailbox(pidbox.Mailbox):
    """Where commands come in."""

    node_cls = Node
    app: App
    exchange: Any

    @contextlib.contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Any]:
        """The producer of commands, and of the answers to them."""
        signer = self.app.signer
        with super().producer_or_acquire(producer, channel) as found:
            yield signing.Producer(found, signer, self._about) if signer else found

    def _about(self, headers: Mapping[str, Any], routing_key: str) -> Mapping[str, Any]:
        if "ticket" in headers:
            return {"kind": "reply", "ticket": headers["ticket"]}
        return {"kind": "control", "exchange": self.exchange.name}

    def _collect(self, ticket: str, *args: Any, callback: Any = None, **kwargs: Any) -> Any:
        """The answers to a command. Those that are not signed, or answer something else, are left out."""
        if self.app.signer is None:
            return super()._collect(ticket, *args, callback=callback, **kwargs)  # type: ignore[misc]

        def tell(text: Any) -> None:
            for answer in self._opened([text], ticket):
                callback(answer)

        told = callback and tell
        return self._opened(super()._collect(ticket, *args, callback=told, **kwargs), ticket)  # type: ignore[misc]

    def _opened(self, texts: list[Any], ticket: str) -> list[Any]:
        signer, found = self.app.signer, []
        for text in texts:
            with contextlib.suppress(signing.Unsigned):
                opened = signer.open(text, "reply", signing.CONTROL_SECONDS) if signer else None
                if opened and opened.about.get("ticket") == ticket:
                    found.append(opened.body)
        return found


class Control(control.Control):
    """The app's remote control."""

    Mailbox = Mailbox
    mailbox: Any

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self.mailbox.app = app
