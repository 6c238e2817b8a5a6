"""Fuzzes the parsers of the wire: frames, text messages, framed bytes, a stream end.

`python -m stead.testing.fuzz --seconds 60` needs nothing installed: it mutates known input by a seed, so that a finding
can be repeated (`make fuzz` is guided by coverage, with atheris). Any exception but SteadError is a finding: it is printed
with its input, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

from stead.protocol.codec import TYPES, decode
from stead.protocol.errors import SteadError
from stead.protocol.flow import BULK_WINDOW, WINDOW
from stead.protocol.frames import CONSUMED, Frame, FrameKind
from stead.protocol.stream import StreamEnd
from stead.protocol.version import agree
from stead.transport.framed import HEADER, Framed

SEED_CASES: tuple[bytes, ...] = (
    Frame(FrameKind.DATA, "st_1", 0, b"hello").encode(),
    Frame(FrameKind.CREDIT, "st_1", 300_000, CONSUMED.pack(5)).encode(),
    Frame(FrameKind.END, "st_1", 5, b'{"code":0}').encode(),
    Frame(FrameKind.RESET, "st_1", 5, b'{"code":"x","message":"y"}').encode(),
    HEADER.pack(5, 0) + b"hello" + HEADER.pack(2, 1) + b"hi",
    b'{"type":"ack","request_id":"r1","ok":true,"result":{"a":[1,2,null]}}',
    *(f'{{"type":"{name}","request_id":"r1","workspace_id":"w","params":{{}}}}'.encode() for name in sorted(TYPES)),
)


def try_all(data: bytes) -> None:
    """Feeds the input to every parser; only SteadErrors are allowed out."""
    for parser in (_frame, _message, _framed, _stream, _version):
        try:
            parser(data)
        except SteadError:
            continue


def _frame(data: bytes) -> None:
    if Frame.decode(data).encode() != data:
        raise AssertionError("a frame does not survive the trip")


def _message(data: bytes) -> None:
    decode(data)
    decode(data.decode(errors="replace"))


def _framed(data: bytes) -> None:
    framed = Framed(_NoBytes(), before=data)
    while framed.take() is not None:
        continue


def _stream(data: bytes) -> None:
    """The input as a run of operations on one end."""
    end = StreamEnd("st_1")
    for at in range(0, min(len(data), 400) - 10, 10):
        piece = data[at : at + 10]
        kind, seq = piece[0] % 8, int.from_bytes(piece[1:4], "big") % (2 * WINDOW)
        end.frame(Frame(kind, "st_1", seq, piece[2 : 2 + piece[4] % 9]))
        end.write(piece)
        if piece[9] & 1:
            end.take()
        if piece[9] & 2:
            end.resume(seq)
        end.next_frame()
        if end.waiting > WINDOW or end.kept > BULK_WINDOW:
            raise AssertionError("a buffer is over its bound")


def _version(data: bytes) -> None:
    agree(data.decode(errors="replace"))


class _NoBytes:
    """A connection with nothing more to read."""

    async def read(self, limit: int) -> bytes:
        return b""

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


def mutate(draw: random.Random) -> bytes:
    """A seed with a few bytes changed, cut, doubled; or noise."""
    if draw.random() < 0.1:
        return draw.randbytes(draw.randrange(200))
    data = bytearray(draw.choice(SEED_CASES))
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0:
                data[at:at] = draw.randbytes(draw.randrange(1, 12))
            case 1:
                del data[at : at + draw.randrange(1, 12)]
            case 2:
                data[at : at + 1] = bytes((draw.randrange(256),))
            case _:
                data[at:at] = data[: draw.randrange(len(data) + 1)]
    return bytes(data[:4000])


def by_hand(seconds: float, seed: int, tries: int = sys.maxsize, target: Callable[[bytes], None] = try_all) -> int:
    """Random mutation until the time is over; the number of inputs tried."""
    draw = random.Random(seed)
    until = time.monotonic() + seconds
    for count in range(tries):
        if count % 256 == 0 and time.monotonic() > until:
            return count
        data = mutate(draw)
        try:
            target(data)
        except Exception:
            print(f"found with seed {seed}: {data!r}", file=sys.stderr)
            raise
    return tries


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers of the wire.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    count = by_hand(options.seconds, seed)
    print(f"fuzz: {count} inputs, seed {seed}, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
