"""Running git: never a prompt, a pager or an editor; found repositories are inside the workspace; failures are typed.

Contract: `Git.find(directory)` gives the repository that a directory is in. `Git.look` runs a command that only reads: it
starts nothing that the repository names and reaches no other machine. `Git.act` runs one that may. Both give what the
program said, or raise; `accept` are further exit codes that are an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

import anyio
import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.files import Files
from stead.toolbox.git import names, trouble
from stead.toolbox.git.contract import HOOK_SECONDS, Credential, Head
from stead.toolbox.git.credentials import NONE, Lent
from stead.toolbox.git.sweeping import sweep
from stead.toolbox.place import Place
from stead.toolbox.programs import Finished, Programs

T = TypeVar("T")

LOOK_BYTES = 8 << 20
"""The most that is taken from git for one answer."""
LISTED_BYTES = 64 << 20
"""The same where all is counted."""
BORROWED = 100
"""The most other repositories whose objects one uses."""
GRACE_SECONDS = 5.0
"""What git has, when it is ended, for removing its locks."""
PROTOCOLS = "file:git:http:https:ssh"
"""How other repositories may be reached; never `ext`, which is a command line."""

_FILTER = re.compile(rb"(filter\..*)\.(?:clean|smudge|process|required)", re.DOTALL)
_DROPPED = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|NAMESPACE|COMMON_DIR|CURL_VERBOSE|TRACE.*)")
_ALWAYS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_LITERAL_PATHSPECS": "1",
    "LANGUAGE": "",
}
_LOOKING = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "log.showSignature=false"]
_LOOKING += ["-c", "log.follow=false"]
_LOOKING_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
_ACTING_SETTINGS = (
    *("submodule.recurse=false", "advice.detachedHead=false", "gc.auto=0", "maintenance.auto=false"),
    "i18n.commitEncoding=UTF-8",
)
_ACTING = [word for setting in _ACTING_SETTINGS for word in ("-c", setting)]


class Repository(NamedTuple):
    """The working tree's top: its absolute path, and as answers give it; and its own directory of git's files."""

    top: str
    shown: str
    directory: str


class Git:
    """Git in one workspace."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._filling: set[str] = set()
        self._alone: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        kept = {name: value for name, value in place.programs.environment.items() if not _DROPPED.fullmatch(name)}
        root = Path(place.root.path)
        ceiling = {str(root.parent), str(root.resolve().parent)}
        self._programs = Programs(kept | _ALWAYS | {"GIT_CEILING_DIRECTORIES": os.pathsep.join(sorted(ceiling))})

    def alone(self, repository: Repository) -> asyncio.Lock:
        """Held by who moves its working tree, or commits."""
        return self._alone.setdefault(repository.directory, asyncio.Lock())

    @contextlib.contextmanager
    def filling(self, directory: str) -> Iterator[None]:
        """Nobody else fills this directory while the caller is inside."""
        real = os.path.realpath(directory)
        if real in self._filling:
            raise SteadError("in_progress", f"{self.place.root.relative(real)}: something is being put there")
        self._filling.add(real)
        try:
            yield
        finally:
            self._filling.discard(real)

    async def find(self, directory: str) -> Repository:
        """The repository; its directories must be inside the workspace, wherever its files point."""
        cwd = await self.place.in_thread(self.place.directory, directory)
        asked = ["rev-parse", "--absolute-git-dir", "--git-common-dir", "--show-toplevel"]
        found = await self.look(cwd, asked)
        told = os.fsdecode(found.stdout).removesuffix("\n").split("\n")
        if len(told) != 3:
            raise SteadError("path_invalid", "the repository's path has a line break in it")
        absolute = [path if path.startswith("/") else f"{cwd}/{path}" for path in told]
        own, top = await self.place.in_thread(self._inside, *absolute)
        return Repository(top, self.place.root.relative(top), own)

    def _inside(self, own: str, common: str, top: str) -> tuple[str, str]:
        """The first and the last as they are here; objects of other repositories that it borrows are inside too."""
        own, common, top = (self.place.directory(path) for path in (own, common, top))
        todo, known = [self.place.directory(f"{common}/objects")], set[str]()
        while todo:
            objects = todo.pop()
            known.add(objects)
            if len(known) > BORROWED:
                raise SteadError("refused", f"the repository borrows objects of more than {BORROWED} others")
            for path in _borrowed(self.place.files, objects):
                with _unless_missing():
                    todo += {self.place.directory(path)} - known
        return own, top

    async def look(
        self, cwd: str, arguments: Sequence[str], *, limit: int = LOOK_BYTES, accept: Collection[int] = (0,)
    ) -> Finished:
        """A command that only reads."""
        argv = ["git", *_LOOKING, *arguments]
        done = await self._programs.run(argv, cwd=cwd, environment=_LOOKING_ENVIRONMENT, limit=limit)
        return _checked(done, arguments, accept)

    async def act(
        self,
        cwd: str,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        seconds: float = HOOK_SECONDS,
        accept: Collection[int] = (0,),
        lent: Lent = NONE,
    ) -> Finished:
        """A command that changes something, or reaches another repository; with a credential when one is lent."""
        since = time.time()
        done = await self._programs.run(
            ["git", *_ACTING, *lent.options, *arguments],
            cwd=cwd,
            stdin=stdin,
            environment={"GIT_ALLOW_PROTOCOL": PROTOCOLS, **(environment or {})},
            seconds=seconds,
            descriptors=lent.descriptors,
            grace=GRACE_SECONDS,
        )
        if done.code and trouble.is_full(done.complaint):
            await self._sweep(cwd, since)
        return _checked(done, arguments, accept, lent.credential)

    async def _sweep(self, cwd: str, since: float) -> None:
        """What git could not finish since then."""
        with anyio.CancelScope(shield=True), contextlib.suppress(SteadError):
            told = os.fsdecode((await self.look(cwd, ["rev-parse", "--git-path", "objects"])).stdout).removesuffix("\n")
            objects = await self.place.in_thread(
                self.place.directory, told if told.startswith("/") else f"{cwd}/{told}"
            )
            await self.place.in_thread(sweep, self.place, objects, since)

    async def commit(self, repository: Repository, revision: str) -> str:
        """The commit that a name stands for."""
        names.revision(revision)
        found = await self.look(repository.top, ["rev-parse", "--verify", f"{revision or 'HEAD'}^{{commit}}"])
        return text(found.stdout).strip()

    async def fork(self, repository: Repository, base: str) -> str:
        """The commit where HEAD left another branch; "conflict" when they have nothing in common."""
        other = await self.commit(repository, base)
        found = await self.look(repository.top, ["merge-base", "HEAD", other], accept=(0, 1))
        if found.code:
            raise SteadError("conflict", f"HEAD and {base} have no commit in common")
        return text(found.stdout).strip()

    async def head(self, repository: Repository) -> Head:
        """Where it is; empty texts for a detached HEAD and for one without a commit."""
        named = await self.look(repository.top, ["symbolic-ref", "--quiet", "HEAD"], accept=(0, 1))
        found = await self.look(repository.top, ["rev-parse", "--verify", "--quiet", "HEAD"], accept=(0, 1))
        return Head(
            root=repository.shown,
            branch=text(named.stdout).strip().removeprefix("refs/heads/"),
            commit=text(found.stdout).strip(),
        )

    async def unfiltered(self, repository: Repository) -> list[str]:
        """Options under which the repository's filters (programs that change content on its way) are not run."""
        found = await self.look(repository.top, ["config", "-z", "--name-only", "--list"])
        filters = {match[1] for name in found.stdout.split(b"\0") if (match := _FILTER.fullmatch(name))}
        if found.clipped or any(b"=" in name for name in filters):
            raise SteadError("refused", "the repository's configuration has filters that cannot be switched off")
        return [word for name in sorted(filters) for word in _switched_off(os.fsdecode(name))]


def _borrowed(files: Files, objects: str) -> list[str]:
    """Where more objects are, by a file that anybody may have written."""
    said = b""
    with _unless_missing():
        said = files.read(f"{objects}/info/alternates").content
    found = [line for line in os.fsdecode(said).split("\n") if line and not line.startswith("#")]
    if any(line.startswith('"') for line in found):
        raise SteadError("refused", "the repository borrows objects by a quoted name, which is not followed here")
    return [line if line.startswith("/") else f"{objects}/{line}" for line in found]


@contextlib.contextmanager
def _unless_missing() -> Iterator[None]:
    try:
        yield
    except SteadError as error:
        if error.code != "not_found":
            raise


def text(raw: bytes) -> str:
    """What git printed; a name that is not UTF-8 has replacement characters."""
    return raw.decode(errors="replace")


def lines(raw: bytes) -> list[str]:
    """What git printed, one a line."""
    return text(raw).split("\n")[:-1]


def fitting(items: Iterable[T]) -> list[T]:
    """As many as one message carries."""
    kept: list[T] = []
    room = CALL_BYTES
    for item in items:
        room -= len(msgspec.json.encode(item)) + 1
        if room < 0:
            break
        kept.append(item)
    return kept


def _switched_off(filter: str) -> list[str]:
    values = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return [word for key, value in values.items() for word in ("-c", f"{filter}.{key}={value}")]


def _checked(
    done: Finished, arguments: Sequence[str], accept: Collection[int], credential: Credential | None = None
) -> Finished:
    if done.code in accept:
        return done
    settings = 0
    while arguments[settings] == "-c":
        settings += 2
    raise trouble.failure(arguments[settings], done, credential)
