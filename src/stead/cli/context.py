"""What every word gets: where to connect, with which credential, how to print."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stead.cli.output import Output
from stead.cli.words import Namespace, Parser

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
        """Whether nothing says where the control plane is."""
        return self.target.source == "default"

    def stead(self, *, patience: float = PATIENCE) -> Stead:
        """The client, to be entered with `async with`."""
        from stead.sdk.client import Stead

        return Stead(self.url, self.token, data=self.data, patience=patience)

    @asynccontextmanager
    async def toolbox(self, workspace: str) -> AsyncIterator[RemoteToolbox]:
        """The toolbox of a workspace, by whatever a person calls it."""
        async with self.stead() as stead:
            yield await stead.workspaces.running(workspace)


def add_common(parser: Parser) -> None:
    """Options of every word."""
    group = parser.add_argument_group("connection and output")
    group.add_argument("--url", default="", help="the control plane (STEAD_URL)")
    group.add_argument("--token-file", default="", metavar="FILE", help="a file with the API token (STEAD_TOKEN)")
    group.add_argument("--data", default="", metavar="DIR", help="the data directory of a local server (STEAD_DATA)")
    group.add_argument("--json", action="store_true", help="print JSON")


def context_of(arguments: Namespace) -> Context:
    return Context(url=arguments.url, data=arguments.data, token_file=arguments.token_file, json=arguments.json)
