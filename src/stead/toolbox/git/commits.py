"""Commits: making one, reading those that there are, and who makes them."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.git import names
from stead.toolbox.git.command import LISTED_BYTES, Git, Repository, fitting, text
from stead.toolbox.git.contract import (
    LOG_COMMITS,
    Commit,
    Committed,
    Configure,
    Identity,
    Log,
    MakeCommit,
    Messages,
    Person,
    ReadLog,
    ReadMessages,
    Signature,
)
from stead.toolbox.git.trouble import is_full
from stead.toolbox.git.undoing import staging

MESSAGE_BYTES = 64 << 10
"""The longest message that a log answers; more is cut."""
_FIELDS = ("%H", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%B")
_FORMAT = "--format=" + "%x00".join(_FIELDS)
_TRAILER = re.compile(r"[A-Za-z0-9-]+: \S")
_UNKNOWN = re.compile(r"^error: pathspec '.*' did not match any file", re.MULTILINE)
_NOTHING = re.compile(rb"nothing to commit|nothing added to commit|no changes added to commit")


async def config(git: Git, asked: Configure) -> Identity:
    """Who commits in this repository."""
    repository = await git.find(asked.directory)
    given = {"user.name": asked.name, "user.email": asked.email}
    kept = ("-" if value is None else value for value in given.values())
    names.person(Person(*kept), "name and email")
    for key, value in given.items():
        if value is not None:
            await git.act(repository.top, ["config", "--local", "--replace-all", key, value])
    found = [await git.look(repository.top, ["config", key], accept=(0, 1)) for key in given]
    return Identity(*(text(each.stdout).removesuffix("\n") for each in found))


async def commit(git: Git, asked: MakeCommit) -> Committed:
    """The message comes out as it went in, with a trailer for every co-author. One after the other: git keeps the message in
    a file of the repository meanwhile."""
    message = _message(asked)
    author = names.person(asked.author, "author") if asked.author else ""
    paths = names.paths(asked.paths)
    repository = await git.find(asked.directory)
    arguments = ["commit", "--quiet", "--cleanup=verbatim", "--file=-", "--no-edit"]
    arguments += [f"--author={author}"] if author else []
    arguments += ["--allow-empty"] if asked.allow_empty else []
    arguments += ["--only", "--", *paths] if paths else []
    environment = await _committer(git, repository, asked.author) if asked.author else {}
    async with git.alone(repository), staging(git, repository):
        if adding := await _to_add(git, repository, paths) if paths else ["."] * asked.all:
            await git.act(repository.top, ["add", "--all", "--", *adding])
        done = await git.act(repository.top, arguments, stdin=message.encode(), environment=environment, accept=(0, 1))
        _check(done.code, done.stdout, done.complaint)
    return await _made(git, repository)


async def log(git: Git, asked: ReadLog) -> Log:
    """At most `limit`, and at most what one message carries."""
    if not 1 <= asked.limit <= LOG_COMMITS or asked.skip < 0:
        raise SteadError("invalid", f"limit: from 1 to {LOG_COMMITS}; skip: from 0", field="limit")
    repository = await git.find(asked.directory)
    if not asked.revision and not (await git.head(repository)).commit:
        return Log(commits=[])
    path = names.paths([asked.path] if asked.path else [])
    span = [f"--max-count={asked.limit + 1}", f"--skip={asked.skip}", *await _span(git, repository, asked.revision)]
    commits, cut = await _log(git, repository, [*span, "--", *path])
    return Log(commits=commits[: asked.limit], truncated=cut or len(commits) > asked.limit)


async def messages(git: Git, asked: ReadMessages) -> Messages:
    """Those of the newest commits."""
    if not 1 <= asked.limit <= LOG_COMMITS:
        raise SteadError("invalid", f"limit: from 1 to {LOG_COMMITS}", field="limit")
    repository = await git.find(asked.directory)
    if not (await git.head(repository)).commit:
        return Messages(messages=[])
    span = [f"{await git.fork(repository, asked.base)}..HEAD"] if asked.base else ["HEAD"]
    commits, _ = await _log(git, repository, [f"--max-count={asked.limit}", *span, "--"])
    return Messages(messages=[commit.message for commit in commits])


async def _log(git: Git, repository: Repository, span: list[str]) -> tuple[list[Commit], bool]:
    done = await git.look(repository.top, ["log", "-z", "--encoding=UTF-8", "--no-color", _FORMAT, *span])
    fields = text(done.stdout).split("\0")
    starts = range(0, len(fields) - len(_FIELDS) + 1, len(_FIELDS))
    found = [_commit(fields[at : at + len(_FIELDS)]) for at in starts]
    kept = fitting(found)
    cut = any(len(commit.message) >= MESSAGE_BYTES for commit in kept)
    return kept, cut or done.clipped or len(kept) < len(found)


def _commit(fields: list[str]) -> Commit:
    commit, parents, name, email, time, c_name, c_email, c_time, message = fields
    return Commit(
        commit=commit,
        parents=parents.split(),
        author=Signature(name=name[:1000], email=email[:1000], time=_seconds(time)),
        committer=Signature(name=c_name[:1000], email=c_email[:1000], time=_seconds(c_time)),
        message=message[:MESSAGE_BYTES],
    )


def _seconds(time: str) -> float:
    """A commit may have no time, or digits without end."""
    return float(time[:18] or 0)


async def _span(git: Git, repository: Repository, revision: str) -> list[str]:
    """Each end as the commit it stands for."""
    names.revision(revision)
    for dots in ("...", ".."):
        left, found, right = revision.partition(dots)
        if found:
            return [f"{await git.commit(repository, left)}{dots}{await git.commit(repository, right)}"]
    return [await git.commit(repository, revision)]


def _message(asked: MakeCommit) -> str:
    if not asked.message.strip() or re.search(r"[\0\ud800-\udfff]", asked.message):
        raise SteadError("invalid", "message: some text without NUL bytes is needed", field="message")
    if len(asked.message.encode(errors="replace")) > CALL_BYTES:
        raise SteadError("too_large", f"message: at most {CALL_BYTES} bytes", field="message")
    trailers = [f"Co-authored-by: {names.person(person, 'co_authors')}" for person in asked.co_authors]
    if not trailers:
        return asked.message
    body = asked.message.rstrip("\n")
    first, blank, last = body.rpartition("\n\n")
    joined = bool(blank and first.strip()) and all(_TRAILER.match(line) for line in last.split("\n"))
    return "\n".join([body, *([] if joined else [""]), *trailers, ""])


async def _committer(git: Git, repository: Repository, author: Person) -> dict[str, str]:
    """Where nobody is configured, the author is the committer too."""
    asked = ["-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT"]
    if (await git.look(repository.top, asked, accept=(0, 128))).ok:
        return {}
    return {"GIT_COMMITTER_NAME": author.name.strip(), "GIT_COMMITTER_EMAIL": author.email.strip()}


async def _to_add(git: Git, repository: Repository, paths: list[str]) -> list[str]:
    """Without those that are neither there nor in the index any more: of them the commit alone knows."""
    gone = [path for path in paths if not os.path.lexists(f"{repository.top}/{path}")]
    if not gone:
        return paths
    known = os.fsdecode((await git.look(repository.top, ["ls-files", "-z", "--", *gone], limit=LISTED_BYTES)).stdout)
    above = {each for name in known.split("\0") for each in (name, *map(str, PurePosixPath(name).parents))}
    return [path for path in paths if path not in gone or os.path.normpath(path) in above]


def _check(code: int, said: bytes, complaint: str) -> None:
    """A hook's words may be like git's own, so few of them count."""
    if code and _NOTHING.search(said):
        raise SteadError("nothing_to_commit", "there is nothing to commit")
    if code:
        known = "not_found" if _UNKNOWN.search(complaint) else "program_failed"
        raise SteadError("disk_full" if is_full(complaint) else known, f"git commit: {complaint}", exit_code=code)


async def _made(git: Git, repository: Repository) -> Committed:
    at = await git.head(repository)
    asked = ["diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", "HEAD"]
    files = (await git.look(repository.top, asked, limit=LISTED_BYTES)).stdout.count(b"\0")
    return Committed(root=at.root, branch=at.branch, commit=at.commit, files=files)
