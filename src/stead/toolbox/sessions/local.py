"""Sessions, here: a folder each, with the script that runs a line, and the state that it saves at its end.

The state is one file, replaced as a whole: a directory, and an environment as `env -0` writes it. It is read once for a line,
whatever other lines save before that one begins. It is the workspace user's own and is never believed: a directory is used only
as one to change into, a variable only as text. Line and directory are arguments of the shell, not pasted into its script.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.confine import DIRECTORY, errors
from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.sessions import contract as t

FOLDER = "sessions"
FILE_BYTES = 1 << 18
"""What is read of a session's file: an exec carries it, and as much of a line."""
STATE = "state"
BETWEEN = b"\n\0"
"""Ends the directory; what follows are variables."""
SHELL = "/bin/sh"
"""By its path: a line may have set any PATH."""
SCRIPT = """stead_at=${0%/*}
stead_line=$1
cd -- "$(command -p printf %b "$2")" || exit 126
set --
stead_save() {
  stead_code=$?
  trap - EXIT
  { command pwd && command -p printf '\\0' && command -p env -0; } >"$stead_at/state.$$" &&
    command -p mv -f "$stead_at/state.$$" "$stead_at/state" && exit $stead_code
  command -p rm -f "$stead_at/state.$$"
  echo "the line ended with $stead_code; directory and environment could not be kept and are as before it" >&2
  exit NOT_KEPT
}
trap stead_save EXIT
eval "$stead_line"
""".replace("NOT_KEPT", str(t.NOT_KEPT))
_OURS = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "STEAD_EXEC_ID", "STEAD_WORKSPACE_ID"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = frozenset(b"/._-" + string.ascii_letters.encode() + string.digits.encode())


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
        if (found := self._show_or_none(at)) is not None:
            return found
        _check(asked.environment)
        directory = self._place.directory(asked.cwd)
        self._make_room()
        self._make(at, directory, asked.environment)
        return self._show(at)

    def _make(self, at: Path, directory: str, environment: Mapping[str, str]) -> None:
        """All of it at once: a session is there whole or not at all. What is broken makes room for it."""
        part = at.with_name(f".{at.name}-{secrets.token_hex(4)}")
        variables = [f"{key}={value}".encode(errors="replace") + b"\0" for key, value in environment.items()]
        with errors(at.name):
            try:
                part.mkdir(mode=0o700, parents=True)
                _put_script(part)
                (part / STATE).write_bytes(os.fsencode(directory) + BETWEEN + b"".join(variables))
                if self._show_or_none(at) is None:
                    _remove(at)
                part.rename(at)
            except OSError:
                _remove(part)
                if self._show_or_none(at) is None:
                    raise

    def _make_room(self) -> None:
        found = self._list().sessions
        for each in found[t.SESSIONS - 1 :]:
            self._close(each.name)

    def _list(self) -> t.SessionList:
        names = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        shown = [self._show_or_none(self._folder / name) for name in names if re.fullmatch(t.NAME, name)]
        found = [session for session in shown if session is not None]
        return t.SessionList(sorted(found, key=lambda each: (-each.used, each.name)))

    def _show_or_none(self, at: Path) -> t.Session | None:
        """None where there is none, or only the ruins of one."""
        try:
            return self._show(at)
        except SteadError:
            return None

    def _show(self, at: Path) -> t.Session:
        """As its state tells, or "not_found"."""
        kept = self._kept(at)
        cwd = _shown(kept.cwd.decode(errors="replace"), self._place.root.path)
        return t.Session(at.name, cwd, kept.environment, kept.used)

    def _kept(self, at: Path) -> _Kept:
        """Of the variables those that are its own."""
        data, used = _read(at / STATE)
        cwd, _, variables = data.partition(BETWEEN)
        return _Kept(cwd, {name: value for name, value in _variables(variables) if self._is_its_own(name, value)}, used)

    def _is_its_own(self, name: str, value: str) -> bool:
        return name not in _OURS and self._place.programs.environment.get(name) != value

    def _prepare(self, at: Path, line: str) -> t.Prepared:
        """The script of the session with the line."""
        if "\0" in line:
            raise SteadError("invalid", "the line has a NUL byte", field="line")
        kept = self._kept(at)
        _check_directory(kept.cwd)
        with contextlib.suppress(OSError):
            os.utime(at / STATE, follow_symlinks=False)
        with errors(at.name):
            _put_script(at)
        return t.Prepared([SHELL, str(at / "run"), line, _escaped(kept.cwd)], kept.environment)

    def _close(self, name: str) -> t.Closed:
        at = self._at(name)
        existed = os.path.lexists(at)
        _remove(at)
        return t.Closed(name, existed)


class _Kept(NamedTuple):
    """The state of a session, and when it was last used."""

    cwd: bytes
    environment: dict[str, str]
    used: float


def _check_directory(cwd: bytes) -> None:
    """One that is gone is told before anything runs in another."""
    try:
        os.close(os.open(cwd, DIRECTORY))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        shown = cwd.decode(errors="replace")[:200]
        raise SteadError("not_found", f"the session's directory {shown!r}: {why}") from None


def _escaped(path: bytes) -> str:
    """Any bytes as an argument that is text, for `printf %b`."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in path)


def _put_script(at: Path) -> None:
    """The script of this version, whole, also where somebody is reading another."""
    run = at / "run"
    with contextlib.suppress(SteadError):
        if _read(run)[0] == SCRIPT.encode():
            return
    fresh = at / f"run.{secrets.token_hex(4)}"
    try:
        fresh.write_text(SCRIPT)
        _remove(run)
        fresh.rename(run)
    except OSError:
        _remove(fresh)
        raise


def _check(environment: Mapping[str, str]) -> None:
    if wrong := [name for name in environment if not _VARIABLE.fullmatch(name)]:
        raise SteadError("invalid", f"{wrong[0][:100]!r} is no name of a variable", field="environment")
    if wrong := [name for name, value in environment.items() if "\0" in value]:
        raise SteadError("invalid", f"what {wrong[0][:100]} is to be has a NUL byte", field="environment")


def _read(file: Path) -> tuple[bytes, float]:
    """A bounded part of a plain file, and when it was written; a program of the workspace may have put anything there."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            about = os.fstat(descriptor)
            if stat.S_ISREG(about.st_mode):
                return opened.read(FILE_BYTES), about.st_mtime
    except OSError:
        pass
    raise SteadError("not_found", f"there is no session {file.parent.name!r}")


def _remove(at: Path) -> None:
    """Whatever it is."""
    with contextlib.suppress(OSError):
        at.unlink()
    shutil.rmtree(at, ignore_errors=True)


def _variables(data: bytes) -> Iterator[tuple[str, str]]:
    """Those that are text; no answer could carry others. Half a variable, where too much was saved, is none."""
    for variable in data.split(b"\0")[:-1]:
        name, _, value = _text(variable).partition("=")
        if _VARIABLE.fullmatch(name):
            yield name, value


def _text(data: bytes) -> str:
    """Nothing where it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def _shown(cwd: str, root: str) -> str:
    """Relative to the workspace where it is in it."""
    if cwd == root:
        return "."
    return cwd.removeprefix(f"{root.rstrip('/')}/")
