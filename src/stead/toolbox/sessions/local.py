"""Sessions, here: a folder each, with the script that runs a line, and what it saves at its end: directory and environment.

The files are the workspace user's own and are never believed: a directory is used only as one to change into, a variable only
as text. A line is one argument of the shell, not pasted into its script.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from stead.protocol.errors import SteadError
from stead.toolbox.confine import DIRECTORY
from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.sessions import contract as t

FOLDER = "sessions"
FILE_BYTES = 1 << 20
"""What is read of a session's file."""
SCRIPT = """stead_at=${0%/*}
stead_line=$1
set --
cd -- "$(cat "$stead_at/cwd")" || exit 126
stead_save() {
  stead_code=$?
  trap - EXIT
  pwd >"$stead_at/cwd.$$" && mv -f "$stead_at/cwd.$$" "$stead_at/cwd"
  env -0 >"$stead_at/env.$$" && mv -f "$stead_at/env.$$" "$stead_at/env"
  exit $stead_code
}
trap stead_save EXIT
eval "$stead_line"
"""
_OURS = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def work(place: Place) -> Work:
    """What does each operation."""
    sessions = LocalSessions(place)
    return {
        t.OPEN.name: sessions.open,
        t.SHOW.name: sessions.show,
        t.LIST.name: sessions.list,
        t.PREPARE.name: sessions.prepare,
        t.CLOSE.name: sessions.close,
    }


class LocalSessions:
    """Those of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folder = place.state / FOLDER

    async def open(self, asked: t.OpenSession) -> t.Session:
        return await self._place.in_thread(self._open, asked)

    async def show(self, asked: t.OneSession) -> t.Session:
        return await self._place.in_thread(self._show, self._at(asked.name))

    async def list(self, asked: t.Nothing) -> t.SessionList:
        return await self._place.in_thread(self._list)

    async def close(self, asked: t.OneSession) -> t.Closed:
        return await self._place.in_thread(self._close, asked.name)

    async def prepare(self, asked: t.PrepareLine) -> t.Prepared:
        return await self._place.in_thread(self._prepare, self._at(asked.name), asked.line)

    def _at(self, name: str) -> Path:
        if not re.fullmatch(t.NAME, name):
            raise SteadError("invalid", "a session's name has letters, digits, `.`, `_` and `-`", field="name")
        return self._folder / name

    def _open(self, asked: t.OpenSession) -> t.Session:
        at = self._at(asked.name or f"s-{secrets.token_hex(6)}")
        if not at.exists():
            self._make_room()
            self._make(at, asked.cwd, asked.environment)
        return self._show(at)

    def _make(self, at: Path, cwd: str, environment: Mapping[str, str]) -> None:
        """All of it at once: a session is there whole or not at all."""
        if wrong := [name for name in environment if not _VARIABLE.fullmatch(name)]:
            raise SteadError("invalid", f"{wrong[0][:100]!r} is no name of a variable", field="environment")
        if any("\0" in value for value in environment.values()):
            raise SteadError("invalid", "a variable has a NUL byte", field="environment")
        directory = self._place.directory(cwd)
        part = at.with_name(f".{at.name}-{secrets.token_hex(4)}")
        part.mkdir(mode=0o700, parents=True)
        (part / "run").write_text(SCRIPT)
        (part / "cwd").write_bytes(os.fsencode(directory) + b"\n")
        (part / "env").write_bytes(
            b"".join(os.fsencode(f"{key}={value}") + b"\0" for key, value in environment.items())
        )
        try:
            part.rename(at)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            if not at.exists():
                raise

    def _make_room(self) -> None:
        found = self._list().sessions
        for each in found[t.SESSIONS - 1 :]:
            self._close(each.name)

    def _list(self) -> t.SessionList:
        names = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        found = [self._show(self._folder / name) for name in names if re.fullmatch(t.NAME, name)]
        return t.SessionList(sorted(found, key=lambda each: (-each.used, each.name)))

    def _show(self, at: Path) -> t.Session:
        """As its files tell, or "not_found"."""
        cwd = os.fsdecode(_read(at / "cwd")).removesuffix("\n")
        environment = dict(self._variables(at))
        return t.Session(
            name=at.name,
            cwd=_shown(cwd, self._place.root.path),
            environment={name: value for name, value in environment.items() if self._is_its_own(name, value)},
            used=(at / "cwd").stat().st_mtime,
        )

    def _variables(self, at: Path) -> Iterator[tuple[str, str]]:
        for text in map(os.fsdecode, _read(at / "env").split(b"\0")):
            name, _, value = text.partition("=")
            if _VARIABLE.fullmatch(name):
                yield name, value

    def _is_its_own(self, name: str, value: str) -> bool:
        return name not in _OURS and self._place.programs.environment.get(name) != value

    def _prepare(self, at: Path, line: str) -> t.Prepared:
        """The script of the session with the line."""
        if "\0" in line:
            raise SteadError("invalid", "the line has a NUL byte", field="line")
        session = self._show(at)
        self._check_directory(at)
        return t.Prepared(["sh", str(at / "run"), line], session.environment)

    def _check_directory(self, at: Path) -> None:
        """One that is gone is told before anything runs in another."""
        cwd = os.fsdecode(_read(at / "cwd")).removesuffix("\n")
        try:
            os.close(os.open(cwd, DIRECTORY))
        except OSError as error:
            raise SteadError("not_found", f"the session's directory {cwd[:200]!r}: {error.strerror}") from None

    def _close(self, name: str) -> t.Closed:
        at = self._at(name)
        existed = at.exists()
        shutil.rmtree(at, ignore_errors=True)
        return t.Closed(name, existed)


def _read(file: Path) -> bytes:
    """A bounded part of a plain file; a program of the workspace may have put anything there."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise SteadError("not_found", f"there is no session {file.parent.name!r}") from None
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(FILE_BYTES)


def _shown(cwd: str, root: str) -> str:
    """Relative to the workspace where it is in it."""
    if cwd == root:
        return "."
    return cwd.removeprefix(f"{root.rstrip('/')}/")
