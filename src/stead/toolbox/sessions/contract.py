"""What can be asked about sessions.

A session is a directory and an environment that outlive a command. Each line runs as an exec of its own, with all that execs
have (streams, input, time limits, exit codes); when its shell ends, also by `exit`, the session is where that shell was. A line
that is killed, replaces its shell (`exec`) or sets a trap of its own on EXIT changes nothing. Exported variables that are text
are kept, others and functions are not; of the workspace's own, one that was unset is there again. Where they cannot be kept, as
on a full disk, the session is as before the line, and the exec ends with `NOT_KEPT`; its standard error says so, and what the
line ended with. Lines of one session do not wait for each
other: of two at once the last to end decides. Sessions outlive the guest, and what runs in them as well; they end with the
workspace, or when they are closed. No such session, or its directory is gone: "not_found".
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from stead.toolbox.contract import Exec, ExecResult, Params, Result, Running
from stead.toolbox.operations import Asking, Operation, by_name

SESSIONS = 64
"""The most sessions of one workspace; the one that was not used for longest makes room."""
NOT_KEPT = 125
"""The exit code of a line that ran, but whose directory and environment could not be kept."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a session may be called."""


class OpenSession(Params):
    """sessions.open: a new session, or the one of this name as it is."""

    name: str = ""
    cwd: str = "."
    environment: dict[str, str] = {}


class OneSession(Params):
    """sessions.show, sessions.close."""

    name: str


class PrepareLine(Params):
    """sessions.prepare: how to run this line in the session."""

    name: str
    line: str


class Nothing(Params):
    """No params: sessions.list."""


class Session(Result, frozen=True):
    """Where a session is now; `environment` is what it has beyond the workspace's own."""

    name: str
    cwd: str
    environment: dict[str, str] = {}
    used: float = 0.0


class SessionList(Result, frozen=True):
    """The last used first."""

    sessions: list[Session]


class Prepared(Result, frozen=True):
    """What an exec needs to run the line."""

    argv: list[str]
    environment: dict[str, str]


class Closed(Result, frozen=True):
    """`existed` is false when there was none."""

    name: str
    existed: bool


OPEN = Operation("sessions.open", OpenSession, Session)
SHOW = Operation("sessions.show", OneSession, Session)
LIST = Operation("sessions.list", Nothing, SessionList)
PREPARE = Operation("sessions.prepare", PrepareLine, Prepared)
CLOSE = Operation("sessions.close", OneSession, Closed)

OPERATIONS = by_name((OPEN, SHOW, LIST, PREPARE, CLOSE))


class Runs(Asking, Protocol):
    """What the face needs of a toolbox."""

    async def exec(self, argv: list[str], **options: Any) -> ExecResult: ...
    async def start(self, exec: Exec) -> Running: ...


class ShellSessions:
    """Sessions of one toolbox."""

    def __init__(self, toolbox: Runs) -> None:
        self._toolbox = toolbox

    async def open(self, name: str = "", *, cwd: str = ".", environment: dict[str, str] | None = None) -> Session:
        """A new one; with a name that is there, that one."""
        return await self._toolbox.ask(OPEN, OpenSession(name=name, cwd=cwd, environment=environment or {}))

    async def show(self, name: str) -> Session:
        """Where it is now."""
        return await self._toolbox.ask(SHOW, OneSession(name=name))

    async def list(self) -> SessionList:
        """All there are, the last used first."""
        return await self._toolbox.ask(LIST, Nothing())

    async def close(self, name: str) -> Closed:
        """Forgets it; what runs in it goes on."""
        return await self._toolbox.ask(CLOSE, OneSession(name=name))

    async def prepare(self, name: str, line: str) -> Prepared:
        """How to run this line in the session: the argument vector and the environment of an exec."""
        return await self._toolbox.ask(PREPARE, PrepareLine(name=name, line=line))

    async def run(self, name: str, line: str, **options: Any) -> ExecResult:
        """Runs a shell line to its end. Options: the fields of `Exec`, but for the directory."""
        prepared = await self.prepare(name, line)
        environment = prepared.environment | options.pop("environment", {})
        return await self._toolbox.exec(prepared.argv, environment=environment, **options)

    async def start(self, name: str, line: str, exec: Exec | None = None) -> Running:
        """Starts a shell line; `exec` has the options."""
        prepared = await self.prepare(name, line)
        given = exec or Exec(argv=[])
        environment = prepared.environment | given.environment
        return await self._toolbox.start(
            msgspec.structs.replace(given, argv=prepared.argv, environment=environment, shell=False)
        )
