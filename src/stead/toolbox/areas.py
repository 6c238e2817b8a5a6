"""The areas of a toolbox: which there are, and their faces; each is loaded when first used.

Contract: `Areas` is the part of a toolbox that has the faces. `find(name)` gives the operation of a call, or None.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from stead.toolbox.contract import Exec, ExecResult, Params, Running
from stead.toolbox.operations import Operation

if TYPE_CHECKING:
    from stead.toolbox.git.contract import Git
    from stead.toolbox.language.contract import Language
    from stead.toolbox.search.contract import Search
    from stead.toolbox.sessions.contract import ShellSessions
    from stead.toolbox.system.contract import ReadLog, System
    from stead.toolbox.text.contract import Text
    from stead.toolbox.transfer.contract import Transfer
    from stead.toolbox.trees.contract import Trees
    from stead.toolbox.watch.contract import Watch, WatchFiles, Watching

P = TypeVar("P", bound=Params)
R = TypeVar("R")

AREAS: tuple[str, ...] = ("git", "language", "search", "sessions", "system", "text", "transfer", "trees", "watch")
"""Names of calls begin with one of these and a dot."""


class Areas:
    """The faces of a toolbox."""

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        """Does one operation."""
        raise NotImplementedError

    async def exec(self, argv: list[str], **options: Any) -> ExecResult:
        """Runs to the end."""
        raise NotImplementedError

    async def start(self, exec: Exec) -> Running:
        """Starts it."""
        raise NotImplementedError

    def watching(self, asked: WatchFiles) -> AbstractAsyncContextManager[Watching]:
        """A watch, as long as the caller is inside."""
        raise NotImplementedError

    def following(self, asked: ReadLog) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A log, as long as the caller is inside."""
        raise NotImplementedError

    @property
    def git(self) -> Git:
        from stead.toolbox.git.contract import Git

        return Git(self)

    @property
    def language(self) -> Language:
        from stead.toolbox.language.contract import Language

        return Language(self)

    @property
    def search(self) -> Search:
        from stead.toolbox.search.contract import Search

        return Search(self)

    @property
    def sessions(self) -> ShellSessions:
        from stead.toolbox.sessions.contract import ShellSessions

        return ShellSessions(self)

    @property
    def system(self) -> System:
        from stead.toolbox.system.contract import System

        return System(self)

    @property
    def text(self) -> Text:
        from stead.toolbox.text.contract import Text

        return Text(self)

    @property
    def transfer(self) -> Transfer:
        from stead.toolbox.transfer.contract import Transfer

        return Transfer(self)

    @property
    def trees(self) -> Trees:
        from stead.toolbox.trees.contract import Trees

        return Trees(self)

    @property
    def watch(self) -> Watch:
        from stead.toolbox.watch.contract import Watch

        return Watch(self)


def find(name: str) -> Operation[Any, Any] | None:
    """The operation that a call names."""
    area = name.partition(".")[0]
    if area not in AREAS:
        return None
    operations: dict[str, Operation[Any, Any]] = import_module(f"stead.toolbox.{area}.contract").OPERATIONS
    return operations.get(name)
