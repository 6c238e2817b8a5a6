"""What every word gets: where to connect, with which credential, how to print."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stead.cli.output import Output

if TYPE_CHECKING:
    from stead.sdk.client import Stead
    from stead.sdk.config import Target
    from stead.sdk.remote import RemoteToolbox

PATIENCE = 1.5
"""A person waits less than a program for a control plane that is away."""
WORD_SECONDS = 2.0
"""How long a workspace may be silent before a person is told that it is waited for."""


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
            with self.waiting(workspace):
                toolbox = await stead.workspaces.running(workspace)
            yield toolbox

    @contextmanager
    def waiting(self, workspace: str) -> Iterator[None]:
        """A person who sees nothing come should know why."""
        if self.out.json or not sys.stderr.isatty():
            yield
            return
        import asyncio

        words = f"stead: {workspace} does not answer yet; it is waited for"
        word = asyncio.get_running_loop().call_later(WORD_SECONDS, self.out.note, words)
        try:
            yield
        finally:
            word.cancel()
