"""The form of messages in Redis. A list there takes any text, and most bad texts would make kombu end the worker.

See kombu/transport/redis.py, `_brpop_read`, and kombu/transport/virtual/base.py, `Message`.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

from kombu.exceptions import ContentDisallowed, SerializationError
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from orchestrator.engine import signing

UNUSABLE = (
    ArithmeticError,
    AttributeError,
    ContentDisallowed,
    LookupError,
    RecursionError,
    SerializationError,
    TypeError,
    ValueError,
)
"""The errors that reading a stranger's text may raise."""

CONTENT_TYPES = ("application/json", signing.CONTENT_TYPE)
"""Plain, and signed."""

ENCODINGS = ("utf-8", "utf8")
"""Others are refused: a message could name any codec of Python, such as bz2, which makes gigabytes of a few letters."""

LONGEST = 1_000
"""Characters of a delivery tag or a routing key."""

TRANSIENT = 1
"""AMQP's `delivery_mode` of a message that the broker may lose."""


def is_transient(message: Any) -> bool:
    """Whether a message of kombu's is marked as one that the broker may lose."""
    return bool(message.properties.get("delivery_mode") == TRANSIENT)


def is_readable(text: Any) -> bool:
    """Whether a text is a message as workers and remote control publish it."""
    try:
        message = loads(bytes_to_str(text))
    except UNUSABLE:
        return False
    return (
        is_message(message)
        and message.get("content-type") in CONTENT_TYPES
        and message.get("content-encoding") in ENCODINGS
    )


def is_message(message: Any) -> bool:
    """Whether a value has the form of kombu's messages.

    A compressed message has not: a few letters could become gigabytes.
    """
    match message:
        case {
            "body": str(body),
            "headers": dict(headers),
            "properties": {
                "delivery_tag": str(tag),
                "delivery_info": {"exchange": str(exchange), "routing_key": str(key)},
                **properties,
            },
        }:
            are_plain = all(len(text) <= LONGEST and text.isascii() for text in (tag, exchange, key))
            return (
                are_plain
                and not headers.get("compression")
                and _is_text(body, properties.get("body_encoding"))
            )
    return False


def _is_text(body: str, encoding: Any) -> bool:
    if encoding == "base64":
        try:
            base64.b64decode(body)
        except ValueError:
            return False
    return encoding in (None, "base64", "utf-8")


def empty_message(queue: str | None) -> dict[str, Any]:
    """A message that stands in for one that cannot be used. The consumer refuses it like any other bad message."""
    return {
        "body": "null",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "delivery_mode": TRANSIENT,
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
