"""Celery's remote control, safe from bad commands: anybody who can publish on its channel may have sent one."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celery.app import control
from kombu import pidbox
from kombu.matcher import MatcherNotInstalled

from orchestrator.engine import message_validation, revocation, signing
from orchestrator.engine.attempt_runner import count_refusal
from orchestrator.engine.message_format import UNUSABLE
from orchestrator.engine.message_validation import Reason

if TYPE_CHECKING:
    from orchestrator.engine.app import App

logger = logging.getLogger("orchestrator")

BAD_COMMAND = (*UNUSABLE, re.error, MatcherNotInstalled)
"""The errors that reading a stranger's command may raise."""


class Node(pidbox.Node):
    """Takes commands for this worker.

    After a bad command, kombu's own logs a traceback and Celery opens the channel again: commands that are sent
    meanwhile are lost (celery/worker/pidbox.py, `on_message`).
    """

    mailbox: Any  # kombu's stubs leave this out

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen = signing.SeenNonces(signing.CONTROL_SECONDS)

    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Carry out the command of a message."""
        try:
            return super().handle_message(self._verified(body), message)
        except signing.SignatureRejected as error:
            logger.warning("A message of remote control is refused (%s): %s", Reason.UNSIGNED, error)
            count_refusal(self.mailbox.app, Reason.UNSIGNED)
        except BAD_COMMAND as error:
            logger.warning("A message of remote control is dropped (%s)", type(error).__name__)
            logger.debug("Dropped", exc_info=True)

    dispatch_from_message = handle_message

    def handle(self, method: Any, arguments: Any = None) -> Any:
        """Carry out a command. If it fails, its error is the answer, as with kombu."""
        taken = self.mailbox.app.taken_attempts
        if taken:
            taken.drain()  # a command is about the tasks that run now
        try:
            answer = super().handle(method, arguments)
            if taken and method == "revoke":
                revocation.cancel_queued(self.mailbox.app, (arguments or {}).get("task_id"))
            return answer
        except BAD_COMMAND as error:
            logger.warning(
                "The command %s of remote control failed (%s)",
                message_validation.quoted(method),
                type(error).__name__,
            )
            logger.debug("Failed", exc_info=True)
            return {"error": repr(error)}

    def _verified(self, body: Any) -> Any:
        """The content of a message. If messages are signed, it must be new, and meant for the workers of this app."""
        signer = self.mailbox.app.signer
        if signer is None:
            return body
        verified = signer.verify(body, "control", signing.CONTROL_SECONDS)
        if verified.purpose.get("exchange") != self.mailbox.exchange.name:
            raise signing.SignatureRejected("it was signed for other workers")
        self._seen.add(verified)
        return verified.body

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called by kombu with a message that it cannot read."""
        logger.warning("A message of remote control is dropped (%s)", type(exc).__name__)


class Mailbox(pidbox.Mailbox):
    """The mailbox that commands come to."""

    node_cls = Node
    app: App
    exchange: Any

    @contextlib.contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Any]:
        """The producer of commands and of their answers. It signs both, if that is configured."""
        signer = self.app.signer
        with super().producer_or_acquire(producer, channel) as found:
            yield signing.Producer(found, signer, self._purpose) if signer else found

    def _purpose(self, headers: Mapping[str, Any], routing_key: str) -> Mapping[str, Any]:
        if "ticket" in headers:
            return {"kind": "reply", "ticket": headers["ticket"]}
        return {"kind": "control", "exchange": self.exchange.name}

    def _collect(self, ticket: str, *args: Any, callback: Any = None, **kwargs: Any) -> Any:
        """Collect the answers to a command. Unsigned ones, and answers to another command, are left out."""
        if self.app.signer is None:
            return super()._collect(ticket, *args, callback=callback, **kwargs)  # type: ignore[misc]

        def pass_on(text: Any) -> None:
            for answer in self._verified([text], ticket):
                callback(answer)

        collected = super()._collect(ticket, *args, callback=callback and pass_on, **kwargs)  # type: ignore[misc]
        return self._verified(collected, ticket)

    def _verified(self, texts: list[Any], ticket: str) -> list[Any]:
        signer, answers = self.app.signer, []
        for text in texts:
            with contextlib.suppress(signing.SignatureRejected):
                verified = signer.verify(text, "reply", signing.CONTROL_SECONDS) if signer else None
                if verified and verified.purpose.get("ticket") == ticket:
                    answers.append(verified.body)
        return answers


class Control(control.Control):
    """The app's remote control."""

    Mailbox = Mailbox
    mailbox: Any

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self.mailbox.app = app
