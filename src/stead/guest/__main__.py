"""`python -m stead.guest serve ...`: the guest of a machine (`stead.guest.serving`). `... scripted --config FILE`: that of a
workspace of the scripted driver, with one channel on standard input and output.

The guest of a real workspace is not started this way: its holder forks it from itself (`stead.guest.forking`).
"""

from __future__ import annotations

import sys

from stead.guest import forking

USAGE = "usage: python -m stead.guest serve ... | scripted --config FILE"


def main(argv: list[str]) -> None:
    """Serves until SIGTERM, or until the channel is gone."""
    if argv[:1] == ["serve"]:
        with forking.kept():
            from stead.guest import serving

        serving.main(argv[1:])
    elif len(argv) == 3 and argv[:2] == ["scripted", "--config"]:
        from stead.guest import running, server
        from stead.toolbox.holding.settings import load

        running.run(server.serve_scripted, load(argv[2]))
    else:
        sys.exit(USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
