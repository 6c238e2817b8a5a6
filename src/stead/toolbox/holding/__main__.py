"""A holder for one local toolbox: `python -m stead.toolbox.holding --config FILE --peer FD`. It ends with its peer."""

from __future__ import annotations

import argparse
import signal
import socket

from stead.toolbox.holding.engine import Engine
from stead.toolbox.holding.loop import Loop
from stead.toolbox.holding.settings import load

GRACE = 2.0


def main() -> None:
    """Serves the peer on the inherited socket; ends every exec when the peer goes, or on SIGTERM."""
    parser = argparse.ArgumentParser(prog="stead-holder")
    parser.add_argument("--config", required=True)
    parser.add_argument("--peer", required=True, type=int)
    given = parser.parse_args()
    loop = Loop()
    engine = Engine(loop, load(given.config))

    def finish() -> None:
        engine.close(GRACE, loop.stop)

    loop.on_signal(signal.SIGTERM, finish)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine.connect(socket.socket(fileno=given.peer), finish)
    loop.run()


if __name__ == "__main__":
    main()
