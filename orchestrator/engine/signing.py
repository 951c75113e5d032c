"""Signed messages: who sent one, what it asks for, of whom, and when, under one signature.

Signed is all that decides what a message does: its body, its headers (the task and its id among them), the queue, the
time and a nonce. A message is one text of JSON, whatever its sender says of its type: no serializer is chosen by it.
The signature is over the letters that were sent, so that there is one way to read them.
"""

from __future__ import annotations

import base64
import glob
import json
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import serialization
from kombu.utils.encoding import bytes_to_str

from orchestrator.model import errors

if TYPE_CHECKING:
    from orchestrator.config.schema.servers import Signing

CONTENT_TYPE = "application/x-task-orchestrator-signed"
NAME = "signed"
"""The serializer, as Celery's `accept_content` names it. It leaves a text as it is: what it says is checked later, by
those who know what it should be (`consumer`, `remote`)."""

serialization.register(NAME, str, bytes_to_str, content_type=CONTENT_TYPE, content_encoding="utf-8")

CONTROL_SECONDS = 60.0
"""A message of remote control, or an answer to one, is of use for so long; as much may clocks differ."""

CANVAS_SECONDS = 86_400.0
"""A message of a canvas is of use for so long, as its results are."""

LONGEST = 16
"""Characters of a nonce."""


class Unsigned(Exception):
    """A message is not what one of an accepted key says."""


class Opened(NamedTuple):
    """A message whose signature is right.

    Args:
        about: What it is for, as its sender said to `Signer.seal`.
        body: What it says.
        nonce: A text that no other message has.
        age: Seconds since it was signed.
    """

    about: dict[str, Any]
    body: Any
    nonce: str
    age: float


class Signer:
    """Signs messages by the key of this process, and opens those of accepted keys.

    Args:
        signing: Where the keys are.

    Raises:
        CannotSign: cryptography is not installed, or a file cannot be used.
    """

    def __init__(self, signing: Signing) -> None:
        try:
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.asymmetric import padding, rsa
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
            from cryptography.x509 import load_pem_x509_certificate
        except ImportError:
            raise errors.CannotSign(cause="cryptography is not installed") from None
        self._hash = hashes.SHA256()
        self._padding = padding.PSS(padding.MGF1(self._hash), padding.PSS.DIGEST_LENGTH)
        try:
            key = load_pem_private_key(signing.key.read_bytes(), password=None)
            own = load_pem_x509_certificate(signing.certificate.read_bytes())
            files = glob.glob(signing.store)  # noqa: PTH207 - as a rule it begins at the root
            accepted = [load_pem_x509_certificate(Path(file).read_bytes()) for file in sorted(files)]
            if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != own.public_key():
                raise ValueError("not a key and its certificate")
            if not all(isinstance(one.public_key(), rsa.RSAPublicKey) for one in accepted):
                raise ValueError("not the certificate of an RSA key")
        except OSError as error:
            raise errors.CannotSign(cause=f"{error.filename}: {error.strerror}") from None
        except (ValueError, TypeError) as error:
            raise errors.CannotSign(
                cause=f"a key or certificate cannot be used ({type(error).__name__})"
            ) from None
        if not accepted:
            raise errors.CannotSign(cause=f"there is no certificate at {signing.store}")
        self._key = key
        self._own = own.fingerprint(self._hash).hex()
        self._accepted = {one.fingerprint(self._hash).hex(): one for one in accepted}

    def seal(self, body: Any, about: Mapping[str, Any]) -> str:
        """Sign a message.

        Args:
            body: What it says, as JSON can.
            about: What it is for; whoever opens it has to ask for the same.
        """
        said = {"body": body, "about": about, "at": time.time(), "nonce": secrets.token_hex(LONGEST // 2)}
        text = serialization.dumps(said, serializer="json")[2]
        signature = self._key.sign(text.encode(), self._padding, self._hash)
        return json.dumps({"said": text, "by": self._own, "signature": base64.b64encode(signature).decode()})

    def open(self, text: Any, kind: str, within: float | None = None) -> Opened:
        """Check a message, and read it.

        Args:
            text: As it came.
            kind: What kind of message it has to be: the `kind` that it is about.
            within: Seconds for which one of this kind is of use; None: for ever.

        Raises:
            Unsigned: It is not signed by an accepted key, for another purpose, or too old.
        """
        try:
            sealed = json.loads(text)
            said, by, signature = sealed["said"], sealed["by"], base64.b64decode(sealed["signature"])
            self._verify(said, by, signature)
            found = json.loads(said)
            body, about = found["body"], found["about"]
            nonce, age = str(found["nonce"]), time.time() - float(found["at"])
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise Unsigned(f"it is no signed message ({type(error).__name__})") from None
        if about.get("kind") != kind:
            raise Unsigned("it was signed for another purpose")
        if within is not None and not -CONTROL_SECONDS <= age <= within:
            raise Unsigned(f"it was signed {age:.0f} s ago, by the clocks of its sender and this machine")
        return Opened(about, body, nonce, age)

    def _verify(self, said: str, by: str, signature: bytes) -> None:
        from cryptography.exceptions import InvalidSignature

        certificate: Any = self._accepted.get(by)
        if certificate is None:
            raise Unsigned("its key is none that is accepted")
        if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
            raise Unsigned("the certificate of its key has expired, or is not valid yet")
        try:
            certificate.public_key().verify(signature, said.encode(), self._padding, self._hash)
        except InvalidSignature:
            raise Unsigned("its signature is wrong") from None


class Producer:
    """A producer of kombu's that signs what it publishes.

    Args:
        producer: The producer.
        signer: Signs.
        about: Says what a message is for, of its headers and its routing key.
    """

    def __init__(
        self,
        producer: Any,
        signer: Signer,
        about: Callable[[Mapping[str, Any], str], Mapping[str, Any] | None],
    ) -> None:
        self._producer = producer
        self._signer = signer
        self._about = about

    def publish(
        self, body: Any, routing_key: str = "", *, headers: Mapping[str, Any] | None = None, **given: Any
    ) -> Any:
        """Publish a message; unsigned where it is for nobody who asks for a signature."""
        about = self._about(headers or {}, routing_key)
        if about is not None:
            body = self._signer.seal(body, about)
            given |= {"serializer": None, "content_type": CONTENT_TYPE, "content_encoding": "utf-8"}
        return self._producer.publish(body, routing_key=routing_key, headers=headers, **given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


class Memory:
    """The nonces of messages that were opened, for as long as they could be sent again.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.since = time.time()
        self._ends: dict[str, float] = {}

    def take(self, opened: Opened) -> None:
        """Take note of a message.

        Raises:
            Unsigned: It was taken before, or may have been: it was signed before this memory began.
        """
        now = time.time()
        self._ends = {nonce: end for nonce, end in self._ends.items() if end > now}
        if opened.nonce in self._ends:
            raise Unsigned("it has come before")
        if now - opened.age < self.since:
            raise Unsigned("it was signed before this worker began to listen")
        self._ends[opened.nonce] = now + 2 * self.seconds
