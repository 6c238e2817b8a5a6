"""What does the operations of the git area here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from stead.toolbox.git import branches, commits, diffs, remotes, status, worktrees
from stead.toolbox.git.command import Git
from stead.toolbox.operations import Work
from stead.toolbox.place import Place

_WORK: dict[str, Callable[[Git, Any], Awaitable[Any]]] = {
    "git.clone": remotes.clone,
    "git.config": commits.config,
    "git.head": branches.head,
    "git.branches": branches.branches,
    "git.create_branch": branches.create,
    "git.delete_branch": branches.delete,
    "git.checkout": branches.checkout,
    "git.status": status.status,
    "git.diff": diffs.diff,
    "git.file_changes": diffs.changes,
    "git.log": commits.log,
    "git.messages": commits.messages,
    "git.commit": commits.commit,
    "git.push": remotes.push,
    "git.fetch": remotes.fetch,
    "git.pull": remotes.pull,
    "git.worktrees": worktrees.worktrees,
    "git.add_worktree": worktrees.add,
    "git.remove_worktree": worktrees.remove,
}


def work(place: Place) -> Work:
    git = Git(place)
    return {name: partial(does, git) for name, does in _WORK.items()}
