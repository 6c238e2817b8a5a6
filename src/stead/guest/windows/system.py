"""Windows as the face has it: `Windows` puts the modules of this wing together."""

from __future__ import annotations

import ntpath
import os
import sys

from stead.guest.windows import commands, facts, files, names, power, programs
from stead.guest.windows.face import Places
from stead.guest.windows.tree import Tree
from stead.toolbox.system.contract import Disks, Network, SystemInfo

assert sys.platform == "win32"


class Windows:
    """The system that this runs on."""

    home = os.environ.get("SYSTEMDRIVE", "C:") + "\\"

    def place(self, path: str) -> str:
        return names.place(path)

    def covers(self, place: str, path: str) -> bool:
        return names.below(names.place(place), path) is not None

    def find(self, program: str) -> str | None:
        return programs.find(program, os.environ.get("PATH", ""), files.exists)

    def identity(self, program: str) -> tuple[str, str]:
        return ntpath.basename(program).lower(), os.path.realpath(program).lower()

    def check_directory(self, path: str, places: Places) -> None:
        files.check_directory(path, _spelled(places))

    def start(self, argv: list[str], cwd: str, environment: dict[str, str]) -> Tree:
        return commands.start(argv, cwd, environment)

    def read(self, path: str, places: Places, limit: int) -> tuple[bytes, int]:
        return files.read(path, _spelled(places), limit)

    def write(self, path: str, places: Places, content: bytes, mode: int | None, parents: bool) -> None:
        files.write(path, _spelled(places), content, mode, parents)

    def info(self) -> SystemInfo:
        return facts.info()

    def network(self) -> Network:
        return facts.network()

    def disks(self) -> Disks:
        return facts.disks()

    def change_power(self, action: str, delay: float, force: bool, message: str) -> None:
        power.change(action, delay, force, message)


def _spelled(places: Places) -> Places:
    return None if places is None else tuple(names.place(each) for each in places)
