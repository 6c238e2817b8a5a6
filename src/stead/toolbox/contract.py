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
    """The contract. Every implementation passes `stead.toolbox.behaviour`.

    Every call may end with "invalid" (a param), "path_invalid", "path_outside", "permission_denied" (by the system), "refused"
    (by a policy), "too_many" (at once) or "unavailable"; where something must be there with "not_found" or "not_directory";
    where something is written with "disk_full"; over a link also with errors of the way ("timeout", "workspace_unreachable",
    "outcome_unknown", ...). What else it may end with is told with each call, for an area with its contract.
    """

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

    async def info(self) -> Info:
        """What the workspace says of itself."""

    async def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        """At most `limit` bytes from `offset`, none past the end. "is_directory", "not_file"; by a policy "too_large"."""

    async def write(
        self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False, exclusive: bool = False
    ) -> Written:
        """The whole file, of any size, in one step; a link is followed. "is_directory", "not_file"; "already_exists" when
        `exclusive`."""

    async def append(self, path: str, content: bytes, *, parents: bool = False) -> Written:
        """To the end, or a new file. "too_large" beyond `CALL_BYTES`; "is_directory", "not_file"."""

    async def stat(self, path: str) -> Stat:
        """What is there; links are not followed."""

    async def list(self, path: str = ".", depth: int = 1, limit: int = LIST_ENTRIES) -> Listing:
        """What is in a directory."""

    async def mkdir(self, path: str, *, parents: bool = False, exclusive: bool = False) -> Stat:
        """A directory. "already_exists" when there is something else, and when `exclusive`."""

    async def delete(self, path: str, *, recursive: bool = False) -> Deleted:
        """Gone already is no error. "not_empty" unless `recursive`."""

    async def move(self, source: str, target: str, *, overwrite: bool = False) -> Stat:
        """In one step. "already_exists" unless `overwrite`; "is_directory", "not_empty" for what cannot be replaced; to another
        file system "conflict"."""

    def download(self, path: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes as they come, as many as there were at the beginning. Errors as of `read`."""

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
    ) -> Written:
        """As `write`, in pieces; "invalid" when they have another size or hash, and then nothing is changed."""

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
    ) -> Written:
        """As `upload`; what came is kept under the name `partial` when it breaks off, and `rest(start)` gives what is missing.
        "conflict" when another upload of this name has taken over."""

    def download_tree(
        self,
        path: str = ".",
        *,
        ignore: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        names: Sequence[str] | None = None,
    ) -> AsyncIterator[bytes]:
        """A directory as tar; with `names` only these. "too_large" when it is too deep."""

    async def upload_tree(
        self, path: str, content: AsyncIterator[bytes], *, links: Links | str = "refuse", limit: int = 1 << 40
    ) -> Unpacked:
        """A tar archive into a directory. "malformed", "too_large"; "path_outside" for what leads out of it."""

    async def exec(self, argv: Argv, **options: object) -> ExecResult:
        """To its end; the options are the fields of `Exec`. That it failed, could not be started or was ended is in the result.
        "too_large" for arguments that are too long."""

    async def start(self, exec: Exec) -> Running:
        """Begins it; one with an id that is there already is joined."""

    async def attach(self, exec_id: str, cursor: int = 0) -> Running:
        """Its output from the cursor on. "exec_unknown"; "range_unsatisfiable" before what is kept (`first_cursor`)."""

    async def execs(self) -> ExecList:
        """Those that run, and those kept."""

    async def show(self, exec_id: str) -> ExecStatus:
        """One of them. "exec_unknown"."""

    async def kill(self, exec_id: str, signal: int = 15, grace: float = 2.0) -> ExecStatus:
        """The whole tree gets the signal, and KILL after `grace` seconds when it is TERM. "exec_unknown"."""
