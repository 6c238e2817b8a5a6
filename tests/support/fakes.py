"""Programs that stand in for those of the system: each tells its arguments to a file, and says and ends as it is told."""

import shlex
from pathlib import Path


class Fakes:
    """A directory of them, to be first in PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._told = folder / "told"
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, says: str = "", *, code: int = 0, complains: str = "", does: str = "") -> None:
        """`does` is a line of shell that comes first."""
        file = self.folder / name
        told = shlex.quote(str(self._told))
        says, complains = shlex.quote(says), shlex.quote(complains)
        tell = f'(printf %s {name}; for each; do printf "\\037%s" "$each"; done; printf "\\036") >> {told}'
        file.write_text(f"#!/bin/sh\n{tell}\n{does}\nprintf %s {says}\nprintf %s {complains} >&2\nexit {code}\n")
        file.chmod(0o755)

    @property
    def told(self) -> list[list[str]]:
        """The argument vectors so far."""
        if not self._told.exists():
            return []
        return [record.split("\037") for record in self._told.read_text().split("\036")[:-1]]

    @property
    def path(self) -> str:
        """Of a system that has these and a shell's usual programs."""
        return f"{self.folder}:/usr/bin:/bin"
