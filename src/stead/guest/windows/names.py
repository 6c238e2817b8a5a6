"""The names of files on Windows, judged before anything is opened: what would lead to something else than it seems is refused.

Contract: `place(path)` gives the one spelling of an absolute path on a drive, or raises "path_invalid" / "path_outside".
`below(place, path)` gives the names that lead from one such path to another, or None. A wrong yes of `below` opens nothing: the
names are then followed from a handle of the place (`files`).
"""

from __future__ import annotations

import re

from stead.protocol.errors import SteadError

NAME_UNITS = 255
PATH_UNITS = 32_000
_DRIVE = re.compile(r"([A-Za-z]):\\")
_NEVER = re.compile(r'[\x00-\x1f<>:"|?*\ud800-\udfff]')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:[. ].*)?", re.IGNORECASE)


def place(path: str) -> str:
    """As in `C:\\Temp\\file`: one spelling, of a drive, without `..`, devices, streams and other worlds of names."""
    found = _DRIVE.match(written := path.replace("/", "\\"))
    if found is None:
        raise _invalid(path, "a path begins with a drive, as in C:\\Temp")
    names = [name for name in written[found.end() :].split("\\") if name not in {"", "."}]
    for name in names:
        _check(path, name)
    whole = f"{found[1].upper()}:\\" + "\\".join(names)
    if _units(whole) > PATH_UNITS:
        raise _invalid(path, "it is too long")
    return whole


def absolute(path: str) -> bool:
    """Whether a path may stand in a configuration."""
    try:
        place(path)
    except SteadError:
        return False
    return True


def parts(path: str) -> tuple[str, list[str]]:
    """The root of the drive, and the names below it; of what `place` gave."""
    return path[:3], [name for name in path[3:].split("\\") if name]


def below(above: str, path: str) -> list[str] | None:
    """The names from `above` to `path`; None when it does not lead there. Case says nothing."""
    (drive, names), (other, more) = parts(above), parts(path)
    if drive.upper() != other.upper() or len(more) < len(names):
        return None
    same = all(one.upper() == another.upper() for one, another in zip(names, more, strict=False))
    return more[len(names) :] if same else None


def shown(path: str) -> str:
    """A path as it may stand in a message: short and printable."""
    short = path if len(path) <= 200 else path[:200] + "..."
    return short.encode("utf-8", "replace").decode().replace("\0", "\\0")


def _check(path: str, name: str) -> None:
    if name == "..":
        raise SteadError("path_outside", f"{shown(path)}: a path without `..` is needed")
    if _NEVER.search(name):
        raise _invalid(path, "a name has a character that names cannot have")
    if name[-1] in {".", " "}:
        raise _invalid(path, "a name ends with a dot or a space")
    if _DEVICE.fullmatch(name):
        raise _invalid(path, "a name is that of a device")
    if _units(name) > NAME_UNITS:
        raise _invalid(path, "a name is too long")


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _invalid(path: str, why: str) -> SteadError:
    return SteadError("path_invalid", f"{shown(path)}: {why}")
