"""What can be asked of git: params, results, operations, and the face `toolbox.git`.

Contract: `directory` is a directory of the workspace in a repository; paths of files in params and answers are relative to
the repository's top. What only looks starts no program that the repository names (hooks, filters, monitors) and reaches no
other machine; what changes something may, and so needs the right to execute. Errors of their own: "no_repository" (none
there, or not inside the workspace), "ref_unknown", "nothing_to_commit", "push_rejected", "auth_failed"; "conflict" where git
would have to overwrite or merge something; "program_failed" has git's own words, a hook's among them.

A `Credential` serves the one call: git gets it through a pipe, for the host of the URL alone, and it is written nowhere.
"""

from __future__ import annotations

from enum import StrEnum

from stead.toolbox.contract import CALL_BYTES, LIST_ENTRIES, Params, Result
from stead.toolbox.operations import Asking, Operation, by_name

LOG_COMMITS = 1000
"""The most commits one log answers."""
FAR_SECONDS = 3600.0
"""How long reaching another repository may take."""
HOOK_SECONDS = 300.0
"""How long what runs hooks may take."""

# --- params --------------------------------------------------------------------------------------------------------------


class Credential(Params):
    """For one call, over HTTP; a token is a password."""

    password: str
    username: str = "token"

    def __repr__(self) -> str:
        return "Credential(...)"


class Person(Params):
    """An author."""

    name: str
    email: str


class InRepository(Params):
    """git.head, git.worktrees."""

    directory: str = "."


class CloneRepository(Params):
    """git.clone into `directory`, which is made; an empty one may be there. `url` may be a path in the workspace."""

    url: str
    directory: str
    branch: str = ""
    depth: int = 0
    credential: Credential | None = None


class Configure(InRepository, kw_only=True):
    """git.config: who commits here. What is None stays."""

    name: str | None = None
    email: str | None = None


class ListBranches(InRepository, kw_only=True):
    """git.branches, newest commit first; `remote` adds those of the remotes as last fetched."""

    remote: bool = False
    limit: int = LOG_COMMITS


class CreateBranch(InRepository, kw_only=True):
    """git.create_branch at `base` (empty: HEAD)."""

    name: str
    base: str = ""
    checkout: bool = False


class DeleteBranch(InRepository, kw_only=True):
    """git.delete_branch; `force` also when its commits are nowhere else."""

    name: str
    force: bool = False


class Checkout(InRepository, kw_only=True):
    """git.checkout of a branch, or of a commit, which leaves no branch checked out. `force` throws local changes away."""

    branch: str = ""
    commit: str = ""
    force: bool = False


class ReadStatus(InRepository, kw_only=True):
    """git.status."""

    untracked: bool = True
    limit: int = LIST_ENTRIES


class ReadDiff(InRepository, kw_only=True):
    """git.diff: the working tree against the index; `staged`: the index against HEAD.

    With `base`: against where HEAD left that branch; what is committed since, staged and not, or `committed` alone.
    """

    base: str = ""
    staged: bool = False
    committed: bool = False
    paths: list[str] = []
    context: int = 3
    limit: int = CALL_BYTES


class ReadChanges(InRepository, kw_only=True):
    """git.file_changes: all files that differ from where HEAD left `base` (empty: from HEAD), new ones too."""

    base: str = ""
    untracked: bool = True
    limit: int = LIST_ENTRIES


class ReadLog(InRepository, kw_only=True):
    """git.log: commits reachable from `revision` (a branch, a commit, `a..b`; empty: HEAD), of `path` alone when given."""

    revision: str = ""
    path: str = ""
    limit: int = 50
    skip: int = 0


class ReadMessages(InRepository, kw_only=True):
    """git.messages: of the newest commits, down to where HEAD left `base` when given."""

    base: str = ""
    limit: int = 5


class MakeCommit(InRepository, kw_only=True):
    """git.commit of what is staged; of `paths` alone; or of everything, new files too, with `all`."""

    message: str
    author: Person | None = None
    co_authors: list[Person] = []
    all: bool = False
    paths: list[str] = []
    allow_empty: bool = False


class Push(InRepository, kw_only=True):
    """git.push of a branch (empty: the present one) to the same name. `force` only over what was last fetched."""

    remote: str = "origin"
    branch: str = ""
    set_upstream: bool = True
    force: bool = False
    credential: Credential | None = None


class Fetch(InRepository, kw_only=True):
    """git.fetch."""

    remote: str = "origin"
    prune: bool = False
    credential: Credential | None = None


class Pull(InRepository, kw_only=True):
    """git.pull: fetches a branch (empty: the present one's) and moves ahead to it; never merges."""

    remote: str = "origin"
    branch: str = ""
    credential: Credential | None = None


class AddWorktree(InRepository, kw_only=True):
    """git.add_worktree at a path of the workspace, for `branch`; with `create` a new one at `base` (empty: HEAD)."""

    path: str
    branch: str
    create: bool = False
    base: str = ""


class RemoveWorktree(InRepository, kw_only=True):
    """git.remove_worktree; `force` also with changes in it."""

    path: str
    force: bool = False


# --- results -------------------------------------------------------------------------------------------------------------


class Change(StrEnum):
    """What happened to a file."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    RENAMED = "renamed"
    COPIED = "copied"


class Head(Result, frozen=True):
    """Where a working tree is. `branch` is empty when HEAD is detached, `commit` when nothing is committed yet."""

    root: str
    branch: str
    commit: str


class Entry(Result, frozen=True):
    """A file that is not as committed: `staged` in the index, `unstaged` in the working tree; `previous`: its old path."""

    path: str
    staged: Change | None = None
    unstaged: Change | None = None
    untracked: bool = False
    conflicted: bool = False
    previous: str = ""


class Status(Head, frozen=True):
    """A working tree, against its commit and against its upstream."""

    entries: list[Entry]
    upstream: str = ""
    ahead: int = 0
    behind: int = 0
    truncated: bool = False

    @property
    def clean(self) -> bool:
        return not self.entries


class Identity(Result, frozen=True):
    """Who commits here; empty when nobody is configured."""

    name: str
    email: str


class Branch(Result, frozen=True):
    """One branch. `name` of a remote's begins with the remote's."""

    name: str
    commit: str
    subject: str = ""
    committed: float = 0.0
    current: bool = False
    remote: bool = False
    upstream: str = ""


class Branches(Result, frozen=True):
    """Those asked for."""

    branches: list[Branch]
    truncated: bool = False


class Diff(Result, frozen=True):
    """A patch as git prints it, cut at the limit; `base` is the commit it is against, when one was asked for."""

    patch: bytes
    base: str = ""
    truncated: bool = False


class FileChange(Result, frozen=True):
    """One file; lines are not counted in what is binary, nor in new files of more than 1 MiB."""

    path: str
    operation: Change
    additions: int = 0
    deletions: int = 0
    binary: bool = False
    previous: str = ""


class Changes(Result, frozen=True):
    """Files by path, and the totals of all, also of those beyond the limit."""

    base: str
    files: list[FileChange]
    additions: int
    deletions: int
    total: int
    truncated: bool = False


class Signature(Result, frozen=True):
    """Who, and when."""

    name: str
    email: str
    time: float


class Commit(Result, frozen=True):
    """One commit."""

    commit: str
    parents: list[str]
    author: Signature
    committer: Signature
    message: str


class Log(Result, frozen=True):
    """Newest first; `truncated` when there are more, or when a message was cut."""

    commits: list[Commit]
    truncated: bool = False


class Messages(Result, frozen=True):
    """Newest first."""

    messages: list[str]


class Committed(Head, frozen=True):
    """Where the working tree is now, and what is in the commit."""

    files: int = 0


class Pushed(Result, frozen=True):
    """`changed` is false when the remote had it already."""

    remote: str
    branch: str
    commit: str
    changed: bool


class Fetched(Result, frozen=True):
    """The names of the remote's branches that are new, moved or gone."""

    remote: str
    changed: list[str]


class Pulled(Head, frozen=True):
    """Where the working tree is now, and where it was."""

    before: str


class Worktree(Result, frozen=True):
    """One working tree of a repository; `path` is absolute when it is outside the workspace."""

    path: str
    branch: str
    commit: str
    main: bool = False
    locked: bool = False
    prunable: bool = False


class Worktrees(Result, frozen=True):
    """The main one first."""

    worktrees: list[Worktree]


# --- operations ----------------------------------------------------------------------------------------------------------

CLONE = Operation("git.clone", CloneRepository, Head, seconds=FAR_SECONDS)
CONFIG = Operation("git.config", Configure, Identity)
HEAD = Operation("git.head", InRepository, Head)
BRANCHES = Operation("git.branches", ListBranches, Branches)
CREATE_BRANCH = Operation("git.create_branch", CreateBranch, Branch)
DELETE_BRANCH = Operation("git.delete_branch", DeleteBranch, Branch)
CHECKOUT = Operation("git.checkout", Checkout, Head, seconds=HOOK_SECONDS)
STATUS = Operation("git.status", ReadStatus, Status)
DIFF = Operation("git.diff", ReadDiff, Diff)
FILE_CHANGES = Operation("git.file_changes", ReadChanges, Changes)
LOG = Operation("git.log", ReadLog, Log)
MESSAGES = Operation("git.messages", ReadMessages, Messages)
COMMIT = Operation("git.commit", MakeCommit, Committed, seconds=HOOK_SECONDS)
PUSH = Operation("git.push", Push, Pushed, seconds=FAR_SECONDS)
FETCH = Operation("git.fetch", Fetch, Fetched, seconds=FAR_SECONDS)
PULL = Operation("git.pull", Pull, Pulled, seconds=FAR_SECONDS)
WORKTREES = Operation("git.worktrees", InRepository, Worktrees)
ADD_WORKTREE = Operation("git.add_worktree", AddWorktree, Worktree, seconds=HOOK_SECONDS)
REMOVE_WORKTREE = Operation("git.remove_worktree", RemoveWorktree, Worktrees)

OPERATIONS = by_name(
    [
        *(
            CLONE,
            CONFIG,
            HEAD,
            BRANCHES,
            CREATE_BRANCH,
            DELETE_BRANCH,
            CHECKOUT,
            STATUS,
            DIFF,
            FILE_CHANGES,
            LOG,
            MESSAGES,
        ),
        *(COMMIT, PUSH, FETCH, PULL, WORKTREES, ADD_WORKTREE, REMOVE_WORKTREE),
    ]
)

Strings = list[str]
People = list[Person]


class Git:
    """The face."""

    def __init__(self, toolbox: Asking) -> None:
        self._toolbox = toolbox

    # --- looking ---------------------------------------------------------------------------------------------------------

    async def head(self, directory: str = ".") -> Head:
        """The present branch and commit."""
        return await self._toolbox.ask(HEAD, InRepository(directory=directory))

    async def status(self, directory: str = ".", *, untracked: bool = True, limit: int = LIST_ENTRIES) -> Status:
        """The branch, and the files that are not as committed."""
        return await self._toolbox.ask(STATUS, ReadStatus(directory=directory, untracked=untracked, limit=limit))

    async def diff(
        self,
        directory: str = ".",
        *,
        base: str = "",
        staged: bool = False,
        committed: bool = False,
        paths: Strings = [],  # noqa: B006 - only read
        context: int = 3,
        limit: int = CALL_BYTES,
    ) -> Diff:
        """A patch of tracked files."""
        params = ReadDiff(
            directory=directory,
            base=base,
            staged=staged,
            committed=committed,
            paths=paths,
            context=context,
            limit=limit,
        )
        return await self._toolbox.ask(DIFF, params)

    async def file_changes(
        self, directory: str = ".", *, base: str = "", untracked: bool = True, limit: int = LIST_ENTRIES
    ) -> Changes:
        """The files that differ, with lines added and removed."""
        params = ReadChanges(directory=directory, base=base, untracked=untracked, limit=limit)
        return await self._toolbox.ask(FILE_CHANGES, params)

    async def log(
        self, directory: str = ".", *, revision: str = "", path: str = "", limit: int = 50, skip: int = 0
    ) -> Log:
        """Commits, newest first."""
        params = ReadLog(directory=directory, revision=revision, path=path, limit=limit, skip=skip)
        return await self._toolbox.ask(LOG, params)

    async def messages(self, directory: str = ".", *, base: str = "", limit: int = 5) -> Messages:
        """What the newest commits say."""
        return await self._toolbox.ask(MESSAGES, ReadMessages(directory=directory, base=base, limit=limit))

    async def branches(self, directory: str = ".", *, remote: bool = False, limit: int = LOG_COMMITS) -> Branches:
        """Branches, the newest commit first."""
        return await self._toolbox.ask(BRANCHES, ListBranches(directory=directory, remote=remote, limit=limit))

    async def worktrees(self, directory: str = ".") -> Worktrees:
        """All working trees of the repository."""
        return await self._toolbox.ask(WORKTREES, InRepository(directory=directory))

    # --- changing --------------------------------------------------------------------------------------------------------

    async def config(self, directory: str = ".", *, name: str | None = None, email: str | None = None) -> Identity:
        """Sets who commits here; tells who it is."""
        return await self._toolbox.ask(CONFIG, Configure(directory=directory, name=name, email=email))

    async def create_branch(self, name: str, directory: str = ".", *, base: str = "", checkout: bool = False) -> Branch:
        """A new branch; "already_exists" when it is no new one."""
        params = CreateBranch(directory=directory, name=name, base=base, checkout=checkout)
        return await self._toolbox.ask(CREATE_BRANCH, params)

    async def delete_branch(self, name: str, directory: str = ".", *, force: bool = False) -> Branch:
        """What it was."""
        return await self._toolbox.ask(DELETE_BRANCH, DeleteBranch(directory=directory, name=name, force=force))

    async def checkout(self, directory: str = ".", *, branch: str = "", commit: str = "", force: bool = False) -> Head:
        """A branch, also one that only the remote has; or a commit."""
        params = Checkout(directory=directory, branch=branch, commit=commit, force=force)
        return await self._toolbox.ask(CHECKOUT, params)

    async def commit(
        self,
        message: str,
        directory: str = ".",
        *,
        author: Person | None = None,
        co_authors: People = [],  # noqa: B006 - only read
        all: bool = False,
        paths: Strings = [],  # noqa: B006 - only read
        allow_empty: bool = False,
    ) -> Committed:
        """A commit with exactly this message."""
        params = MakeCommit(
            directory=directory,
            message=message,
            author=author,
            co_authors=co_authors,
            all=all,
            paths=paths,
            allow_empty=allow_empty,
        )
        return await self._toolbox.ask(COMMIT, params)

    async def add_worktree(
        self, path: str, branch: str, directory: str = ".", *, create: bool = False, base: str = ""
    ) -> Worktree:
        """Another working tree."""
        params = AddWorktree(directory=directory, path=path, branch=branch, create=create, base=base)
        return await self._toolbox.ask(ADD_WORKTREE, params)

    async def remove_worktree(self, path: str, directory: str = ".", *, force: bool = False) -> Worktrees:
        """Those that are left."""
        params = RemoveWorktree(directory=directory, path=path, force=force)
        return await self._toolbox.ask(REMOVE_WORKTREE, params)

    # --- other repositories ----------------------------------------------------------------------------------------------

    async def clone(
        self, url: str, directory: str, *, branch: str = "", depth: int = 0, credential: Credential | None = None
    ) -> Head:
        """Where the new working tree is."""
        params = CloneRepository(url=url, directory=directory, branch=branch, depth=depth, credential=credential)
        return await self._toolbox.ask(CLONE, params)

    async def push(
        self,
        directory: str = ".",
        *,
        remote: str = "origin",
        branch: str = "",
        set_upstream: bool = True,
        force: bool = False,
        credential: Credential | None = None,
    ) -> Pushed:
        """A branch to the remote."""
        params = Push(
            directory=directory,
            remote=remote,
            branch=branch,
            set_upstream=set_upstream,
            force=force,
            credential=credential,
        )
        return await self._toolbox.ask(PUSH, params)

    async def fetch(
        self, directory: str = ".", *, remote: str = "origin", prune: bool = False, credential: Credential | None = None
    ) -> Fetched:
        """What the remote has, without touching the working tree."""
        params = Fetch(directory=directory, remote=remote, prune=prune, credential=credential)
        return await self._toolbox.ask(FETCH, params)

    async def pull(
        self, directory: str = ".", *, remote: str = "origin", branch: str = "", credential: Credential | None = None
    ) -> Pulled:
        """Moves ahead to the remote's; "conflict" when both went on."""
        params = Pull(directory=directory, remote=remote, branch=branch, credential=credential)
        return await self._toolbox.ask(PULL, params)
