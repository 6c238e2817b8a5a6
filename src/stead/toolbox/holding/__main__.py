"""A holder for one local toolbox: `python -m stead.toolbox.holding --config FILE --peer FD`. It ends with its peer."""

from __future__ import annotations

import signal
import socket
import sys

from stead.toolbox.holding import spawn
from stead.toolbox.holding.engine import Engine
from stead.toolbox.holding.loop import Loop
from stead.toolbox.holding.settings import load

GRACE = 2.0


def main() -> None:
    """Serves the peer on the inherited socket; ends every exec when the peer goes, or on SIGTERM."""
    if len(sys.argv) != 5 or sys.argv[1::2] != ["--config", "--peer"]:
        sys.exit("usage: python -m stead.toolbox.holding --config FILE --peer FD")
    spawn.keep_descriptors()
    loop = Loop()
    engine = Engine(loop, load(sys.argv[2]))

    def finish() -> None:
        engine.close(GRACE, loop.stop)

    loop.on_signal(signal.SIGTERM, finish)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine.connect(socket.socket(fileno=int(sys.argv[4])), finish)
    loop.run()


if __name__ == "__main__":
    main()
