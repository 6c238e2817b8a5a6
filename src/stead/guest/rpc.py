"""JSON-RPC 2.0, one object a line: the face of the guest that any JSON-RPC client can talk to.

Contract: `Rpc(methods).answer(line)` gives the line to send back, or nothing for notifications. Batches, notifications and
error codes are those of the specification and of the guest protocol 1.0.0; a malformed line is answered with -32700 and
costs nothing else. No line is longer than `LINE_BYTES` in either direction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from stead.guest.limiter import DEFAULT, Limiter, Limits
from stead.protocol.errors import SteadError
from stead.protocol.guest import (
    COMMAND_FAILED,
    INTERNAL,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LINE_BYTES,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    PARSE,
    PERMISSION_DENIED,
    TIMED_OUT,
)

BATCH = 64
TIMED_BY_THEMSELVES = frozenset({"exec_command"})

CODES = {
    "malformed": INVALID_PARAMS,
    "invalid": INVALID_PARAMS,
    "path_invalid": INVALID_PARAMS,
    "permission_denied": PERMISSION_DENIED,
    "path_outside": PERMISSION_DENIED,
    "refused": PERMISSION_DENIED,
    "forbidden": PERMISSION_DENIED,
    "not_found": NOT_FOUND,
    "exec_unknown": NOT_FOUND,
    "timeout": TIMED_OUT,
    "method_not_found": METHOD_NOT_FOUND,
    "internal": INTERNAL,
}
"""Codes of our table in the guest protocol; all others are "command failed"."""

log = logging.getLogger(__name__)

Method = Callable[[Any], Awaitable[Any]]
Params = Mapping[str, tuple[type, Method]]


class RpcError(Exception):
    """A JSON-RPC error object."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})

    @classmethod
    def of(cls, error: SteadError) -> RpcError:
        return cls(CODES.get(error.code, COMMAND_FAILED), error.message, {"code": error.code})


class Rpc:
    """Answers lines. `unlimited` methods are answered however much is going on."""

    def __init__(
        self, methods: Params, limiter: Limiter | None = None, unlimited: frozenset[str] = frozenset({"ping"})
    ) -> None:
        self._methods = methods
        self._unlimited = unlimited
        self._limiter = limiter or Limiter(DEFAULT)
        self.limits = self._limiter.limits
        self.running = 0

    @classmethod
    def within(cls, methods: Params, limits: Limits) -> Rpc:
        """One with limits of its own."""
        return cls(methods, Limiter(limits))

    async def answer(self, line: bytes) -> bytes | None:
        """The answer to one line, without its end of line."""
        try:
            value = parse(line)
        except RpcError as error:
            return encode(_response(None, error=error))
        if not isinstance(value, list):
            response = await self._one(value)
            return None if response is None else encode(response)
        if not 0 < len(value) <= BATCH:
            return encode(_response(None, error=RpcError(INVALID_REQUEST, f"a batch has 1 to {BATCH} requests")))
        found = await asyncio.gather(*(self._one(each) for each in value))
        responses = [response for response in found if response is not None]
        return _encode_batch(responses) if responses else None

    async def _one(self, value: object) -> dict[str, Any] | None:
        number, has_id, error = envelope(value)
        if error is not None or not isinstance(value, dict):
            return _response(number, error=error)
        try:
            result = await self._call(value["method"], value.get("params"))
        except RpcError as failure:
            return _response(number, error=failure) if has_id else None
        return _response(number, result=result) if has_id else None

    async def _call(self, name: str, params: object) -> Any:
        found = self._methods.get(name)
        if found is None:
            raise RpcError(METHOD_NOT_FOUND, f"no method {name[:100]!r}")
        counted = name not in self._unlimited
        if counted:
            self._enter()
        self.running += 1
        try:
            return await self._done(name, *found, params)
        finally:
            self.running -= 1
            if counted:
                self._limiter.leave()

    def _enter(self) -> None:
        """Refuses what is too much at once or too often."""
        try:
            self._limiter.enter()
        except SteadError as error:
            raise RpcError.of(error) from None

    async def _done(self, name: str, kind: type, method: Method, params: object) -> Any:
        try:
            given: Any = msgspec.convert({} if params is None else params, kind)
        except msgspec.ValidationError as error:
            raise RpcError(INVALID_PARAMS, str(error)) from None
        try:
            async with asyncio.timeout(self._seconds(name)):
                return await method(given)
        except TimeoutError:
            raise RpcError(TIMED_OUT, f"{name} took longer than {self.limits.seconds:g} s") from None
        except SteadError as error:
            raise RpcError.of(error) from error
        except RpcError:
            raise
        except Exception:
            log.exception("%s failed", name)
            raise RpcError(INTERNAL, "this is a bug; the guest's log has the details") from None

    def _seconds(self, name: str) -> float | None:
        return self.limits.seconds or None if name not in TIMED_BY_THEMSELVES else None


def parse(line: bytes) -> Any:
    """The JSON value, or a parse error."""
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RpcError(PARSE, f"not JSON: {error}") from None


def envelope(value: object) -> tuple[str | int | None, bool, RpcError | None]:
    """The id, whether there is one, and what is wrong with the request."""
    if not isinstance(value, dict):
        return None, False, RpcError(INVALID_REQUEST, "a request is an object")
    number = value.get("id")
    if isinstance(number, bool) or not isinstance(number, str | int | None):
        return None, True, RpcError(INVALID_REQUEST, "id is a text, a whole number or null")
    if value.get("jsonrpc") != "2.0":
        return number, True, RpcError(INVALID_REQUEST, 'jsonrpc must be "2.0"')
    if not isinstance(value.get("method"), str):
        return number, True, RpcError(INVALID_REQUEST, "method is a text")
    if not isinstance(value.get("params"), dict | list | None):
        return number, True, RpcError(INVALID_PARAMS, "params are an object")
    return number, "id" in value, None


def too_long(most: int) -> bytes:
    """The answer to a line over the limit."""
    return encode(_response(None, error=RpcError(INVALID_REQUEST, f"a line has at most {most} bytes")))


def encode(response: dict[str, Any]) -> bytes:
    """One line, never too long: a result that does not fit becomes an error."""
    line = msgspec.json.encode(response)
    if len(line) < LINE_BYTES:
        return line
    error = RpcError(COMMAND_FAILED, "the answer is too long for one line; use link.upgrade", {"code": "too_large"})
    return msgspec.json.encode(_response(response.get("id"), error=error))


def _encode_batch(responses: list[dict[str, Any]]) -> bytes:
    line = b"[" + b",".join(encode(response) for response in responses) + b"]"
    if len(line) < LINE_BYTES:
        return line
    error = RpcError(COMMAND_FAILED, "the answers are too long for one line", {"code": "too_large"})
    return msgspec.json.encode([_response(response.get("id"), error=error) for response in responses])


def _response(number: str | int | None, *, result: Any = None, error: RpcError | None = None) -> dict[str, Any]:
    base: dict[str, Any] = {"jsonrpc": "2.0", "id": number}
    return base | ({"result": result} if error is None else {"error": error.error})
