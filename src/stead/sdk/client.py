"""The client object: one control plane, its nouns, one link.

    async with Stead() as stead:
        workspace = await stead.workspaces.create(labels={"for": "ci"})
        async for chunk in workspace.stream(["make", "test"]):
            print(chunk.data.decode(), end="")

Nothing is connected before it is needed. Where the control plane is and with which credential says `stead.sdk.config`.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from stead.api.types import HealthAnswer, Login, LoginAnswer, VersionAnswer, WhoAmI
from stead.sdk.audit import Audit
from stead.sdk.commands import Commands
from stead.sdk.config import Target, resolve
from stead.sdk.events import Events
from stead.sdk.http import Http
from stead.sdk.link import ClientLink
from stead.sdk.nodes import Nodes
from stead.sdk.sessions import Sessions
from stead.sdk.tokens import Tokens
from stead.sdk.users import Users
from stead.sdk.workspaces import Workspaces


class Stead:
    """One control plane. `patience`: how long a request goes on trying while the control plane is away."""

    def __init__(
        self,
        url: str = "",
        token: str = "",
        *,
        data: str | Path = "",
        timeout: float = 60.0,
        patience: float = 30.0,
    ) -> None:
        self.target: Target = resolve(url, token, data)
        self._http = Http(self.target.url, self.target.token, timeout=timeout, patience=patience)
        self.link = ClientLink(self.target.url, self.target.token, patience=patience)
        self.events = Events(self._http, self.link)
        self.workspaces = Workspaces(self._http, self.link, self.events)
        self.nodes = Nodes(self._http)
        self.commands = Commands(self._http)
        self.users = Users(self._http)
        self.tokens = Tokens(self._http)
        self.sessions = Sessions(self._http)
        self.audit = Audit(self._http)
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self.link.use(self._tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the link and the connections; the error of the body comes out as it was raised."""
        assert self._tasks is not None
        with anyio.move_on_after(2.0, shield=True):
            await self.link.close()
            await self._http.close()
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def whoami(self) -> WhoAmI:
        return await self._http.get("/whoami", WhoAmI)

    async def health(self) -> HealthAnswer:
        return await self._http.get("/health", HealthAnswer)

    async def version(self) -> VersionAnswer:
        return await self._http.get("/version", VersionAnswer)

    async def login(self, code: str, token_name: str) -> LoginAnswer:
        """Turns a single-use login code into an API token; the code is used up by the first request that arrives."""
        return await self._http.post("/login", LoginAnswer, Login(code=code, token_name=token_name), repeat=False)

    async def logout(self) -> None:
        """Revokes the credential in use."""
        await self._http.post("/logout", type(None), repeat=False)
