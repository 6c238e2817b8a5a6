"""The same request twice, one effect: answers kept for Idempotency-Keys.

Contract: `Idempotency` wraps the API. A POST with a key by somebody who is known runs once; the same key and request again
gets the stored answer (`Idempotency-Replayed: true`), another request with it "key_reused", a running one "in_progress".
An answer that reports failure is not kept, and a key whose server died half-way may be tried again. Stored answers are
sealed with the key itself, which the database never sees.
"""

from __future__ import annotations

import base64
import hashlib
import os
from http import HTTPStatus
from typing import Any

import anyio
import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stead.api.types import AuditEntry
from stead.control.http.asgi import ASGIApp, Message, Receive, Scope, Send
from stead.control.http.audited import collected
from stead.control.http.bodies import read_body, replayed
from stead.control.http.claims import Claim, put_claim
from stead.control.http.limits import KEY_CHARACTERS
from stead.control.http.scope import header, known_or_none
from stead.control.people.caller import Caller
from stead.control.store import audits, idempotency
from stead.control.store.idempotency import Kept
from stead.control.store.store import Store
from stead.control.store.units import FIRST
from stead.protocol.errors import SteadError

log = structlog.get_logger("stead.http")

_HEADERS = {b"content-type", b"location", b"etag"}
_NONCE = 12
_DATABASE = ("database_unavailable", "disk_full")
KEPT_BYTES = 1 << 20
"""Only execs answer more; they have an id made of the key, so that the same request again finds the same exec."""


class Answer(msgspec.Struct):
    """An answer on its way out, as it is kept."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class Idempotency:
    """Around the API."""

    def __init__(self, inner: ASGIApp, store: Store, boot_id: str, body_bytes: int) -> None:
        self._inner = inner
        self._store = store
        self._boot_id = boot_id
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the request, or answers what it answered."""
        key = header(scope, b"idempotency-key")
        known = known_or_none(scope)
        if key is None or known is None or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        if not 0 < len(key) <= KEY_CHARACTERS or not key.isprintable():
            raise SteadError("invalid", f"Idempotency-Key: from 1 to {KEY_CHARACTERS} printable characters")
        body = await read_body(receive, self._body_bytes)
        print_ = _fingerprint(scope, known.caller, body)
        claim = Claim(self._store, known.caller.user_id, _hash(b"key", key.encode()), print_, self._boot_id)
        put_claim(scope, claim)
        held = await self._run(scope, replayed(body, receive), claim, key)
        if claim.kept is not None:
            await _answer(send, _open(claim.kept.body, key))
            return
        for message in held:
            await send(message)

    async def _run(self, scope: Scope, receive: Receive, claim: Claim, key: str) -> list[Message]:
        """The answer, once what must be kept of it is durable. Where the claim is refused, that is the answer."""
        entries = collected(scope)
        answer = Answer(headers=[])
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [pair for pair in message["headers"] if pair[0].lower() in _HEADERS]
            elif message["type"] == "http.response.body":
                answer.body += message["body"]

        settled = False
        try:
            try:
                await self._inner(scope, receive, hold)
            finally:
                FIRST.set(None)
            await self._settle(answer, claim, key, entries)
            settled = True
        finally:
            if claim.taken and not settled:
                await self._release(claim.user, claim.key, entries)
        return held

    async def _settle(self, answer: Answer, claim: Claim, key: str, entries: list[AuditEntry]) -> None:
        """The answer and the audit entries, durable together before the answer goes out. A claim that went down with a failure
        of the database may be there nevertheless, and is released."""
        user, hashed = claim.user, claim.key
        if claim.kept is not None or claim.refused:
            return
        lost = claim.tried and any(entry.outcome in _DATABASE for entry in entries)
        if not claim.taken and not lost:
            if entries:
                await self._store.write(audits.append, entries)
        elif HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES and len(answer.body) <= KEPT_BYTES:
            await self._store.write(idempotency.keep, user, hashed, Kept(answer.status, _seal(answer, key)), entries)
        else:
            await self._store.write(idempotency.release, user, hashed, entries)

    async def _release(self, user: str, hashed: str, entries: list[AuditEntry]) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            try:
                await self._store.write(idempotency.release, user, hashed, entries)
            except SteadError as error:
                log.warning("an idempotency key stays claimed", error=error.message)


async def _answer(send: Send, answer: Answer) -> None:
    headers = [
        *answer.headers,
        (b"idempotency-replayed", b"true"),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _fingerprint(scope: Any, caller: Caller, body: bytes) -> str:
    """The request, and what its credential may do: one with fewer rights never gets what another was answered."""
    may = " ".join([caller.role, *sorted(caller.scopes)]).encode()
    kind = (header(scope, b"content-type") or "").encode()
    return _hash(scope["path"].encode(), scope["query_string"], kind, may, body)


def _hash(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def _cipher(key: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"stead stored answer\0" + key.encode()).digest())


def _seal(answer: Answer, key: str) -> str:
    nonce = os.urandom(_NONCE)
    return base64.b64encode(nonce + _cipher(key).encrypt(nonce, msgspec.json.encode(answer), None)).decode()


def _open(sealed: str, key: str) -> Answer:
    raw = base64.b64decode(sealed)
    try:
        plain = _cipher(key).decrypt(raw[:_NONCE], raw[_NONCE:], None)
    except InvalidTag as error:
        raise SteadError("internal", "a stored answer cannot be opened") from error
    return msgspec.json.decode(plain, type=Answer)
