"""What every word gets: where to connect, with which credential, how to print."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stead.cli.output import Output

if TYPE_CHECKING:
    from stead.sdk.client import Stead
    from stead.sdk.config import Target
    from stead.sdk.remote import RemoteToolbox

PATIENCE = 1.5
"""A person waits less than a program for a control plane that is away."""


class Context:
    """One invocation."""

    def __init__(self, *, url: str = "", data: str = "", token_file: str = "", json: bool = False) -> None:
        self.url = url
        self.data = data
        self.used = False
        self._token_file = token_file
        self.out = Output(json=json)

    @property
    def token(self) -> str:
        """From the file named on the command line; a token itself never stands there."""
        return Path(self._token_file).read_text().strip() if self._token_file else ""

    @property
    def target(self) -> Target:
        from stead.sdk.config import resolve

        return resolve(self.url, self.token, self.data)

    @property
    def unknown(self) -> bool:
        """Whether a control plane was wanted, and nothing says where it is."""
        return self.used and self.target.source == "default"

    def stead(self, *, patience: float = PATIENCE) -> Stead:
        """The client, to be entered with `async with`."""
        from stead.sdk.client import Stead

        self.used = True
        return Stead(self.url, self.token, data=self.data, patience=patience)

    @asynccontextmanager
    async def toolbox(self, workspace: str) -> AsyncIterator[RemoteToolbox]:
        """The toolbox of a workspace, by whatever a person calls it."""
        async with self.stead() as stead:
            yield await stead.workspaces.running(workspace)
