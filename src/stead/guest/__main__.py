"""`python -m stead.guest serve --stdio --config FILE`: one channel on standard input and output, with the scripted toolbox.

The guest of a real workspace is not started this way: its holder forks it from itself (`stead.guest.forking`).
"""

from __future__ import annotations

import sys

from stead.guest import running, server
from stead.toolbox.holding.settings import load

USAGE = "usage: python -m stead.guest serve --stdio --config FILE"


def main(argv: list[str]) -> None:
    """Serves until SIGTERM, or until the channel is gone."""
    if len(argv) != 4 or argv[0] != "serve" or "--stdio" not in argv or argv[:-1].count("--config") != 1:
        sys.exit(USAGE)
    running.run(server.serve_scripted, load(argv[argv.index("--config") + 1]))


if __name__ == "__main__":
    main(sys.argv[1:])
