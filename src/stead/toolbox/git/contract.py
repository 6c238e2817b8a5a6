"""What can be asked of git: params, results, operations, and the face `toolbox.git`.

Contract: `directory` is a directory of the workspace in a repository; paths in params and answers are relative to the
repository's top. What only looks starts no program that the repository names (hooks, filters, monitors); what changes
may, and so needs the right to execute. "no_repository": there is none, or none inside the workspace.
"""

from __future__ import annotations

from enum import StrEnum

from stead.toolbox.contract import LIST_ENTRIES, Params, Result
from stead.toolbox.operations import Asking, Operation, by_name

# --- params --------------------------------------------------------------------------------------------------------------


class ReadStatus(Params):
    """git.status."""

    directory: str = "."
    untracked: bool = True
    limit: int = LIST_ENTRIES


# --- results -------------------------------------------------------------------------------------------------------------


class Change(StrEnum):
    """What happened to a file."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    RENAMED = "renamed"
    COPIED = "copied"


class Entry(Result, frozen=True):
    """A file that is not as committed: `staged` in the index, `unstaged` in the working tree; `previous`: its old path."""

    path: str
    staged: Change | None = None
    unstaged: Change | None = None
    untracked: bool = False
    conflicted: bool = False
    previous: str = ""


class Status(Result, frozen=True):
    """A working tree. `branch` is empty when HEAD is detached, `commit` when nothing is committed yet."""

    root: str
    branch: str
    commit: str
    entries: list[Entry]
    upstream: str = ""
    ahead: int = 0
    behind: int = 0
    truncated: bool = False

    @property
    def clean(self) -> bool:
        return not self.entries


# --- operations ----------------------------------------------------------------------------------------------------------

STATUS = Operation("git.status", ReadStatus, Status)

OPERATIONS = by_name([STATUS])


class Git:
    """The face."""

    def __init__(self, toolbox: Asking) -> None:
        self._toolbox = toolbox

    async def status(self, directory: str = ".", *, untracked: bool = True, limit: int = LIST_ENTRIES) -> Status:
        """The branch, and the files that are not as committed."""
        return await self._toolbox.ask(STATUS, ReadStatus(directory=directory, untracked=untracked, limit=limit))
