"""Branches: which there are, new ones, gone ones, and which is checked out."""

from __future__ import annotations

from stead.protocol.errors import SteadError
from stead.toolbox.git import names
from stead.toolbox.git.command import Git, Repository, fitting, lines
from stead.toolbox.git.contract import (
    LOG_COMMITS,
    Branch,
    Branches,
    Checkout,
    CreateBranch,
    DeleteBranch,
    Head,
    InRepository,
    ListBranches,
)
from stead.toolbox.git.trouble import failure, is_full
from stead.toolbox.git.undoing import moving

_FIELDS = (
    "%(refname)",
    "%(objectname)",
    "%(HEAD)",
    "%(upstream)",
    "%(committerdate:unix)",
    "%(contents:subject)",
)
_FORMAT = "--format=" + "%00".join(_FIELDS)


async def head(git: Git, asked: InRepository) -> Head:
    """The present branch and commit."""
    return await git.head(await git.find(asked.directory))


async def branches(git: Git, asked: ListBranches) -> Branches:
    """Newest commit first."""
    if not 1 <= asked.limit <= LOG_COMMITS:
        raise SteadError("invalid", f"limit: from 1 to {LOG_COMMITS}", field="limit")
    repository = await git.find(asked.directory)
    where = ["refs/heads/", *(["refs/remotes/"] if asked.remote else [])]
    arguments = ["for-each-ref", "--sort=-committerdate", f"--count={asked.limit + 1}", _FORMAT, *where]
    done = await git.look(repository.top, arguments)
    found = [_branch(line) for line in lines(done.stdout)]
    kept = fitting(found[: asked.limit])
    return Branches(branches=kept, truncated=done.clipped or len(kept) < len(found))


async def create(git: Git, asked: CreateBranch) -> Branch:
    """At a commit, with no upstream yet; it is checked out when asked for."""
    name = names.branch(asked.name, "name")
    repository = await git.find(asked.directory)
    commit = await git.commit(repository, asked.base)
    if asked.checkout:
        async with moving(git, repository, commit, branch=name):
            await _switch(git, repository, ["--no-track", f"--create={name}", commit])
    else:
        await git.act(repository.top, ["branch", "--no-track", name, commit])
    return await _one(git, repository, name)


async def delete(git: Git, asked: DeleteBranch) -> Branch:
    """What it was."""
    name = names.branch(asked.name, "name")
    repository = await git.find(asked.directory)
    branch = await _one(git, repository, name)
    await git.act(repository.top, ["branch", "--delete", *(["--force"] if asked.force else []), name])
    return branch


async def checkout(git: Git, asked: Checkout) -> Head:
    """A branch stays a branch: a commit that a branch has is checked out without it only when a commit is asked for."""
    if bool(asked.branch) == bool(asked.commit):
        raise SteadError("invalid", "either a branch or a commit is needed", field="branch")
    repository = await git.find(asked.directory)
    if asked.commit:
        commit, made = await git.commit(repository, asked.commit), ""
        arguments = ["--detach", commit]
    else:
        branch = names.branch(asked.branch)
        commit, made = await _where(git, repository, branch)
        arguments = [branch]
    force = ["--discard-changes"] if asked.force else []
    async with moving(git, repository, commit, branch=made):
        await _switch(git, repository, [*force, *arguments])
    return await git.head(repository)


async def _switch(git: Git, repository: Repository, arguments: list[str]) -> None:
    """Git may say that there was no room for files, and yet that all went well."""
    done = await git.act(repository.top, ["switch", "--quiet", "--guess", *arguments])
    if is_full(done.complaint):
        raise failure("switch", done)


async def _where(git: Git, repository: Repository, branch: str) -> tuple[str, str]:
    """The commit of a branch, or of that of a remote which it is made from; and its name if it is made."""
    ours = f"refs/heads/{branch}"
    asked = ["for-each-ref", "--format=%(objectname) %(refname)", ours, f"refs/remotes/*/{branch}"]
    for line in lines((await git.look(repository.top, asked)).stdout):
        commit, _, name = line.partition(" ")
        return commit, "" if name == ours else branch
    return "", ""


async def _one(git: Git, repository: Repository, name: str) -> Branch:
    arguments = ["for-each-ref", _FORMAT, f"refs/heads/{name}"]
    found = [_branch(line) for line in lines((await git.look(repository.top, arguments)).stdout)]
    exact = [branch for branch in found if branch.name == name]
    if not exact:
        raise SteadError("ref_unknown", f"there is no branch {name}")
    return exact[0]


def _branch(line: str) -> Branch:
    ref, commit, current, upstream, committed, subject = line.split("\0", 5)
    remote = ref.startswith("refs/remotes/")
    return Branch(
        name=ref.split("/", 2)[2],
        commit=commit,
        current=current == "*",
        upstream=upstream.removeprefix("refs/remotes/").removeprefix("refs/heads/"),
        committed=float(committed or 0),
        subject=subject[:1000],
        remote=remote,
    )
