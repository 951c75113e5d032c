"""Celery's remote control, safe from what is no command. Whoever can publish on its channel may have sent it."""

from __future__ import annotations

import logging
import re
from typing import Any

from celery.app import control
from kombu import pidbox
from kombu.matcher import MatcherNotInstalled

from orchestrator import admission
from orchestrator.transport import UNUSABLE

logger = logging.getLogger("orchestrator")

JUNK = (*UNUSABLE, re.error, MatcherNotInstalled)
"""What reading a command may raise that somebody else wrote."""


class Node(pidbox.Node):
    """Takes commands for this worker.

    kombu's own tells of what it cannot use with a traceback, and lets Celery open its channel anew after it: what is
    sent meanwhile is lost (celery/worker/pidbox.py, `on_message`).
    """

    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Do what a message asks for."""
        try:
            return super().handle_message(body, message)
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
                admission.quoted(method),
                type(error).__name__,
            )
            logger.debug("Failed", exc_info=True)
            return {"error": repr(error)}

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called by kombu where a message cannot be read."""
        logger.warning("A message of remote control is dropped (%s)", type(exc).__name__)


class Mailbox(pidbox.Mailbox):
    """Where commands come in."""

    node_cls = Node


class Control(control.Control):
    """The app's remote control."""

    Mailbox = Mailbox
