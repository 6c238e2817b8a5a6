"""What lies where: `<state>/workspaces/<id>/{home,run,meta.json,holder.log}`, and what the driver remembers of each.

Contract: `Layout(state)` answers a `Place` for a workspace id and lists them all. `Place.load`/`store` keep `Meta`
atomically and durably. Paths of ids that are not ids are refused, so nothing here can be led elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

from stead.drivers.process.identity import Identity
from stead.model import ids
from stead.protocol.errors import SteadError

META_VERSION = 1
LOG_BYTES = 1 << 20
JOURNAL_BYTES = 256 << 20
"""A larger journal of execs is not what a holder has written."""
SMALL_ENTRIES = 64
_OnError = Callable[[Callable[..., Any], str, tuple[type[BaseException], BaseException, TracebackType]], object]


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver remembers of a workspace; `launching` means that a holder may run whose identity is not known."""

    version: int = META_VERSION
    workspace_id: str
    generation: int
    command_id: str
    phase: Literal["made", "launching", "up", "stopped", "deleting"]
    isolation: str = "none"
    limits: list[str] = []
    cgroups: list[str] = []
    holder: Identity | None = None


class Place:
    """The directory of one workspace."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.workspace_id = directory.name
        self.home = directory / "home"
        self.run = directory / "run"
        self.config = self.run / "config.json"
        self.socket = self.run / "guest.sock"
        self.state = self.run / "holder.json"
        self.log = directory / "holder.log"
        self._meta = directory / "meta.json"

    def make(self) -> None:
        """The directories; already there is success."""
        for directory in (self.directory, self.home, self.run):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def exists(self) -> bool:
        return self.directory.is_dir()

    def load(self) -> Meta | None:
        """What is remembered; None when there is nothing readable."""
        try:
            return msgspec.json.decode(self._meta.read_bytes(), type=Meta)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def store(self, meta: Meta) -> Meta:
        """Remembers, atomically and durably."""
        replace(self._meta, msgspec.json.encode(meta), durable=True)
        return meta

    def remove(self) -> None:
        """Everything goes; the memory last, so that a crash in between can be finished."""
        remove_trees([self.home, self.run])
        remove_trees([self.directory])

    def open_log(self) -> int:
        """A descriptor of the holder's log, which starts anew when it has grown large. It is locked, and stays so as long
        as a process that inherited it lives: bubblewrap, the holder, the guest."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.log, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise SteadError("driver_failed", "an earlier holder of the workspace still runs") from None
        if os.fstat(descriptor).st_size > LOG_BYTES:
            os.ftruncate(descriptor, 0)
        return descriptor

    def is_held(self) -> bool:
        """Whether a process that inherited the log lives, seen or not."""
        try:
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def log_tail(self, limit: int = 600) -> str:
        """The last words of the holder."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
                return file.read(limit).decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def clear_run(self) -> None:
        """What a start makes anew goes, whatever the workspace has put in its place; what it keeps must be readable, so that
        no program can keep its workspace from ever starting again."""
        for directory in (self.home, self.run):
            _open_up(directory)
        execs = self.run / "execs"
        if execs.is_symlink() or not execs.is_dir():
            remove_tree(execs)
        else:
            _open_up(execs)
            if not _is_plain(execs / "journal", JOURNAL_BYTES):
                remove_tree(execs / "journal")
        for path in (self.config, self.config.with_name(self.config.name + ".new"), self.socket, self.state):
            remove_tree(path)


class Layout:
    """All workspaces of one state directory."""

    def __init__(self, state: Path) -> None:
        self.workspaces = state / "workspaces"

    def make(self) -> None:
        self.workspaces.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, workspace_id: str) -> Place:
        """The place of this id, there or not."""
        return Place(self.workspaces / ids.check(ids.Kind.WORKSPACE, workspace_id))

    def places(self) -> list[Place]:
        """Every workspace directory there is."""
        if not self.workspaces.is_dir():
            return []
        return [Place(path) for path in sorted(self.workspaces.iterdir()) if _is_workspace(path)]


def replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Writes a private file so that a reader sees the old or the new content, never part of it."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(descriptor)
    new.replace(path)


def read_untrusted(path: Path, limit: int) -> bytes:
    """The beginning of a file in a place where a workspace may put anything: links, pipes and devices are no files."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(descriptor, limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)


def remove_trees(paths: list[Path]) -> None:
    """Removes large trees of any depth by the system's own program; small ones, and what that could not, by our own hand."""
    there = [str(path) for path in paths if path.is_dir() and not path.is_symlink() and not _is_small(path)]
    if there:
        subprocess.run(["rm", "-rf", "--", *there], capture_output=True, check=False)
    for path in paths:
        remove_tree(path)


def _is_small(directory: Path) -> bool:
    """Whether there is so little in it that starting a program would cost more than removing it."""
    found = 0
    for _, directories, files in os.walk(directory):
        found += len(directories) + len(files)
        if found > SMALL_ENTRIES:
            return False
    return True


def remove_tree(path: Path) -> None:
    """Removes whatever is there without following links, also directories whose modes forbid it; nothing is success."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_open_up_and_retry)
        else:
            path.unlink(missing_ok=True)
    except (OSError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SteadError("driver_failed", f"cannot remove {path.name}: {reason}") from error


def _open_up_and_retry(function: Callable[..., Any], path: str, failure: tuple[Any, BaseException, Any]) -> None:
    error = failure[1]
    if isinstance(error, FileNotFoundError):
        return
    if not isinstance(error, PermissionError):
        raise error
    for directory in (Path(path).parent, Path(path)):
        if directory.is_dir() and not directory.is_symlink():
            directory.chmod(stat.S_IRWXU)
    if Path(path).is_dir() and not Path(path).is_symlink():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def _open_up(directory: Path) -> None:
    """Its owner, which is us, may enter and write."""
    mode = stat.S_IMODE(directory.lstat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        directory.chmod(mode | stat.S_IRWXU)


def _is_plain(path: Path, most: int) -> bool:
    """Whether it is a regular file of at most so many bytes, which its owner may read and write."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    usable = found.st_mode & (stat.S_IRUSR | stat.S_IWUSR) == stat.S_IRUSR | stat.S_IWUSR
    return stat.S_ISREG(found.st_mode) and usable and found.st_size <= most


def _is_workspace(path: Path) -> bool:
    try:
        ids.check(ids.Kind.WORKSPACE, path.name)
    except SteadError:
        return False
    return path.is_dir() and not path.is_symlink()
