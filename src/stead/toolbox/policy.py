"""What a guest may be asked for beyond what its system user may: roots for reading and writing, programs, sizes, times.

Contract: `Policy` of `permits` is the data. `FencedRoot` is a `Root` whose paths lead only into the roots of a policy: refused
by the path alone, before anything is looked at, then confined below that root by descriptors, so that a link out leads nowhere.
`PolicedToolbox` is the local toolbox under a policy. What cannot be held to it is refused altogether.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Location, Root, shown
from stead.toolbox.contract import CALL_BYTES, Exec, FileContent, Info, Params, Written
from stead.toolbox.execs import Execs, LocalRunning
from stead.toolbox.files import Files, Reader, Writer, check_size
from stead.toolbox.local import LocalToolbox
from stead.toolbox.operations import Operation
from stead.toolbox.permits import Policy
from stead.toolbox.programs import which

if TYPE_CHECKING:
    from stead.toolbox.system.contract import ReadLog
    from stead.toolbox.trees.contract import ReadTree
    from stead.toolbox.trees.pack import Packer
    from stead.toolbox.watch.contract import WatchFiles, Watching

P = TypeVar("P", bound=Params)
R = TypeVar("R")

AREAS = frozenset({"text"})
"""Areas that do all they do through the files of the place."""
CALLS = frozenset(
    {"system.info", "system.network", "system.disks", "system.metrics", "system.shutdown", "system.reboot"}
)
_HARMLESS = re.compile(r"LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLUMNS|LINES|NO_COLOR")
"""Variables that an exec may bring where programs are restricted: no program loads or runs anything else because of them."""
_OTHERS_RIGHTS = stat.S_ISUID | stat.S_ISGID
_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Place(NamedTuple):
    """A permitted directory, and a path in it; `follow`: whether the last name may be a link."""

    base: str
    rest: str
    follow: bool


class FencedRoot(Root):
    """The machine's root, of which only some places may be read or changed."""

    def __init__(self, path: str, policy: Policy) -> None:
        super().__init__(path)
        self._write = None if policy.write_paths is None else [_names(each) for each in policy.write_paths]
        self._read = None
        if policy.read_paths is not None:
            self._read = [_names(each) for each in policy.read_paths] + (self._write or [])

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        place = self._place(path, change=bool(flags & _CHANGING))
        if place is None:
            return super().open(path, flags, mode)
        with contextlib.closing(Root(place.base)) as below:
            return below.open(place.rest, flags if place.follow else flags | os.O_NOFOLLOW, mode)

    def locate(self, path: str, *, follow: bool, write: bool = True) -> Location:
        place = self._place(path, change=write)
        if place is None:
            return super().locate(path, follow=follow, write=write)
        with contextlib.closing(Root(place.base)) as below:
            return below.locate(place.rest, follow=follow and place.follow, write=write)

    def given(self, names: list[str]) -> int:
        """What is above a permitted place is not made and not looked at."""
        for allowed in self._write or []:
            if names[: len(allowed)] == allowed:
                return max(0, len(allowed) - 1)
        return 0

    def _place(self, path: str, *, change: bool) -> _Place | None:
        """Where the path leads to below a permitted place. None: all is permitted."""
        permitted = self._write if change else self._read
        names = self.parts(path)
        if permitted is None:
            return None
        if ".." not in names:
            for allowed in permitted:
                if names[: len(allowed)] == allowed:
                    return self._below(allowed, names, change=change)
        raise SteadError("refused", f"{shown(path)}: the policy of this guest does not permit this place")

    def _below(self, allowed: list[str], names: list[str], *, change: bool) -> _Place:
        """A file that may be read may be a link, wherever it leads; one that may be changed may not."""
        base, rest = "/" + "/".join(allowed), "/".join(names[len(allowed) :]) or "."
        if rest != "." or os.path.isdir(base):  # noqa: PTH112
            return _Place(base, rest, follow=True)
        base, _, rest = (base if change else os.path.realpath(base)).rpartition("/")
        return _Place(base or "/", rest, follow=False)


class PolicedFiles(Files):
    """Files of a bounded size, none of which gives whoever starts it the guest's rights."""

    def __init__(self, root: Root, most: int) -> None:
        super().__init__(root)
        self.most = most

    def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        found = super().read(path, offset, limit)
        check_size(path, found.size, self.most)
        return found

    def append(self, path: str, content: bytes, parents: bool = False) -> Written:
        try:
            size = self.stat(path).size
        except SteadError as error:
            if error.code != "not_found":
                raise
            size = 0
        check_size(path, size + len(content), self.most)
        return super().append(path, content, parents)

    def reader(self, path: str, offset: int = 0, length: int | None = None) -> Reader:
        reader = super().reader(path, offset, length)
        try:
            check_size(path, reader.size, self.most)
        except SteadError:
            reader.close()
            raise
        return reader

    def writer(
        self,
        path: str,
        *,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> Writer:
        check_size(path, size or 0, self.most)
        if mode is not None and mode & _OTHERS_RIGHTS:
            raise SteadError("refused", "the policy of this guest does not permit set-user-id and set-group-id")
        return super().writer(path, mode=mode, parents=parents, exclusive=exclusive, size=size, sha256=sha256)


class PolicedToolbox(LocalToolbox):
    """The contract, as far as the policy goes."""

    def __init__(self, root: Root, execs: Execs, info: Info, environment: Mapping[str, str], policy: Policy) -> None:
        super().__init__(root, execs, info, environment)
        self._policy = policy
        if policy.max_file_bytes is not None:
            self.files = self.place.files = PolicedFiles(root, policy.max_file_bytes)

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        area = operation.name.partition(".")[0]
        if self._policy.selective and area not in AREAS and operation.name not in CALLS:
            raise SteadError("refused", f"the policy of this guest does not permit {operation.name}")
        return await super().ask(operation, params)

    def following(self, asked: ReadLog) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        if asked.unit and self._policy.selective:
            raise SteadError("refused", "the policy of this guest does not permit journals")
        return super().following(asked)

    def watching(self, asked: WatchFiles) -> AbstractAsyncContextManager[Watching]:
        """A watch looks at the whole root."""
        if self._policy.fenced:
            raise SteadError("refused", "the policy of this guest does not permit watches")
        return super().watching(asked)

    async def packer(self, p: ReadTree) -> Packer:
        packer = await super().packer(p)
        packer.most = self._policy.max_file_bytes
        return packer

    async def begin(self, exec: Exec, *, wait: bool = False, hold: bool = False) -> tuple[LocalRunning, bool]:
        return await super().begin(self._permitted(exec), wait=wait, hold=hold)

    def permit_terminal(self) -> None:
        if self._policy.selective or self._policy.max_exec_seconds is not None:
            raise SteadError("refused", "the policy of this guest permits no terminals")

    def _permitted(self, exec: Exec) -> Exec:
        """The exec with the program that was judged, and a time that is short enough."""
        most = self._policy.max_exec_seconds
        if most is not None and exec.timeout > most:
            raise SteadError("refused", f"the policy of this guest lets a command run {most:g} s at most")
        timed = exec if most is None or exec.timeout else msgspec.structs.replace(exec, timeout=most)
        if self._policy.programs is None or not timed.argv:
            return timed
        return self._judged(timed)

    def _judged(self, exec: Exec) -> Exec:
        """By its name or its whole path: one below the directory of the exec would be another file there than here."""
        if exec.shell:
            raise SteadError("refused", "the policy of this guest permits programs by name, not shell lines")
        for name, value in exec.environment.items():
            if not _HARMLESS.fullmatch(name) or "/" in value:
                raise SteadError("refused", f"the policy of this guest does not permit the variable {name[:100]!r}")
        program = which(exec.argv[0], self.place.programs.environment.get("PATH"))
        permitted = None if program is None else self._resolved().get(_known(program))
        if permitted is None or ("/" in exec.argv[0] and not exec.argv[0].startswith("/")):
            raise SteadError("refused", f"the policy of this guest does not permit {exec.argv[0][:200]!r}")
        return msgspec.structs.replace(exec, argv=[permitted, *exec.argv[1:]])

    def _resolved(self) -> dict[tuple[str, str], str]:
        """The permitted programs, looked up as a shell would; what is not there is not permitted. They are run by these
        paths: one that the caller names may lead elsewhere by then."""
        path = self.place.programs.environment.get("PATH")
        found = (which(each, path) for each in self._policy.programs or ())
        return {_known(each): each for each in found if each is not None and each.startswith("/")}


def _known(program: str) -> tuple[str, str]:
    """Its name and its file: one file may be many programs, as in busybox, each by its name."""
    return os.path.basename(program), os.path.realpath(program)  # noqa: PTH119


def _names(path: str) -> list[str]:
    if not path.startswith("/") or ".." in path.split("/"):
        raise SteadError("invalid", f"{shown(path)}: a place of the policy is an absolute path without `..`")
    return [name for name in path.split("/") if name not in {"", "."}]
