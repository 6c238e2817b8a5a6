"""`python -m stead.guest serve --config FILE --holder FD [--restarts N]`: started by the holder, never by hand.

With `--stdio` instead of `--holder FD` it serves one channel on standard input and output, with the scripted toolbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys

import anyio

USAGE = "usage: python -m stead.guest serve --config FILE (--holder FD [--restarts N] | --stdio)"


def main(argv: list[str]) -> None:
    """Serves until SIGTERM, or until the holder or the channel is gone."""
    stdio = "--stdio" in argv
    words = [word for word in argv[1:] if word != "--stdio"]
    given = dict(zip(words[::2], words[1::2], strict=False))
    needed = {"--config"} if stdio else {"--config", "--holder"}
    if argv[:1] != ["serve"] or not needed <= given.keys() <= {"--config", "--holder", "--restarts"}:
        sys.exit(USAGE)
    anyio.run(_serve, given["--config"], int(given.get("--holder", "-1")), int(given.get("--restarts", "0")))


async def _serve(file: str, holder: int, restarts: int) -> None:
    from stead.guest import server
    from stead.toolbox.holding.settings import load

    settings = load(file)
    if holder < 0:
        work = asyncio.ensure_future(server.serve_scripted(settings))
    else:
        work = asyncio.ensure_future(server.serve(settings, socket.socket(fileno=holder), restarts))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    main(sys.argv[1:])
