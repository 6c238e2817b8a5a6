"""Other repositories: cloned, fetched, pulled from, pushed to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox.files import Files
from stead.toolbox.git import names
from stead.toolbox.git.command import Git, Repository, lines, text
from stead.toolbox.git.contract import (
    FAR_SECONDS,
    CloneRepository,
    Credential,
    Fetch,
    Fetched,
    Head,
    Pull,
    Pulled,
    Push,
    Pushed,
)
from stead.toolbox.git.credentials import lent
from stead.toolbox.git.trouble import failure, scrubbed
from stead.toolbox.git.undoing import moving
from stead.toolbox.programs import Finished


async def clone(git: Git, asked: CloneRepository) -> Head:
    """Whole, or nothing of it stays."""
    branch = [f"--branch={names.branch(asked.branch)}"] if asked.branch else []
    if not 0 <= asked.depth < 1 << 31:
        raise SteadError("invalid", "depth: a number from 0 on", field="depth")
    depth = [f"--depth={asked.depth}"] if asked.depth else []
    address = await git.place.in_thread(names.address, git.place, asked.url)
    with lent(asked.credential, address.host) as with_credential:
        async with _new_directory(git, asked.directory) as target:
            arguments = ["clone", "--quiet", "--no-recurse-submodules", *branch, *depth, "--", address.url, target]
            await git.act(git.place.root.path, arguments, seconds=FAR_SECONDS, lent=with_credential)
            return await git.head(await git.find(asked.directory))


async def fetch(git: Git, asked: Fetch) -> Fetched:
    """Everything that the remote is configured to give."""
    repository = await git.find(asked.directory)
    before = await _known(git, repository, names.remote(asked.remote))
    prune = ["--prune"] if asked.prune else []
    await _fetch(git, repository, asked.remote, [*prune, "--", asked.remote], asked.credential)
    after = await _known(git, repository, asked.remote)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return Fetched(remote=asked.remote, changed=sorted(changed))


async def pull(git: Git, asked: Pull) -> Pulled:
    """Fetched first, and with the credential gone the working tree is moved."""
    remote = names.remote(asked.remote)
    repository = await git.find(asked.directory)
    before = await git.head(repository)
    branch = names.branch(asked.branch) if asked.branch else before.branch
    if not branch:
        raise SteadError("conflict", "no branch is checked out; say which one to pull")
    await _fetch(git, repository, remote, ["--", remote, f"refs/heads/{branch}"], asked.credential)
    target = await _fetched(git, repository)
    async with moving(git, repository, target):
        await git.act(repository.top, ["merge", "--quiet", "--ff-only", target])
    after = await git.head(repository)
    return Pulled(root=after.root, branch=after.branch, commit=after.commit, before=before.commit)


async def push(git: Git, asked: Push) -> Pushed:
    """One branch; "push_rejected" with the reason when the remote does not take it."""
    remote = names.remote(asked.remote)
    repository = await git.find(asked.directory)
    branch = names.branch(asked.branch) if asked.branch else (await git.head(repository)).branch
    if not branch:
        raise SteadError("conflict", "no branch is checked out; say which one to push")
    commit = await git.commit(repository, f"refs/heads/{branch}")
    options = [*(["--set-upstream"] if asked.set_upstream else []), *(["--force-with-lease"] if asked.force else [])]
    arguments = ["push", "--porcelain", "--no-recurse-submodules", "--no-follow-tags", *options, "--", remote]
    host = await _host(git, repository, remote, asked.credential, push=True)
    with lent(asked.credential, host, hooks=True) as with_credential:
        done = await git.act(
            repository.top,
            [*arguments, f"refs/heads/{branch}:refs/heads/{branch}"],
            seconds=FAR_SECONDS,
            lent=with_credential,
            accept=(0, 1),
        )
    return Pushed(remote=remote, branch=branch, commit=commit, changed=_taken(done, asked.credential))


async def _fetch(
    git: Git, repository: Repository, remote: str, arguments: list[str], credential: Credential | None
) -> None:
    with lent(credential, await _host(git, repository, remote, credential)) as with_credential:
        await git.act(
            repository.top,
            ["fetch", "--quiet", "--no-recurse-submodules", *arguments],
            seconds=FAR_SECONDS,
            lent=with_credential,
        )


async def _fetched(git: Git, repository: Repository) -> str:
    """The commit that came; git says nothing when it had no room to note it."""
    try:
        return await git.commit(repository, "FETCH_HEAD")
    except SteadError as error:
        if error.code != "ref_unknown":
            raise
        raise SteadError("disk_full", "git fetch: there was no room to note what came (FETCH_HEAD)") from error


async def _host(
    git: Git, repository: Repository, remote: str, credential: Credential | None, *, push: bool = False
) -> str:
    """Where a remote's credential may go: to the host of its URL, after whatever the configuration makes of it."""
    if credential is None:
        return ""
    arguments = ["remote", "get-url", *(["--push"] if push else []), "--", remote]
    url = text((await git.look(repository.top, arguments)).stdout).strip()
    return names.host(url) if url.startswith(("http://", "https://")) else ""


async def _known(git: Git, repository: Repository, remote: str) -> dict[str, str]:
    arguments = ["for-each-ref", "--format=%(objectname) %(refname)", f"refs/remotes/{remote}/"]
    found = [line.partition(" ") for line in lines((await git.look(repository.top, arguments)).stdout)]
    return {name.removeprefix("refs/remotes/"): commit for commit, _, name in found if not name.endswith("/HEAD")}


def _taken(done: Finished, credential: Credential | None) -> bool:
    """Whether the remote's branch changed, by the porcelain line: flag, refs, summary and reason."""
    for line in lines(done.stdout):
        flag, _, rest = line.partition("\t")
        if flag == "!":
            reason = rest.partition("\t")[2]
            words = [said for said in done.complaint.split("\n") if said.startswith("remote:")]
            told = scrubbed("\n".join([reason, *words]), credential)
            raise SteadError("push_rejected", f"the remote did not take it: {told}", reason=reason)
        if flag == "=":
            return False
    if done.code:
        raise failure("push", done, credential)
    return True


@contextlib.asynccontextmanager
async def _new_directory(git: Git, directory: str) -> AsyncIterator[str]:
    """The absolute path of an empty directory that nobody else fills meanwhile. When the work fails it is empty again, or
    goes if it was made here."""
    place = git.place
    made = await place.in_thread(_made, place.files, directory)
    target = await place.in_thread(place.directory, directory)
    with git.filling(target):
        if not made and (await place.in_thread(place.files.list, directory, limit=1)).entries:
            raise SteadError("not_empty", f"{directory}: something is there already")
        try:
            yield target
        except BaseException:
            with anyio.CancelScope(shield=True):
                await place.in_thread(_emptied, place.files, target)
                if made:
                    await place.in_thread(place.files.delete, target)
            raise


def _made(files: Files, directory: str) -> bool:
    """False when it was there."""
    try:
        files.mkdir(directory, parents=True, exclusive=True)
    except SteadError as error:
        if error.code != "already_exists":
            raise
        return False
    return True


def _emptied(files: Files, directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        for path in list(Path(directory).iterdir()):
            files.delete(str(path), recursive=True)
