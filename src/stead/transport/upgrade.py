"""Turns a channel that speaks the lines of the guest protocol into one that carries framed messages: the asking side.

Contract: `upgrade(channel, before) -> Framed`; `before` is what was read already. Lines that are not the answer are passed
over. A guest that hangs up, refuses, or begins anew meanwhile is "unavailable", with its words; one that knows no link is
"method_not_found". The caller has the deadline, and closes the channel when this fails.
"""

from __future__ import annotations

import msgspec

from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.guest import LINE_BYTES, METHOD_NOT_FOUND, READY, UPGRADE, Upgrade
from stead.protocol.version import PROTOCOL
from stead.transport.framed import Framed

READ = 1 << 16
_ID = "stead-upgrade"
_REQUEST = {"jsonrpc": "2.0", "id": _ID, "method": UPGRADE, "params": Upgrade(protocol=PROTOCOL)}


class _Problem(msgspec.Struct):
    message: str = ""
    code: object = None


class _Line(msgspec.Struct):
    """A line of the guest, as far as it matters."""

    id: object = None
    method: object = None
    error: _Problem | None = None


async def upgrade(channel: Bytes, before: bytes = b"") -> Framed:
    """Asks for the upgrade; what follows the answer's line belongs to the framed form."""
    await channel.write(msgspec.json.encode(_REQUEST) + b"\n")
    rest = before
    while True:
        line, newline, after = rest.partition(b"\n")
        if newline:
            rest = after
            if _granted(line):
                return Framed(channel, before=rest)
            continue
        if len(rest) > LINE_BYTES:
            raise SteadError("unavailable", "the guest says something that is no line of the guest protocol")
        data = await channel.read(READ)
        if not data:
            raise SteadError("unavailable", "the guest hung up")
        rest += data


def _granted(line: bytes) -> bool:
    """Whether this line is the answer; raises where it is no, or says that there will be none."""
    try:
        said = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    if said.method == READY:
        raise SteadError("unavailable", "the guest began anew")
    if said.id != _ID:
        return False
    if said.error is not None and said.error.code == METHOD_NOT_FOUND:
        raise SteadError("method_not_found", f"this guest has no framed link: {said.error.message}")
    if said.error is not None:
        raise SteadError("unavailable", f"the guest refused the link: {said.error.message}")
    return True
