"""`python -m stead.guest serve --config FILE --holder FD [--restarts N]`: started by the holder, never by hand."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys

import anyio

USAGE = "usage: python -m stead.guest serve --config FILE --holder FD [--restarts N]"


def main(argv: list[str]) -> None:
    """Serves until SIGTERM or until the holder is gone."""
    given = dict(zip(argv[1::2], argv[2::2], strict=False))
    if argv[:1] != ["serve"] or not {"--config", "--holder"} <= given.keys() <= {"--config", "--holder", "--restarts"}:
        sys.exit(USAGE)
    anyio.run(_serve, given["--config"], int(given["--holder"]), int(given.get("--restarts", "0")))


async def _serve(file: str, holder: int, restarts: int) -> None:
    from stead.guest.config import load
    from stead.guest.server import serve

    connection = socket.socket(fileno=holder)
    work = asyncio.ensure_future(serve(load(file), connection, restarts))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    main(sys.argv[1:])
