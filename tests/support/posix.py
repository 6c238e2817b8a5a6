"""The face of the guest for Windows on the system that the tests run on: real files, real commands, no power."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from stead.guest.windows.face import Places
from stead.guest.windows.tree import Tree
from stead.protocol.errors import SteadError
from stead.toolbox.system import disks, host, network
from stead.toolbox.system.contract import Disks, Network, SystemInfo


class Posix:
    """This system. Links are looked at by name only: confinement is Windows' own and not tried here."""

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        self.changes: list[tuple[str, float, bool]] = []

    def place(self, path: str) -> str:
        if not path.startswith("/") or "\0" in path:
            raise SteadError("path_invalid", f"{path[:100]}: an absolute path is needed")
        return os.path.normpath(path)

    def covers(self, place: str, path: str) -> bool:
        return Path(path).is_relative_to(place)

    def find(self, program: str) -> str | None:
        return shutil.which(program)

    def identity(self, program: str) -> tuple[str, str]:
        return Path(program).name, str(Path(program).resolve())

    def check_directory(self, path: str, places: Places) -> None:
        if not Path(path).is_dir():
            raise SteadError("not_directory", f"{path}: it is not a directory")

    def start(self, argv: list[str], cwd: str, environment: dict[str, str]) -> Tree:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        return Tree(process, end)

    def read(self, path: str, places: Places, limit: int) -> tuple[bytes, int]:
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise SteadError("not_found", f"{path}: there is nothing") from None
        return content[:limit], len(content)

    def write(self, path: str, places: Places, content: bytes, mode: int | None, parents: bool) -> None:
        if parents:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(path).write_bytes(content)
        except FileNotFoundError:
            raise SteadError("not_found", f"{path}: there is nothing") from None
        if mode is not None:
            Path(path).chmod(mode)

    def info(self) -> SystemInfo:
        return host.info()

    def network(self) -> Network:
        return network.network()

    def disks(self) -> Disks:
        return disks.disks()

    def change_power(self, action: str, delay: float, force: bool, message: str) -> None:
        self.changes.append((action, delay, force))
