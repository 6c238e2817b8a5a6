"""The REST side: one client, errors mapped to `SteadError`, retries only where repeating is safe.

Contract: `await http.get(path, Type, **query)`, `post`, `patch`, `delete`. GET, DELETE and requests with an idempotency
key (every POST gets one) are tried again on a lost connection and on answers that say "try again", with full jitter, until
`patience` seconds have passed. `exchange` hands back the raw answer (headers, bytes).
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import anyio
import msgspec

from stead import __version__
from stead.api.types import ErrorAnswer
from stead.protocol.errors import BY_STATUS, SteadError
from stead.sdk.http1 import Answered, Pool

T = TypeVar("T")

API = "/api/v1"
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 3.0
AGAIN = frozenset({"unavailable", "draining", "database_unavailable", "rate_limited", "in_progress"})
"""Faults that only mean "not now"; what a workspace or node answers is for the caller to judge."""


class Http:
    """One connection pool to one control plane."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 60.0, patience: float = 30.0) -> None:
        self._url = url
        self._timeout = timeout
        self._patience = patience
        self._pool: Pool | None = None
        self._headers = {"User-Agent": f"stead/{__version__}", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def get(self, path: str, kind: type[T], **query: Any) -> T:
        """Reads one thing or page; empty query values are left out."""
        return _decode(await self.exchange("GET", path, query=query), kind)

    async def post(self, path: str, kind: type[T], body: Any = None, *, repeat: bool = True, key: str = "") -> T:
        """`repeat=False` for what must reach the server at most once (a single-use login code); `key` says which
        requests are the same one, also from another process."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex} if repeat else {}
        return _decode(await self.exchange("POST", path, body=body, headers=headers, repeat=repeat), kind)

    async def patch(self, path: str, kind: type[T], body: Any, etag: str) -> T:
        """Changes what nobody else has changed since `etag`."""
        answer = await self.exchange("PATCH", path, body=body, headers={"If-Match": etag}, repeat=False)
        return _decode(answer, kind)

    async def change(self, path: str, kind: type[T], body: Any) -> T:
        """Reads the present version, then changes that and no other."""
        current = await self.exchange("GET", path)
        return await self.patch(path, kind, body, current.etag)

    async def delete(self, path: str, **query: Any) -> None:
        await self.exchange("DELETE", path, query=query)

    async def pages(self, path: str, kind: type[Any], **query: Any) -> AsyncIterator[Any]:
        """Every item of every page."""
        after = query.pop("after", "")
        while True:
            page = await self.get(path, kind, after=after, **query)
            for item in page.items:
                yield item
            after = page.next
            if not after:
                return

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        repeat: bool = True,
    ) -> Answered:
        """One request and its answer; errors are raised, retried first where `repeat` allows it."""
        content = b"" if body is None else msgspec.json.encode(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = {**self._headers, **kind, **(headers or {})}
        target = self._target(path, query or {})
        give_up = time.monotonic() + (self._patience if repeat else 0.0)
        attempt = 0
        while True:
            try:
                return await self._once(method, target, sent, content)
            except SteadError as error:
                pause = retry_pause(attempt, random.random)
                if error.code not in AGAIN or time.monotonic() + pause > give_up:
                    raise
            attempt += 1
            await anyio.sleep(pause)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _target(self, path: str, query: dict[str, Any]) -> str:
        asked = urlencode(flat_query(query), quote_via=quote)
        prefix = urlsplit(self._url).path.rstrip("/")
        return f"{prefix}{API}{path}" + (f"?{asked}" if asked else "")

    async def _once(self, method: str, target: str, headers: dict[str, str], content: bytes) -> Answered:
        if self._pool is None:
            self._pool = Pool(self._url, self._timeout)
        answer = await self._pool.ask(method, target, headers, content)
        if answer.status >= 300:
            raise fault_of(answer.status, answer.body)
        return answer


def segment(reference: str) -> str:
    """A name or id as one segment of a path, whatever a person typed."""
    if not reference:
        raise SteadError("invalid", "a name or id is missing")
    return quote(reference, safe="")


def fault_of(status: int, body: bytes) -> SteadError:
    """The error an answer stands for."""
    try:
        answer = msgspec.json.decode(body, type=ErrorAnswer)
    except msgspec.DecodeError:
        return SteadError(BY_STATUS.get(status, "internal"), f"the server answered with status {status}")
    error = SteadError.of(answer.error)
    error.details.setdefault("request_id", answer.request_id)
    return error


def retry_pause(attempt: int, chance: Callable[[], float]) -> float:
    """Full jitter below a bound that doubles."""
    return chance() * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10))


def flat_query(query: dict[str, Any]) -> list[tuple[str, str | int | float | bool | None]]:
    """Leaves out what is empty; a mapping becomes repeated `key=value`."""
    flat: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in query.items():
        if isinstance(value, dict):
            flat += [(name, f"{key}={item}") for key, item in value.items()]
        elif value not in (None, "", 0) or value is False:
            flat.append((name, str(value).lower() if isinstance(value, bool) else value))
    return flat


def _decode(answer: Answered, kind: type[T]) -> T:
    if kind is type(None):
        return None
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise SteadError("malformed", f"the server's answer is not what this version knows: {error}") from error
