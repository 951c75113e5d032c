"""Signed messages, by Celery's own serializer `auth` (Celery documentation, "Security", "Message Signing")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.exceptions import SecurityError

from orchestrator import errors

if TYPE_CHECKING:
    from orchestrator.sections import Signing

SERIALIZER = "auth"


def prepare(signing: Signing) -> str:
    """Teach this process to sign messages and to check signatures; returns the name of the serializer.

    What is signed is the body: feature, task and attempt. Not `setup_security`, which would keep the whole process,
    and so the app of whoever enqueues from it, from every other serializer.

    Raises:
        CannotSign: cryptography is not installed, or a file cannot be used.
    """
    try:
        from celery.security.serialization import register_auth
    except ImportError:
        raise errors.CannotSign(cause="cryptography is not installed") from None
    try:
        key, certificate = (file.read_text("utf-8") for file in (signing.key, signing.certificate))
        if not key.strip() or not certificate.strip():
            raise ValueError("an empty file")
        register_auth(key=key, cert=certificate, store=signing.store, serializer="json")
    except OSError as error:
        raise errors.CannotSign(cause=f"{error.filename}: {error.strerror}") from None
    except (ValueError, TypeError, SecurityError) as error:
        raise errors.CannotSign(
            cause=f"a key or certificate cannot be used ({type(error).__name__})"
        ) from None
    return SERIALIZER
