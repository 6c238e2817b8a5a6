"""Objects that git began and could not finish, because the disk became full.

Contract: `sweep(place, objects, since)` removes those in this directory that are younger than that.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from stead.toolbox.place import Place

_OBJECTS = re.compile(r"pack|[0-9a-f]{2}")
_UNFINISHED = "tmp_*"
_SLACK = 0.05
"""The clock of files may be so many seconds behind."""


def sweep(place: Place, objects: str, since: float) -> None:
    for directory in Path(objects).iterdir():
        if _OBJECTS.fullmatch(directory.name):
            for path in directory.glob(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    if path.lstat().st_mtime >= since - _SLACK:
                        place.files.delete(str(path))
