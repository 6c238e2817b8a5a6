"""Workspaces: make them, find them, work in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import anyio

from stead.api import types as api
from stead.model import ids
from stead.model.workspaces import Isolation, Observed
from stead.protocol.errors import SteadError
from stead.protocol.messages import EventNotice
from stead.sdk.events import Events
from stead.sdk.http import Http, segment
from stead.sdk.link import ClientLink
from stead.sdk.remote import RemoteRunning, RemoteToolbox
from stead.toolbox.contract import Exec, ExecResult, Output

WAIT = 120.0
LOOK_ANYWAY = 3.0
"""How long a waiter trusts that an event would have told it."""

OnChange = Callable[[api.Workspace], None]


class Workspace:
    """One workspace: `info` is the last known state of it, `toolbox` everything that can be done in it."""

    def __init__(self, home: Workspaces, info: api.Workspace) -> None:
        self._home = home
        self.info = info
        self.toolbox = RemoteToolbox(home.link, info.id)

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def state(self) -> Observed:
        return self.info.state

    async def exec(self, argv: Sequence[str], **options: Any) -> ExecResult:
        """Runs to the end; a command that fails is a result, not an error. Options: the fields of `Exec`."""
        return await self.toolbox.exec([*argv], **options)

    async def start_exec(self, argv: Sequence[str], **options: Any) -> RemoteRunning:
        """Starts and hands back the running exec: its output, its stdin, its end."""
        return await self.toolbox.start(Exec(argv=[*argv], **options))

    async def attach(self, exec_id: str, cursor: int = 0) -> RemoteRunning:
        """An exec that runs or ran, its output from `cursor` on."""
        return await self.toolbox.attach(exec_id, cursor)

    async def stream(self, argv: Sequence[str], **options: Any) -> AsyncIterator[Output]:
        """The output as it comes; who stops reading lets go of the exec (one in the background goes on).

        A command that printed more than is kept of one exec ends with "too_large", so that nothing is lost in silence.
        """
        running = await self.start_exec(argv, **options)
        try:
            async for piece in running.output():
                yield piece
            if (await running.wait()).truncated:
                raise SteadError("too_large", "the command printed more than is kept of one exec; the rest is lost")
        finally:
            await running.close()

    async def refresh(self) -> Workspace:
        self.info = await self._home.read(self.id)
        return self

    async def start(self, *, wait: bool = True, timeout: float = WAIT, on_change: OnChange | None = None) -> Workspace:
        return await self._order("start", Observed.RUNNING if wait else None, timeout, on_change)

    async def stop(self, *, wait: bool = True, timeout: float = WAIT, on_change: OnChange | None = None) -> Workspace:
        return await self._order("stop", Observed.STOPPED if wait else None, timeout, on_change)

    async def restart(
        self, *, wait: bool = True, timeout: float = WAIT, on_change: OnChange | None = None
    ) -> Workspace:
        """Ends every process and starts afresh on the same files."""
        return await self._order("restart", Observed.RUNNING if wait else None, timeout, on_change)

    async def update(self, *, name: str | None = None, labels: Mapping[str, str] | None = None) -> Workspace:
        """Changes what is given; labels are replaced whole."""
        patch = api.WorkspacePatch(name=name, labels=None if labels is None else dict(labels))
        self.info = await self._home.http.change(f"/workspaces/{self.id}", api.Workspace, patch)
        return self

    async def delete(self, *, wait: bool = True, timeout: float = WAIT) -> None:
        """Removes it with its files. Already gone is success."""
        try:
            await self._home.http.delete(f"/workspaces/{self.id}")
            if wait:
                await self.wait(Observed.DELETED, timeout=timeout)
        except SteadError as error:
            if error.code != "not_found":
                raise

    def events(self, *, after: str = "") -> AsyncIterator[api.Event]:
        """What happened to it, oldest first."""
        return self._home.events.list(subject=self.id, after=after)

    async def wait(
        self,
        state: Observed,
        *,
        timeout: float = WAIT,
        generation: int = 0,
        on_change: OnChange | None = None,
    ) -> Workspace:
        """Until it is in this state (of at least this generation); raises its error when it failed instead."""
        try:
            with anyio.fail_after(timeout):
                await self._until(lambda info: _arrived(info, state, generation), on_change, _may_end_in(state))
        except TimeoutError:
            raise SteadError(
                "timeout", f"{self.name} is {self.state.value}, not {state.value}, after {timeout:g} s"
            ) from None
        return self

    async def _until(
        self,
        arrived: Callable[[api.Workspace], bool],
        on_change: OnChange | None,
        matters: Callable[[EventNotice], bool],
    ) -> None:
        """Looks again at every change where somebody wants to see it, else only when it may have arrived."""
        async with self._home.events.changes(self.id, None if on_change else matters) as change:
            while True:
                await self.refresh()
                if on_change is not None:
                    on_change(self.info)
                if arrived(self.info):
                    return
                await change.wait(LOOK_ANYWAY)

    async def _order(self, verb: str, state: Observed | None, timeout: float, on_change: OnChange | None) -> Workspace:
        self.info = await self._home.http.post(f"/workspaces/{self.id}/{verb}", api.Workspace)
        if state is not None:
            await self.wait(state, timeout=timeout, generation=self.info.generation, on_change=on_change)
        return self


class Workspaces:
    """`stead.workspaces`. A workspace is named by its id or name."""

    def __init__(self, http: Http, link: ClientLink, events: Events) -> None:
        self.http = http
        self.link = link
        self.events = events

    async def create(
        self,
        name: str = "",
        *,
        wait: bool = True,
        timeout: float = WAIT,
        on_change: OnChange | None = None,
        isolation: Isolation | str | None = None,
        key: str = "",
        **wanted: Any,
    ) -> Workspace:
        """Makes one and waits until it runs. `wanted`: the other fields of `WorkspaceCreate`. The same `key` again, from
        wherever, gives the same workspace."""
        body = api.WorkspaceCreate(name=name, isolation=Isolation(isolation) if isolation else None, **wanted)
        workspace = Workspace(self, await self.http.post("/workspaces", api.Workspace, body, key=key))
        if wait:
            await workspace.wait(Observed.RUNNING, timeout=timeout, on_change=on_change)
        return workspace

    async def get(self, workspace: str) -> Workspace:
        return Workspace(self, await self.read(workspace))

    async def list(
        self,
        *,
        name: str = "",
        state: str = "",
        node: str = "",
        owner: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Workspace]:
        """All that the caller may see, filtered."""
        pages = self.http.pages(
            "/workspaces",
            api.WorkspacePage,
            name=name,
            state=state,
            node=node,
            owner=owner,
            label=dict(labels or {}),
        )
        async for info in pages:
            yield Workspace(self, info)

    async def read(self, workspace: str) -> api.Workspace:
        """The bare state of one."""
        return await self.http.get(f"/workspaces/{segment(workspace)}", api.Workspace)

    async def running(self, workspace: str) -> RemoteToolbox:
        """The toolbox of a running workspace, by whatever a person calls it; over the link alone."""
        toolbox = self.at(workspace)
        return toolbox if _is_id(workspace) else self.at((await toolbox.info()).workspace_id)

    def at(self, workspace_id: str) -> RemoteToolbox:
        """The toolbox of a workspace whose id is known, without asking for its state."""
        return RemoteToolbox(self.link, workspace_id)


def _arrived(info: api.Workspace, state: Observed, generation: int) -> bool:
    if info.state is Observed.FAILED and state is not Observed.FAILED and info.generation >= generation:
        raise SteadError.of(info.error) if info.error else SteadError("driver_failed", f"{info.name} failed")
    return info.state is state and info.generation >= generation


def _is_id(text: str) -> bool:
    try:
        ids.check(ids.Kind.WORKSPACE, text)
    except SteadError:
        return False
    return True


def _may_end_in(state: Observed) -> Callable[[EventNotice], bool]:
    """Whether an event may be what somebody waits for: this state, or one that it is not reached from. One that says
    nothing of a state may be anything."""
    ends = {"", state.value, Observed.FAILED.value, Observed.DELETED.value}
    return lambda notice: notice.kind != "workspace.progress" and notice.data.get("state", "") in ends
