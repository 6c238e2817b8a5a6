"""Routes about the git repository of the workspace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from stead.guest.sidecar.files import Body
from stead.guest.sidecar.http import Request
from stead.protocol.errors import SteadError
from stead.toolbox.git.contract import Credential, Person
from stead.toolbox.local import LocalToolbox

Handler = Callable[[Request], Awaitable[dict[str, Any]]]


class Author(Body):
    name: str
    email: str


class CloneBody(Body):
    repo_url: str
    branch: str = ""
    github_token: str = ""
    path: str = "."
    depth: int = 0


class BranchBody(Body):
    base_branch: str
    shadow_branch: str


class BaseBody(Body):
    base_branch: str = ""
    limit: int = 5


class CheckoutBody(Body):
    commit_sha: str = ""
    branch: str = ""


class CommitBody(Body):
    user: Author
    message: str
    co_author: Author | None = None


class PushBody(Body):
    branch_name: str = ""
    set_upstream: bool = True
    github_token: str = ""


class GitRoutes:
    """Over one toolbox; the repository is the workspace itself."""

    def __init__(self, toolbox: LocalToolbox) -> None:
        self._toolbox = toolbox

    def table(self) -> dict[tuple[str, str], Handler]:
        """Each with the word that tells that it failed."""
        routes: list[tuple[str, str, Handler, str]] = [
            ("POST", "clone", self.clone, "CLONE_FAILED"),
            ("POST", "config", self.config, "CONFIG_FAILED"),
            ("POST", "branch", self.branch, "BRANCH_FAILED"),
            ("GET", "status", self.status, "STATUS_FAILED"),
            ("GET", "diff", self.diff, "DIFF_FAILED"),
            ("POST", "diff-against-base", self.diff_against_base, "DIFF_FAILED"),
            ("POST", "checkout", self.checkout, "CHECKOUT_FAILED"),
            ("GET", "current-branch", self.current_branch, "BRANCH_INFO_FAILED"),
            ("GET", "current-commit", self.current_commit, "COMMIT_INFO_FAILED"),
            ("POST", "commit-messages", self.messages, "COMMIT_MESSAGES_FAILED"),
            ("POST", "commit", self.commit, "COMMIT_FAILED"),
            ("POST", "push", self.push, "PUSH_FAILED"),
            ("POST", "file-changes", self.file_changes, "FILE_CHANGES_FAILED"),
        ]
        return {(method, f"/api/git/{name}"): _named(work, failed) for method, name, work, failed in routes}

    async def clone(self, request: Request) -> dict[str, Any]:
        body = await request.json(CloneBody)
        head = await self._toolbox.git.clone(
            body.repo_url, body.path, branch=body.branch, depth=body.depth, credential=_credential(body.github_token)
        )
        return {"success": True, "branch": head.branch, "commitSha": head.commit}

    async def config(self, request: Request) -> dict[str, Any]:
        body = await request.json(Author)
        await self._toolbox.git.config(name=body.name, email=body.email)
        return {"success": True}

    async def branch(self, request: Request) -> dict[str, Any]:
        body = await request.json(BranchBody)
        made = await self._toolbox.git.create_branch(body.shadow_branch, base=body.base_branch, checkout=True)
        return {"success": True, "branch": made.name, "baseCommitSha": made.commit}

    async def status(self, request: Request) -> dict[str, Any]:
        found = await self._toolbox.git.status()
        return {"success": True, "hasChanges": not found.clean, "branch": found.branch, "entries": found.entries}

    async def diff(self, request: Request) -> dict[str, Any]:
        found = await self._toolbox.git.diff()
        return {"success": True, "diff": found.patch.decode(errors="replace"), "truncated": found.truncated}

    async def diff_against_base(self, request: Request) -> dict[str, Any]:
        body = await request.json(BaseBody)
        found = await self._toolbox.git.diff(base=body.base_branch)
        return {"success": True, "diff": found.patch.decode(errors="replace"), "truncated": found.truncated}

    async def checkout(self, request: Request) -> dict[str, Any]:
        body = await request.json(CheckoutBody)
        head = await self._toolbox.git.checkout(branch=body.branch, commit=body.commit_sha)
        return {"success": True, "branch": head.branch, "commitSha": head.commit}

    async def current_branch(self, request: Request) -> dict[str, Any]:
        return {"success": True, "branch": (await self._toolbox.git.head()).branch}

    async def current_commit(self, request: Request) -> dict[str, Any]:
        return {"success": True, "commitSha": (await self._toolbox.git.head()).commit}

    async def messages(self, request: Request) -> dict[str, Any]:
        body = await request.json(BaseBody)
        found = await self._toolbox.git.messages(base=body.base_branch, limit=body.limit)
        return {"success": True, "commitMessages": found.messages}

    async def commit(self, request: Request) -> dict[str, Any]:
        body = await request.json(CommitBody)
        friends = [] if body.co_author is None else [_person(body.co_author)]
        try:
            done = await self._toolbox.git.commit(body.message, author=_person(body.user), co_authors=friends, all=True)
        except SteadError as error:
            if error.code != "nothing_to_commit":
                raise
            return {"success": True, "committed": False, "message": error.message}
        return {"success": True, "committed": True, "commitSha": done.commit, "branch": done.branch}

    async def push(self, request: Request) -> dict[str, Any]:
        body = await request.json(PushBody)
        done = await self._toolbox.git.push(
            branch=body.branch_name, set_upstream=body.set_upstream, credential=_credential(body.github_token)
        )
        return {"success": True, "branch": done.branch, "commitSha": done.commit, "changed": done.changed}

    async def file_changes(self, request: Request) -> dict[str, Any]:
        body = await request.json(BaseBody)
        found = await self._toolbox.git.file_changes(base=body.base_branch)
        changes = [
            {
                "filePath": each.path,
                "operation": each.operation.value.upper(),
                "additions": each.additions,
                "deletions": each.deletions,
            }
            for each in found.files
        ]
        stats = {"additions": found.additions, "deletions": found.deletions, "totalFiles": found.total}
        return {"success": True, "fileChanges": changes, "diffStats": stats}


def _named(work: Handler, failed: str) -> Handler:
    """What the program itself complains of has the word of its route."""

    async def route(request: Request) -> dict[str, Any]:
        try:
            return await work(request)
        except SteadError as error:
            if error.code != "program_failed":
                raise
            named = SteadError("program_failed", error.message)
            named.details = {"code": failed} | error.details
            raise named from error

    return route


def _person(author: Author) -> Person:
    return Person(name=author.name, email=author.email)


def _credential(token: str) -> Credential | None:
    """A token alone is enough for the hosts that give them; the name beside it is of no account there."""
    return Credential(username="x-access-token", password=token) if token else None
