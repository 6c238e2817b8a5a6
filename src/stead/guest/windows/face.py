"""What the machine needs of a system: the small face that Windows has, and that any other system may have.

Contract: `Platform`. Its methods block; they are called in threads. Paths that they are given are those that `place` gave;
`places` are the permitted ones (None: all), and confinement to them is the platform's: by handles, against links and races.
"""

from __future__ import annotations

from typing import Protocol

from stead.guest.windows.tree import Tree
from stead.toolbox.system.contract import Disks, Network, SystemInfo

Places = tuple[str, ...] | None


class Platform(Protocol):
    """One system."""

    home: str
    """Where commands run that say nothing else."""

    def place(self, path: str) -> str:
        """The one spelling of an absolute path, or "path_invalid"."""

    def covers(self, place: str, path: str) -> bool:
        """Whether a path is a place or below it, by its name alone."""

    def find(self, program: str) -> str | None:
        """The file of a program, by name or path."""

    def identity(self, program: str) -> tuple[str, str]:
        """The name of a found program and its file, links followed: one file may be many programs."""

    def check_directory(self, path: str, places: Places) -> None:
        """Raises when a command cannot run there."""

    def start(self, argv: list[str], cwd: str, environment: dict[str, str]) -> Tree:
        """Starts the program `argv[0]`, a path, in a tree that can be ended whole."""

    def read(self, path: str, places: Places, limit: int) -> tuple[bytes, int]:
        """The first bytes of a file, and its size."""

    def write(self, path: str, places: Places, content: bytes, mode: int | None, parents: bool) -> None:
        """Replaces a file atomically."""

    def info(self) -> SystemInfo:
        """What runs here, and on what."""

    def network(self) -> Network:
        """Interfaces and their addresses."""

    def disks(self) -> Disks:
        """Filesystems and what is free on them."""

    def change_power(self, action: str, delay: float, force: bool, message: str) -> None:
        """`shutdown` or `reboot`, after so many seconds."""
