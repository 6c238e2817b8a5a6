"""Where things are in a run directory, and the configuration file that the driver writes.

Contract: the file is `holding.settings` plus what only the holder and the guest use: `toolbox` (`local` or `scripted`).
`guest.sock` is where the guest listens, `holder.json` tells the pids and how often the guest was restarted. Standard library
only, because the holder reads it too.
"""

from __future__ import annotations

import json
from pathlib import Path

from stead.toolbox.holding.settings import Settings

SOCKET = "guest.sock"
STATE = "holder.json"


def load(file: str | Path) -> Settings:
    """Reads the file; ValueError names the field that is wrong."""
    return Settings(json.loads(Path(file).read_bytes()))
