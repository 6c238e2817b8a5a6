"""Writes the audit entry of every change that comes over HTTP, before its answer goes out.

Contract: `Audited` wraps the API. Whatever a POST, PUT, PATCH or DELETE of a known route answers is written down, but for those
that only look: who, the operation, the subject, the outcome. What cannot be written down is answered as an error, whatever
became of it. A route names its subject by its path, or by the Location of what it made. Who holds answers back further out
collects the entries with `collected(scope)` and writes them itself.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec

from stead.api.types import AuditEntry
from stead.control.http.asgi import ASGIApp, Message, Receive, Scope, Send
from stead.control.http.auth import SAFE
from stead.control.http.errors import send_error
from stead.control.http.guards import ONLY_LOOKS
from stead.control.http.scope import known_or_none, request_id, state_of
from stead.control.people.audit import OK, Audit
from stead.control.people.caller import Caller
from stead.protocol.errors import SteadError

ACTOR = "actor"
_NOTED = ("path", "source", "target")


_COLLECTED = "audit_entries"


def collected(scope: Any) -> list[AuditEntry]:
    """From now on the entries of this request go here; whoever asked for it writes them before the answer goes out."""
    entries: list[AuditEntry] = state_of(scope).setdefault(_COLLECTED, [])
    return entries


class Audited:
    """Around the API."""

    def __init__(self, inner: ASGIApp, audit: Audit) -> None:
        self._inner = inner
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the request through and writes down what became of it."""
        if scope["type"] != "http" or scope["method"] in SAFE:
            await self._inner(scope, receive, send)
            return
        started: Message | None = None
        refused = False

        async def note(message: Message) -> None:
            nonlocal started, refused
            if message["type"] == "http.response.start":
                started = message
                return
            if started is not None:
                begun, started = started, None
                try:
                    await self._write(scope, begun, message)
                    await send(begun)
                except SteadError as error:
                    refused = True
                    await send_error(send, error, request_id(scope))
            if not refused:
                await send(message)

        await self._inner(scope, receive, note)

    async def _write(self, scope: Any, started: Any, body: Any) -> None:
        handler = scope.get("route_handler")
        if handler is None or ONLY_LOOKS in handler.opt:
            return
        places = {key: str(value) for key, value in scope.get("path_params", {}).items()}
        made = _location(started)
        subject = next(iter(places.values()), "") or made
        details: dict[str, Any] = {**dict(list(places.items())[1:]), **_query(scope)}
        if made and made != subject:
            details["made"] = made
        entry = self._audit.entry(_actor(scope), handler.operation_id, subject, _outcome(started, body), details)
        if (entries := state_of(scope).get(_COLLECTED)) is not None:
            entries.append(entry)
        else:
            await self._audit.record(entry)


def _actor(scope: Any) -> Caller | None:
    known = known_or_none(scope)
    if known is not None:
        return known.caller
    found = state_of(scope).get(ACTOR)
    return found if isinstance(found, Caller) else None


def _location(started: Any) -> str:
    found = next((value for name, value in started["headers"] if name.lower() == b"location"), b"")
    return str(found.decode("latin-1").rpartition("/")[2])


def _query(scope: Any) -> dict[str, str]:
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    return {name: asked[name][0][:1000] for name in _NOTED if name in asked}


class _Error(msgspec.Struct):
    code: str


class _ErrorBody(msgspec.Struct):
    error: _Error


def _outcome(started: Any, body: Any) -> str:
    if started["status"] < 400:
        return OK
    try:
        return msgspec.json.decode(body["body"], type=_ErrorBody).error.code
    except msgspec.DecodeError:
        return str(started["status"])
