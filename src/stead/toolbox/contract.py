"""The toolbox: what can be done in a workspace, the same wherever it is.

Contract: `Toolbox` with the implementations `local`, `scripted` (here) and remote (`stead.sdk`). Paths are relative to the
workspace's root or absolute inside it, text, never followed out of it. A command that fails is a `Result`; what cannot be
done is a `SteadError` of the table. `Params` structs are the params of the call of that name on the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from stead.toolbox.git.contract import Git
    from stead.toolbox.language.contract import Language
    from stead.toolbox.search.contract import Search
    from stead.toolbox.sessions.contract import ShellSessions
    from stead.toolbox.system.contract import System
    from stead.toolbox.text.contract import Text
    from stead.toolbox.transfer.contract import Transfer
    from stead.toolbox.trees.contract import Links, Trees, Unpacked
    from stead.toolbox.watch.contract import Watch

CALL_BYTES = 1 << 20
"""The most content one call carries; more goes through streams."""
LIST_ENTRIES = 10_000
"""The most entries one list answers (`truncated` tells when there were more)."""
EXEC_LOG_BYTES = 64 << 20
"""The most output kept of one exec by default. One in the foreground waits when it is so far ahead of its reader; of any
other, what is more is dropped, and that is told (`truncated`)."""
EXEC_TIMEOUT = 86_400.0
"""The longest time limit of an exec."""


Argv = list[str]
"""A program and its arguments."""


class Params(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Params of a call or stream; unknown fields are refused."""


class Path(Params):
    """A call about one path: files.stat."""

    path: str


class ReadFile(Params):
    """files.read: at most `CALL_BYTES` from `offset`."""

    path: str
    offset: int = 0
    limit: int = CALL_BYTES


class WriteFile(Params):
    """files.write (replaces atomically) and files.append; content as base64 on the wire."""

    path: str
    content: bytes
    mode: int | None = None
    parents: bool = False
    exclusive: bool = False


class MakeDirectory(Params):
    """files.mkdir; already there is success unless `exclusive`."""

    path: str
    parents: bool = False
    exclusive: bool = False


class Delete(Params):
    """files.delete; already gone is success and says so."""

    path: str
    recursive: bool = False


class Move(Params):
    """files.move within the workspace."""

    source: str
    target: str
    overwrite: bool = False


class ListFiles(Params):
    """files.list; `depth` 1 is the directory itself."""

    path: str = "."
    depth: int = 1
    limit: int = LIST_ENTRIES


class Exec(Params):
    """exec.run and the stream "exec": an argument vector, or a shell line when `shell` says so."""

    argv: list[str]
    exec_id: str = ""
    shell: bool = False
    cwd: str = "."
    environment: dict[str, str] = {}
    timeout: float = 0.0
    grace: float = 2.0
    stdin: bool = False
    background: bool = False
    log_bytes: int = EXEC_LOG_BYTES


class ExecId(Params):
    """exec.show."""

    exec_id: str


class Kill(Params):
    """exec.kill: the whole tree gets the signal, and KILL after `grace` seconds when it is TERM."""

    exec_id: str
    signal: int = 15
    grace: float = 2.0


class Attach(Params):
    """Stream "exec.attach": output records from `cursor` on, live to the end."""

    exec_id: str
    cursor: int = 0


class ReadStream(Params):
    """Stream "file.read": the file from `offset`, `length` bytes or to its end."""

    path: str
    offset: int = 0
    length: int | None = None


class WriteStream(Params):
    """Stream "file.write": replaces atomically when the stream ends; checked against size and hash where given. With `partial`,
    a name, what came is kept when it breaks off; the answer then says how much is there already (`received`)."""

    path: str
    partial: str = ""
    mode: int | None = None
    parents: bool = False
    exclusive: bool = False
    size: int | None = None
    sha256: str = ""


class Result(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """Results; unknown fields are ignored."""


class FileKind(StrEnum):
    """What is at a path; links are not followed."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


class Stat(Result, frozen=True):
    """One path."""

    path: str
    kind: FileKind
    size: int
    mode: int
    modified: float
    uid: int = 0
    gid: int = 0
    target: str = ""


class FileContent(Result, frozen=True):
    """Bytes read; `size` is the whole file's."""

    content: bytes
    offset: int
    size: int


class Written(Result, frozen=True):
    """What was written; `etag`-like facts for the caller."""

    path: str
    size: int
    created: bool = False


class Deleted(Result, frozen=True):
    """`existed` is false when there was nothing."""

    path: str
    existed: bool


class Listing(Result, frozen=True):
    """Entries sorted by path."""

    entries: list[Stat]
    truncated: bool = False


class ExecState(StrEnum):
    """Where an exec is."""

    RUNNING = "running"
    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ExecStatus(Result, frozen=True):
    """An exec and, when over, its end. `failed`: it could not be started (`error` says why); that is a result too. Its output
    is there from `first_cursor` (what was before has been read by whom it was for) to `last_cursor`."""

    exec_id: str
    state: ExecState
    argv: list[str] = []
    exit_code: int | None = None
    signal: int | None = None
    started: float = 0.0
    ended: float | None = None
    output_bytes: int = 0
    truncated: bool = False
    first_cursor: int = 0
    last_cursor: int = 0
    background: bool = False
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.state is ExecState.EXITED and self.exit_code == 0


class ExecResult(Result, frozen=True):
    """A finished exec with its output (each at most `CALL_BYTES`, `clipped` tells)."""

    status: ExecStatus
    stdout: bytes = b""
    stderr: bytes = b""
    clipped: bool = False


class ExecList(Result, frozen=True):
    """Execs, newest first."""

    execs: list[ExecStatus]


class Info(Result, frozen=True):
    """What a workspace says of itself."""

    workspace_id: str
    root: str
    boot_id: str
    version: str
    isolation: str
    limits: list[str] = []
    hostname: str = ""
    guest_restarts: int = 0


class Output(Result, frozen=True):
    """A piece of an exec's output; `cursor` is where to attach to get what follows."""

    channel: Literal["stdout", "stderr"]
    data: bytes
    cursor: int


class Running(Protocol):
    """An exec under way."""

    exec_id: str

    def output(self) -> AsyncIterator[Output]:
        """Every piece in order, to the end. An exec in the foreground waits for a slow reader."""

    async def write(self, data: bytes) -> None:
        """To its stdin (opened with `stdin=True`)."""

    async def close_stdin(self) -> None: ...

    async def wait(self) -> ExecStatus:
        """Its end; output not read yet is dropped."""

    async def kill(self, signal: int = 15) -> None: ...


class Toolbox(Protocol):
    """The contract. Every implementation passes `stead.toolbox.behaviour`."""

    @property
    def git(self) -> Git: ...
    @property
    def language(self) -> Language: ...
    @property
    def system(self) -> System: ...
    @property
    def search(self) -> Search: ...
    @property
    def sessions(self) -> ShellSessions: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def text(self) -> Text: ...
    @property
    def transfer(self) -> Transfer: ...
    @property
    def trees(self) -> Trees: ...
    async def info(self) -> Info: ...
    async def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent: ...
    async def write(
        self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False, exclusive: bool = False
    ) -> Written: ...
    async def append(self, path: str, content: bytes, *, parents: bool = False) -> Written: ...
    async def stat(self, path: str) -> Stat: ...
    async def list(self, path: str = ".", depth: int = 1, limit: int = LIST_ENTRIES) -> Listing: ...
    async def mkdir(self, path: str, *, parents: bool = False, exclusive: bool = False) -> Stat: ...
    async def delete(self, path: str, *, recursive: bool = False) -> Deleted: ...
    async def move(self, source: str, target: str, *, overwrite: bool = False) -> Stat: ...
    def download(self, path: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]: ...
    async def upload(
        self,
        path: str,
        content: AsyncIterator[bytes],
        *,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> Written: ...
    async def resume_upload(
        self,
        path: str,
        rest: Callable[[int], AsyncIterator[bytes]],
        *,
        partial: str,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> Written: ...
    def download_tree(
        self,
        path: str = ".",
        *,
        ignore: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        names: Sequence[str] | None = None,
    ) -> AsyncIterator[bytes]: ...
    async def upload_tree(
        self, path: str, content: AsyncIterator[bytes], *, links: Links | str = "refuse", limit: int = 1 << 40
    ) -> Unpacked: ...
    async def exec(self, argv: Argv, **options: object) -> ExecResult: ...
    async def start(self, exec: Exec) -> Running: ...
    async def attach(self, exec_id: str, cursor: int = 0) -> Running: ...
    async def execs(self) -> ExecList: ...
    async def show(self, exec_id: str) -> ExecStatus: ...
    async def kill(self, exec_id: str, signal: int = 15, grace: float = 2.0) -> ExecStatus: ...
