"""One language server that runs: begun, told what is on disk, asked, ended.

Contract: `begin()` starts it and waits until it is ready; `ask(method, params)` is one answer of it, `problems` are those of a
document; `refresh()` tells it what changed on disk since, and is False where it had better be started anew. `ended` is called
once when it is over, with the reason when it was not we who ended it. Who asks takes care that nobody else does meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.language.client import CHANGED_MEANWHILE, METHOD_NOT_FOUND, AnsweredError, Client
from stead.toolbox.language.contract import Limits
from stead.toolbox.language.documents import Document, Documents, Problem
from stead.toolbox.language.positions import address
from stead.toolbox.language.servers import Program
from stead.toolbox.place import Place
from stead.toolbox.watch.contract import Change, ChangeKind, WatchFiles
from stead.toolbox.watch.hub import Reading, hub

AGAIN_SECONDS = 0.1
GONE_SECONDS = 10.0
LATE = 2
"""So many questions in a row that it does not answer in time, and it is ended."""
PUBLISH_SECONDS = 5.0
"""How long one that goes on telling diagnostics is listened to after the first."""
CAPABILITIES = {
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
    "workspace": {
        "configuration": True,
        "workspaceFolders": True,
        "didChangeWatchedFiles": {"dynamicRegistration": True},
    },
    "window": {"workDoneProgress": True},
    "textDocument": {
        "synchronization": {},
        "publishDiagnostics": {"versionSupport": True},
        "diagnostic": {"relatedDocumentSupport": False},
        "definition": {"linkSupport": True},
        "references": {},
        "hover": {"contentFormat": ["markdown", "plaintext"]},
    },
}
_KINDS = {ChangeKind.CREATED: 1, ChangeKind.MODIFIED: 2, ChangeKind.DELETED: 3}


class _Begun(msgspec.Struct):
    capabilities: dict[str, Any]


class _Report(msgspec.Struct):
    items: list[Problem] = []


class Running:
    """One server's life."""

    def __init__(
        self, place: Place, program: Program, project: str, limits: Limits, ended: Callable[[str], None]
    ) -> None:
        self._place = place
        self._limits = limits
        self._ended = ended
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading: Reading | None = None
        self._capabilities: dict[str, Any] = {}
        self._late = 0
        self._ending = False
        self.program = program
        self.project = project
        self.documents = Documents(self._tell, bare=program.kind.bare)
        self.used = time.monotonic()
        self.pid = 0

    @property
    def name(self) -> str:
        return self.program.kind.program

    @property
    def over(self) -> bool:
        """Whether it is ending or has ended."""
        return self._task is None or self._task.done() or self._client is None or self._client.over

    @property
    def wide(self) -> bool:
        """Whether it counts units of UTF-16."""
        return self._capabilities.get("positionEncoding") != "utf-32" and not self.program.kind.characters

    async def begin(self) -> None:
        """Starts it; in time, or not at all."""
        self._reading = await hub(self._place).join(WatchFiles())
        started: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(started))
        self._task.add_done_callback(lambda _: None if started.done() else self._finish(started, ""))
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                await self._greet(await started)
        except TimeoutError:
            why = f"it was not ready within {self._limits.start_seconds:g} s"
            self.fail(why)
            raise SteadError("lsp_failed", f"{self.name}: {why}") from None
        except AnsweredError as error:
            self.fail(f"it refused to begin: {error}")
            raise SteadError("lsp_failed", f"{self.name} refused to begin: {error}") from None
        except BaseException:
            self.end()
            raise

    async def ask(self, method: str, params: dict[str, object]) -> msgspec.Raw:
        """One answer, or what went wrong in words of ours."""
        assert self._client is not None
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                answer = await self._asked(self._client, method, params)
        except TimeoutError:
            self._was_late()
            raise SteadError(
                "timeout", f"{self.name} did not answer within {self._limits.answer_seconds:g} s"
            ) from None
        except AnsweredError as error:
            if error.code == METHOD_NOT_FOUND:
                raise SteadError("lsp_not_found", f"{self.name} does not know {method}") from None
            raise SteadError("lsp_failed", f"{self.name} says: {error}") from None
        self._late = 0
        return answer

    async def problems(self, document: Document) -> list[Problem]:
        """The diagnostics of a document that it was just shown."""
        if not self._capabilities.get("diagnosticProvider"):
            return await self._published(document)
        answer = await self.ask("textDocument/diagnostic", {"textDocument": {"uri": document.uri}})
        found: list[Problem] = read(answer, _Report).items
        return found

    @property
    def tells(self) -> bool:
        """Whether it tells diagnostics when it likes to, and cannot be asked."""
        return not self._capabilities.get("diagnosticProvider")

    async def refresh(self) -> bool:
        """Tells it what is different on disk; False when that is too much to tell."""
        assert self._reading is not None
        try:
            changes = await self._reading.now()
            if any(_much(change) for change in changes):
                return False
            for path in {path for change in changes for path in (change.path, change.previous) if path}:
                self.documents.forget(self._absolute(path))
            if told := [each for change in changes for each in self._changes(change)]:
                self._tell("workspace/didChangeWatchedFiles", {"changes": told})
        except SteadError:
            return False
        return True

    def fail(self, why: str) -> None:
        """Ends it as one that failed."""
        if self._client is not None:
            self._client.end(why)
        elif self._task is not None:
            self._task.cancel()

    def end(self) -> None:
        """Ends it because it is not wanted any more."""
        self._ending = self._ending or not self.over
        self.fail("it was ended")

    async def gone(self) -> None:
        """Waits until nothing of it is left, but not for a child that made itself independent and holds its pipes."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=GONE_SECONDS)

    async def _live(self, started: asyncio.Future[Client]) -> None:
        """From its start to its end."""
        why = ""
        folder = {"uri": self._at, "name": os.path.basename(self._at) or "workspace"}  # noqa: PTH119
        try:
            cwd = self._place.directory(self.project)
            environment = self.program.environment
            async with self._place.programs.started(self.program.argv, cwd=cwd, environment=environment) as process:
                self.pid = process.pid
                self._client = client = Client(process, folder, self._told)
                started.set_result(client)
                why = await client.serve()
        except SteadError as error:
            why = error.message
        finally:
            self._finish(started, why)

    def _finish(self, started: asyncio.Future[Client], why: str) -> None:
        """Also of one that was ended before its task began."""
        if not started.done():
            started.set_exception(SteadError("lsp_failed", f"{self.name}: {why or 'it was ended'}"))
            started.exception()
        if self._reading is not None:
            hub(self._place).leave(self._reading)
        self._ended("" if self._ending else why)

    @property
    def _at(self) -> str:
        return address(os.path.normpath(f"{self._place.root.path}/{self.project}"))

    async def _greet(self, client: Client) -> None:
        params = {
            "processId": os.getpid(),
            "clientInfo": {"name": "stead"},
            "rootUri": self._at,
            "workspaceFolders": [{"uri": self._at, "name": "workspace"}],
            "capabilities": CAPABILITIES,
        }
        self._capabilities = read(await client.request("initialize", params), _Begun).capabilities
        client.notify("initialized", {})

    async def _asked(self, client: Client, method: str, params: dict[str, object]) -> msgspec.Raw:
        while True:
            try:
                return await client.request(method, params)
            except AnsweredError as error:
                if error.code not in CHANGED_MEANWHILE:
                    raise
            await asyncio.sleep(AGAIN_SECONDS)

    async def _published(self, document: Document) -> list[Problem]:
        """What it tells of this version, once it has been quiet."""
        assert self._task is not None
        hearing = asyncio.create_task(document.heard.wait())
        try:
            await asyncio.wait(
                [hearing, self._task], timeout=self._limits.answer_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if self._task.done():
                raise SteadError("lsp_failed", f"{self.name} ended before it told diagnostics")
            if not hearing.done():
                self._was_late()
                raise SteadError("timeout", f"{self.name} told nothing within {self._limits.answer_seconds:g} s")
        finally:
            hearing.cancel()
        self._late = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PUBLISH_SECONDS):
                await _quiet(document, self.program.kind.quiet)
        return document.problems

    def _was_late(self) -> None:
        self._late += 1
        if self._late >= LATE:
            self.fail("it does not answer any more")

    def _tell(self, method: str, params: object) -> None:
        assert self._client is not None
        self._client.notify(method, params)

    def _told(self, method: str, params: msgspec.Raw) -> None:
        if method == "textDocument/publishDiagnostics":
            self.documents.published(params)

    def _changes(self, change: Change) -> list[dict[str, object]]:
        if change.kind is ChangeKind.RENAMED:
            return [self._change(change.previous, 3), self._change(change.path, 1)]
        return [self._change(change.path, _KINDS[change.kind])]

    def _change(self, path: str, kind: int) -> dict[str, object]:
        return {"uri": address(self._absolute(path)), "type": kind}

    def _absolute(self, path: str) -> str:
        return f"{self._place.root.path.rstrip('/')}/{path}"


async def _quiet(document: Document, seconds: float) -> None:
    """Returns when nothing was told of it for so long."""
    while True:
        document.heard.clear()
        try:
            async with asyncio.timeout(seconds):
                await document.heard.wait()
        except TimeoutError:
            return


def _much(change: Change) -> bool:
    """Whether more files may be different than the change names."""
    return change.overflow or (change.directory and change.kind in {ChangeKind.RENAMED, ChangeKind.DELETED})


def read(answer: msgspec.Raw, kind: Any) -> Any:
    """An answer as what it should be."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise SteadError("lsp_failed", f"the language server answered nonsense: {error}") from None
