"""The security headers of every answer.

Contract: `guarded(send, ...)` wraps an ASGI send: what a route did not set itself is added here.
"""

from __future__ import annotations

from stead.control.http.asgi import Message, Send

PAGE_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]
_API = [*_ALWAYS, (b"content-security-policy", API_POLICY.encode()), (b"cache-control", b"no-store")]
_PAGE = [*_ALWAYS, (b"content-security-policy", PAGE_POLICY.encode())]
_HTTPS = (b"strict-transport-security", b"max-age=31536000")


def guarded(send: Send, request_id: str, *, api: bool, secure: bool) -> Send:
    """A send that completes the headers of the answer."""
    wanted = [*(_API if api else _PAGE), (b"x-request-id", request_id.encode()), *([_HTTPS] if secure else [])]

    async def complete(message: Message) -> None:
        if message["type"] == "http.response.start":
            have = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in wanted if pair[0] not in have)]
        await send(message)

    return complete
