"""The configuration of a guest on Windows: the file of every guest, with places as Windows writes them.

Contract: `read(file)` gives the `Configuration`; `FILE` below the folder for the data of programs is read when none is named.
What of it belongs to the toolbox of other systems (`root`, `run`, `name`) is refused, not passed over.
"""

from __future__ import annotations

import os
from pathlib import Path

from stead.guest import configuration
from stead.guest.configuration import Configuration
from stead.guest.windows import names
from stead.protocol.errors import SteadError

FOLDER = Path(os.environ.get("PROGRAMDATA", "C:\\ProgramData")) / "stead"
FILE = FOLDER / "guest.json"
LOG = FOLDER / "guest.log"


def read(file: Path | None) -> Configuration:
    """The one that is named, or the one that is there, or none."""
    if file is None and not FILE.exists():
        return Configuration()
    file = file or FILE
    found = configuration.read(file, absolute=names.absolute)
    foreign = {"root": found.root != "/", "run": bool(found.run), "name": bool(found.name)}
    if wrong := [name for name, given in foreign.items() if given]:
        raise SteadError("invalid", f"{file}: {wrong[0]} has no meaning on Windows")
    return found
