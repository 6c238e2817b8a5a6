"""Which pages may use a browser's session.

Contract: `Origins.check(origin, by_cookie)` raises "origin_refused": an Origin that is not allowed is always refused, and
what comes with a browser's cookie must name one.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from stead.protocol.errors import SteadError

_PORTS = {"http": 80, "https": 443}


class Origins:
    """The allow-list. The addresses the server listens on are added once they are known."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = {normal(origin) for origin in allowed if origin}

    def allow(self, origin: str) -> None:
        """Adds one."""
        self._allowed.add(normal(origin))

    def check(self, origin: str | None, *, by_cookie: bool) -> None:
        """Raises "origin_refused" unless the page may."""
        if origin is None:
            if by_cookie:
                raise SteadError("origin_refused", "a change with a browser session needs an Origin header")
            return
        if normal(origin) not in self._allowed:
            raise SteadError("origin_refused", f"pages of {origin[:200]} may not use this server")


def normal(origin: str) -> str:
    """scheme://host:port in lower case, the port always there; what cannot be read stays as it is."""
    try:
        parts = urlsplit(origin)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return origin
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"
