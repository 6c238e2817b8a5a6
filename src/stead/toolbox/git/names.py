"""Names that come from outside and go into git's arguments: checked, so that none is taken for an option or a command.

Contract: each function gives what it was given, or raises "invalid". `address` also says for which host a credential is, and
`told` is about names that come from git.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from stead.protocol.errors import SteadError
from stead.toolbox.confine import NAME_BYTES, PATH_BYTES
from stead.toolbox.git.contract import Credential, Person
from stead.toolbox.place import Place

URL_BYTES = 4096
SECRET_BYTES = 8192
"""The most that a name or a password has; both fit into a pipe."""
_SCP = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/?/)[^\s]+")
_BAD_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|\.$|/$|^[-/.]|^@$|^HEAD$")
_HOST = re.compile(r"[\w.:%-]+")
_FAR = frozenset({"http", "https", "ssh", "git"})


class Address(NamedTuple):
    """A URL as git gets it; `host` (with its scheme) where a credential may go, or empty."""

    url: str
    host: str


def branch(name: str, field: str = "branch") -> str:
    """By the rules of `git check-ref-format --branch`, without its shorthands."""
    if not name or _BAD_IN_BRANCH.search(name) or len(name.encode(errors="replace")) > NAME_BYTES:
        raise SteadError("invalid", f"{field}: {name[:100]!r} is no name for a branch", field=field)
    return name


def revision(name: str, field: str = "revision") -> str:
    """Something that git may know as a commit."""
    if name.startswith("-") or re.search(r"[\x00-\x1f\x7f]", name) or len(name) > 1000:
        raise SteadError("invalid", f"{field}: {name[:100]!r} cannot be a revision", field=field)
    return name


def remote(name: str) -> str:
    """The name of a remote, not its URL."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}", name) or ".." in name:
        raise SteadError("invalid", f"remote: {name[:100]!r} is no name for a remote", field="remote")
    return name


def paths(given: Sequence[str]) -> list[str]:
    """Of files, relative to the top; they need not exist."""
    for path in given:
        if not path or "\0" in path or path.startswith("/") or ".." in path.split("/") or len(path) > PATH_BYTES:
            raise SteadError("path_invalid", f"{path[:100]!r}: a path below the repository's top is needed")
    return list(given)


def told(path: str) -> str:
    """A path that git told. Git itself makes none that leads out, but an index is a file that anybody may have written."""
    if path.startswith("/") or ".." in path.split("/"):
        raise SteadError("path_outside", "the repository's index names files outside of it")
    return path


def person(given: Person, field: str) -> str:
    """As git writes it: `Name <address>`."""
    for value in (given.name, given.email):
        if not value.strip() or re.search(r"[\x00-\x1f\x7f<>]", value):
            raise SteadError("invalid", f"{field}: a name and an address in one line, without < and >", field=field)
    return f"{given.name.strip()} <{given.email.strip()}>"


def credential(given: Credential) -> Credential:
    """One line each."""
    for field in ("username", "password"):
        value: str = getattr(given, field)
        if (
            not value
            or re.search(r"[\x00\r\n\ud800-\udfff]", value)
            or len(value.encode(errors="replace")) > SECRET_BYTES
        ):
            raise SteadError("invalid", f"credential.{field}: one line of text is needed", field=f"credential.{field}")
    return given


def address(place: Place, url: str) -> Address:
    """http(s), ssh, git, `user@host:path`; file: and plain paths must be inside the workspace."""
    if not url or url.startswith("-") or re.search(r"[\x00-\x1f\x7f]", url) or len(url) > URL_BYTES:
        raise SteadError("invalid", "url: an address or a path is needed", field="url")
    scheme, colon, rest = url.partition("://")
    if not colon:
        if "::" in url:
            raise SteadError("invalid", "url: helpers (`name::address`) are not started", field="url")
        return Address(url, "") if _SCP.fullmatch(url) else _inside(place, url)
    if scheme == "file":
        return _inside(place, rest)
    if scheme not in _FAR or " " in url:
        raise SteadError("invalid", f"url: file, git, http, https or ssh is needed, not {scheme[:20]!r}", field="url")
    return Address(url, host(url) if scheme.startswith("http") else "")


def host(url: str) -> str:
    """`https://example.org:8443`; a URL that has a password, or over HTTP a name, is refused."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise SteadError("invalid", f"url: {error}", field="url") from None
    if "@" in parts.netloc:
        raise SteadError("invalid", "url: give the name and the password as `credential`, not in it", field="url")
    if not parts.hostname:
        raise SteadError("invalid", "url: it has no host", field="url")
    if not _HOST.fullmatch(parts.hostname):
        raise SteadError("invalid", "url: its host has characters that no host has", field="url")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}{port}"


def _inside(place: Place, path: str) -> Address:
    """A URL, not a path: for a path git would share files with the other repository, and ignore the depth."""
    return Address(f"file://{quote(place.directory(path))}", "")
