"""Every limit of the control plane's face in one table; `docs/limits.md` is generated from it.

Contract: `Limits` is the `[limits]` table of the settings. Each field is enforced where its description says.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Bytes = Annotated[int, Meta(ge=1024)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one caller may ask for, and how long things live."""

    header_bytes: Annotated[
        Bytes, Meta(description="Request line and headers of one request; more is `headers_too_large`.")
    ] = 65_536
    head_seconds: Annotated[
        Seconds,
        Meta(
            description="How long a request's head may take, and the body of a caller without credential; then it is over."
        ),
    ] = 60.0
    body_bytes: Annotated[Bytes, Meta(description="JSON body of one request; more is `too_large`.")] = 2 << 20
    upload_bytes: Annotated[Bytes, Meta(description="One uploaded file; more is `too_large`.")] = 64 << 30
    requests_per_second: Annotated[
        Count, Meta(description="Requests of one user, steadily; more is `rate_limited`.")
    ] = 1_000
    requests_burst: Annotated[Count, Meta(description="Requests of one user at once before the rate counts.")] = 5_000
    login_attempts: Annotated[
        Count, Meta(description="Failed credentials and logins from one address in a minute; more is `rate_limited`.")
    ] = 20
    links: Annotated[Count, Meta(description="Client links of one user; more is `too_many`.")] = 128
    link_streams: Annotated[Count, Meta(description="Streams on one client link; more is `too_many`.")] = 256
    link_calls: Annotated[Count, Meta(description="Calls in flight on one client link; more is `too_many`.")] = 64
    link_messages_per_second: Annotated[
        Count, Meta(description="Messages on one client link, steadily; more is `rate_limited`.")
    ] = 5_000
    exec_wait_seconds: Annotated[
        Seconds,
        Meta(
            description="The longest a request waits for an exec's end; then `timeout`. Longer ones run in the background."
        ),
    ] = 3_600.0
    ticket_seconds: Annotated[Seconds, Meta(description="How long a WebSocket ticket can be used, once.")] = 40.0
    login_seconds: Annotated[Seconds, Meta(description="How long a one-time login code can be used, once.")] = 900.0
    session_seconds: Annotated[Seconds, Meta(description="How long a browser session lives.")] = 2_592_000.0
    idempotency_seconds: Annotated[Seconds, Meta(description="How long the answer to an Idempotency-Key is kept.")] = (
        86_400.0
    )
    history_seconds: Annotated[
        Seconds, Meta(description="How long ended commands, events and deleted workspaces are kept.")
    ] = 2_592_000.0
    shutdown_seconds: Annotated[
        Seconds, Meta(description="How long a stopping server waits for requests and links to end.")
    ] = 10.0


PAGE_ITEMS = 500
KEY_CHARACTERS = 200
MESSAGE_BYTES = 2 << 20
QUEUE_BYTES = 1 << 20

FIXED: tuple[tuple[str, int, str], ...] = (
    ("page", PAGE_ITEMS, "Items of one page; a larger `limit` is `invalid`."),
    ("idempotency key", KEY_CHARACTERS, "Characters of an Idempotency-Key; a longer one is `invalid`."),
    (
        "link message",
        MESSAGE_BYTES,
        "Bytes of one message on a link; a larger one closes the link before it is parsed.",
    ),
    (
        "link queue",
        QUEUE_BYTES,
        "Bytes that wait for a slow link; frames beyond are dropped and their streams resumed.",
    ),
)
"""What no setting changes."""
