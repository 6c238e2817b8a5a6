"""Several working trees of one repository."""

from __future__ import annotations

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox.git import names
from stead.toolbox.git.command import Git, Repository, text
from stead.toolbox.git.contract import AddWorktree, InRepository, RemoveWorktree, Worktree, Worktrees
from stead.toolbox.git.undoing import reserved

_USAGE = 129
"""What git before 2.36 ends with, which knows no `-z` here."""


async def worktrees(git: Git, asked: InRepository) -> Worktrees:
    """All of them."""
    return await _all(git, await git.find(asked.directory))


async def add(git: Git, asked: AddWorktree) -> Worktree:
    """A directory that is made inside the workspace."""
    branch = names.branch(asked.branch)
    repository = await git.find(asked.directory)
    what = [branch]
    if asked.create:
        what = ["--no-track", "-b", branch]
        commit = await git.commit(repository, asked.base)
        await _check_new(git, repository, branch)
    else:
        commit = ""
        await git.commit(repository, f"refs/heads/{branch}")
    await git.place.in_thread(git.place.files.mkdir, asked.path, parents=True, exclusive=True)
    target = await git.place.in_thread(git.place.directory, asked.path)
    arguments = [*what, "--", target, commit] if asked.create else ["--", target, branch]
    try:
        async with reserved(git, repository):
            await git.act(repository.top, ["worktree", "add", "--quiet", *arguments])
    except BaseException:
        with anyio.CancelScope(shield=True):
            await git.place.in_thread(git.place.files.delete, asked.path, recursive=True)
            forget = ["worktree", "remove", "--force", "--force", "--", target]
            await git.act(repository.top, forget, accept=(0, 128))
            if asked.create:
                await git.act(repository.top, ["update-ref", "-d", f"refs/heads/{branch}", commit], accept=(0, 1, 128))
        raise
    added = await git.find(asked.path)
    return next(each for each in (await _all(git, repository)).worktrees if each.path == added.shown)


async def _check_new(git: Git, repository: Repository, branch: str) -> None:
    """Before anything is made: what is made goes again when the rest fails."""
    known = await git.look(repository.top, ["rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"], accept=(0, 1))
    if known.ok:
        raise SteadError("already_exists", f"there is a branch {branch} already", field="branch")


async def remove(git: Git, asked: RemoveWorktree) -> Worktrees:
    """Its directory goes, where it is not gone already; its branch stays."""
    repository = await git.find(asked.directory)
    try:
        target = await git.place.in_thread(git.place.directory, asked.path)
    except SteadError as error:
        target = git.place.root.relative(asked.path)
        known = {tree.path for tree in (await _all(git, repository)).worktrees if tree.prunable}
        if error.code != "not_found" or target not in known:
            raise
        target = f"{git.place.root.path.rstrip('/')}/{target}"
    await git.act(repository.top, ["worktree", "remove", *(["--force"] if asked.force else []), "--", target])
    return await _all(git, repository)


async def _all(git: Git, repository: Repository) -> Worktrees:
    asked = ["worktree", "list", "--porcelain"]
    done = await git.look(repository.top, [*asked, "-z"], accept=(0, _USAGE))
    told = text(done.stdout)
    if done.code:
        told = text((await git.look(repository.top, asked)).stdout).replace("\n", "\0")
    records = [record for record in told.split("\0\0") if record]
    return Worktrees(worktrees=[_one(git, record, main=n == 0) for n, record in enumerate(records)])


def _one(git: Git, record: str, *, main: bool) -> Worktree:
    facts = {key: value for key, _, value in (line.partition(" ") for line in record.split("\0"))}
    try:
        path = git.place.root.relative(facts["worktree"])
    except SteadError:
        path = facts["worktree"]
    return Worktree(
        path=path,
        branch=facts.get("branch", "").removeprefix("refs/heads/"),
        commit=facts.get("HEAD", ""),
        main=main,
        locked="locked" in facts,
        prunable="prunable" in facts,
    )
