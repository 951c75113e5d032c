"""Signs messages, and verifies their signatures.

The signature covers everything that decides what a message does: its body, its headers (with the task and its id), the
queue, the time and a nonce. A signed message is always JSON, whatever type its headers name: its sender cannot choose a
serializer. The signature is over the text as it was sent, so there is only one way to read it.
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
"""The serializer in Celery's `accept_content`. It passes a text through; `consumer` and `remote` verify it."""

serialization.register(NAME, str, bytes_to_str, content_type=CONTENT_TYPE, content_encoding="utf-8")

CONTROL_SECONDS = 60.0
"""A message of remote control, or an answer to one, is valid for this long. Clocks may differ by as much."""

CANVAS_SECONDS = 86_400.0
"""A message of a canvas is valid for this long, as its results are."""

NONCE_LENGTH = 16
"""Characters of a nonce."""


class SignatureRejected(Exception):
    """A message is not signed, or not by an accepted key, or not for this purpose, or too long ago."""


class VerifiedMessage(NamedTuple):
    """A message whose signature is valid.

    Args:
        purpose: The purpose that its sender gave to `Signer.sign`.
        body: The content.
        nonce: A text that no other message has.
        age: Seconds since it was signed.
    """

    purpose: dict[str, Any]
    body: Any
    nonce: str
    age: float


class Signer:
    """Signs messages with the key of this process, and verifies those of accepted keys.

    Args:
        signing: The settings, which say where the keys lie.

    Raises:
        CannotSign: The library cryptography is not installed, or a file cannot be used.
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

    def sign(self, body: Any, purpose: Mapping[str, Any]) -> str:
        """Sign a message.

        Args:
            body: The content, as JSON can hold it.
            purpose: The purpose of the message. Its `kind` is checked when it is verified.
        """
        said = {
            "body": body,
            "about": purpose,
            "at": time.time(),
            "nonce": secrets.token_hex(NONCE_LENGTH // 2),
        }
        text = serialization.dumps(said, serializer="json")[2]
        signature = self._key.sign(text.encode(), self._padding, self._hash)
        return json.dumps({"said": text, "by": self._own, "signature": base64.b64encode(signature).decode()})

    def verify(self, text: Any, kind: str, within: float | None = None) -> VerifiedMessage:
        """Verify a message, and read it.

        Args:
            text: The text as it came.
            kind: The `kind` that the purpose of the message must have.
            within: The seconds for which a message of this kind is valid; None: for ever.

        Raises:
            SignatureRejected: It is not signed by an accepted key, or for another purpose, or is too old.
        """
        try:
            signed = json.loads(text)
            said, by, signature = signed["said"], signed["by"], base64.b64decode(signed["signature"])
            self._check_signature(said, by, signature)
            found = json.loads(said)
            body, purpose = found["body"], found["about"]
            nonce, age = str(found["nonce"]), time.time() - float(found["at"])
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise SignatureRejected(f"it is not a signed message ({type(error).__name__})") from None
        if purpose.get("kind") != kind:
            raise SignatureRejected("it was signed for another purpose")
        if within is not None and not -CONTROL_SECONDS <= age <= within:
            raise SignatureRejected(
                f"it was signed {age:.0f} s ago, by the clocks of its sender and this machine"
            )
        return VerifiedMessage(purpose, body, nonce, age)

    def _check_signature(self, said: str, by: str, signature: bytes) -> None:
        from cryptography.exceptions import InvalidSignature

        certificate: Any = self._accepted.get(by)
        if certificate is None:
            raise SignatureRejected("its key is not accepted here")
        if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
            raise SignatureRejected("the certificate of its key has expired, or is not valid yet")
        try:
            certificate.public_key().verify(signature, said.encode(), self._padding, self._hash)
        except InvalidSignature:
            raise SignatureRejected("its signature is wrong") from None


class Producer:
    """A producer that signs what it publishes.

    Args:
        producer: Kombu's producer.
        signer: The signer.
        purpose: Returns the purpose of a message from its headers and its routing key; None: it is not signed.
    """

    def __init__(
        self,
        producer: Any,
        signer: Signer,
        purpose: Callable[[Mapping[str, Any], str], Mapping[str, Any] | None],
    ) -> None:
        self._producer = producer
        self._signer = signer
        self._purpose = purpose

    def publish(
        self, body: Any, routing_key: str = "", *, headers: Mapping[str, Any] | None = None, **given: Any
    ) -> Any:
        """Publish a message. It is signed if it has a purpose."""
        purpose = self._purpose(headers or {}, routing_key)
        if purpose is not None:
            body = self._signer.sign(body, purpose)
            given |= {"serializer": None, "content_type": CONTENT_TYPE, "content_encoding": "utf-8"}
        return self._producer.publish(body, routing_key=routing_key, headers=headers, **given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


class SeenNonces:
    """The nonces of verified messages, kept for as long as a copy of the message could be accepted.

    Args:
        seconds: The seconds for which a message is valid.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.since = time.time()
        self._ends: dict[str, float] = {}

    def add(self, message: VerifiedMessage) -> None:
        """Accept a message once.

        Raises:
            SignatureRejected: It was accepted before; or it may have been, as it was signed before this process began.
        """
        now = time.time()
        self._ends = {nonce: end for nonce, end in self._ends.items() if end > now}
        if message.nonce in self._ends:
            raise SignatureRejected("it has come before")
        if now - message.age < self.since:
            raise SignatureRejected("it was signed before this worker began to listen")
        self._ends[message.nonce] = now + 2 * self.seconds
