"""Programs by name, as Windows finds them, but for what is no program: a batch file is a shell line and is not run.

Contract: `find(name, path, exists)` gives the file of a program: one with a path of its own is that file, with `.exe` or `.com`
added where it has no such ending; any other name is looked for in the directories of PATH, never in the current one.
"""

from __future__ import annotations

from collections.abc import Callable

from stead.guest.windows import names
from stead.protocol.errors import SteadError

ENDINGS = (".exe", ".com")


def find(name: str, path: str, exists: Callable[[str], bool]) -> str | None:
    """None when there is none."""
    if "\\" in name or "/" in name or ":" in name:
        folders = [""]
    else:
        folders = [folder.strip('"').rstrip("\\/") + "\\" for folder in path.split(";") if folder.strip('"')]
    for folder in folders:
        try:
            place = names.place(folder + name)
        except SteadError:
            continue
        for candidate in _candidates(place):
            if exists(candidate):
                return candidate
    return None


def _candidates(place: str) -> list[str]:
    if place.lower().endswith(ENDINGS):
        return [place]
    return [place + ending for ending in ENDINGS]
