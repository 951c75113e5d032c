"""Access to the pages of features: who may see them, and who may decide there."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode
from binascii import Error
from urllib.parse import urlsplit

UNNAMED = "flower"
"""The name of who came by the address with the secret: it has no name of its own."""


def name_in(authorization: str) -> str:
    """The user's name in a header of HTTP's basic authentication; "" if it is none.

    Example:
        >>> name_in("Basic b3BzOnNlY3JldA==")
        'ops'
    """
    kind, _, given = authorization.partition(" ")
    try:
        return b64decode(given).decode().partition(":")[0] if kind.lower() == "basic" else ""
    except (Error, UnicodeDecodeError):
        return ""


def is_same(given: str, secret: str) -> bool:
    """Compare two texts in a time that does not tell how much of them is equal.

    Example:
        >>> is_same("a", "a"), is_same("a", "b")
        (True, False)
    """
    return hmac.compare_digest(given.encode(), secret.encode())


def proof(secret: str) -> str:
    """The content of the cookie: it proves that its holder knew the secret, and does not reveal it.

    Example:
        >>> len(proof("a"))
        64
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def is_from_here(host: str, origin: str, site: str) -> bool:
    """Whether a page of this Flower sent a request, as far as the browser says.

    Args:
        host: The request's Host.
        origin: Its Origin; "": none.
        site: Its Sec-Fetch-Site; "": none.

    Example:
        >>> is_from_here("localhost:5555", "http://localhost:5555", "same-origin")
        True
        >>> is_from_here("localhost:5555", "https://evil.example", "")
        False
    """
    if site and site not in ("same-origin", "none"):
        return False
    return not origin or urlsplit(origin).netloc == host
