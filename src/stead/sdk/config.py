"""Where the control plane is and with which credential: the one place that decides.

Contract: `resolve(...) -> Target`. What is given wins over the environment (`STEAD_URL`, `STEAD_TOKEN`), that over a data
directory named by `STEAD_DATA`, that over the saved login, and that over the server of this machine (`server.json` and
`cli.token` in the default data directory). A token is only ever used with the address it belongs to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from stead.protocol.errors import SteadError

DEFAULT_URL = "http://127.0.0.1:7300"

T = TypeVar("T")


class Target(msgspec.Struct, frozen=True):
    """An address and a credential (empty: none), and where they were found."""

    url: str
    token: str
    source: str


class Login(msgspec.Struct, frozen=True):
    """A saved credential for one address."""

    token: str
    user: str = ""


class Logins(msgspec.Struct):
    """The file of saved logins."""

    current: str = ""
    logins: dict[str, Login] = {}


class LocalServer(msgspec.Struct):
    """`server.json`, written by a running server into its data directory."""

    url: str
    pid: int = 0


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the server of this machine keeps its data."""
    if given := environ.get("STEAD_DATA"):
        return Path(given).expanduser()
    base = environ.get("XDG_DATA_HOME") or f"{_home(environ)}/.local/share"
    return Path(base) / "stead"


def login_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where logins are saved."""
    base = environ.get("XDG_CONFIG_HOME") or f"{_home(environ)}/.config"
    return Path(base) / "stead" / "logins.json"


def resolve(url: str = "", token: str = "", data: str | Path = "", environ: Mapping[str, str] = os.environ) -> Target:
    """The control plane to use; without any hint the default address and no credential."""
    if url or (not data and environ.get("STEAD_URL")):
        address = check_url(url or environ["STEAD_URL"])
        return Target(address, token or _token_for(address, environ), "the address given")
    if token := token or ("" if data else environ.get("STEAD_TOKEN", "")):
        found = _without_address(data, environ)
        return Target(found.url, token, found.source)
    return _without_address(data, environ)


def load_logins(environ: Mapping[str, str] = os.environ) -> Logins:
    """The saved logins; none when there is no file."""
    return _load(login_file(environ), Logins) or Logins()


def save_login(url: str, login: Login, environ: Mapping[str, str] = os.environ) -> Path:
    """Saves and makes it the current one; readable by this user only."""
    saved = load_logins(environ)
    saved.logins[url] = login
    saved.current = url
    return _store(saved, environ)


def forget_login(url: str, environ: Mapping[str, str] = os.environ) -> bool:
    """True when there was one."""
    saved = load_logins(environ)
    found = saved.logins.pop(url, None) is not None
    if saved.current == url:
        saved.current = ""
    if found:
        _store(saved, environ)
    return found


def local_server(data: Path) -> LocalServer | None:
    """The server that runs (or ran) on this data directory."""
    return _load(data / "server.json", LocalServer)


def local_token(data: Path) -> str:
    """The token that only this user can read; empty when there is none."""
    try:
        return (data / "cli.token").read_text().strip()
    except OSError:
        return ""


def check_url(url: str) -> str:
    """The address in its one form, or "invalid"."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise SteadError("invalid", f"not an address: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SteadError("invalid", "an address looks like http://127.0.0.1:7300 or https://stead.example")
    if parts.username is not None or parts.query or parts.fragment:
        raise SteadError("invalid", "an address carries no credential, query or fragment; use STEAD_TOKEN")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else _plain(parts.hostname)
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _plain(host: str) -> str:
    """A name as the wire has it; one of other letters in its own form of ASCII."""
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise SteadError("invalid", f"not an address: {error}") from None


def _without_address(data: str | Path, environ: Mapping[str, str]) -> Target:
    if data or environ.get("STEAD_DATA"):
        return _local(Path(data).expanduser() if data else data_directory(environ)) or Target(
            DEFAULT_URL, "", "default"
        )
    saved = load_logins(environ)
    if login := saved.logins.get(saved.current):
        return Target(saved.current, login.token, "saved login")
    return _local(data_directory(environ)) or Target(DEFAULT_URL, "", "default")


def _local(data: Path) -> Target | None:
    server = local_server(data)
    return Target(check_url(server.url), local_token(data), f"server of {data}") if server else None


def _token_for(url: str, environ: Mapping[str, str]) -> str:
    if token := environ.get("STEAD_TOKEN"):
        return token
    if login := load_logins(environ).logins.get(url):
        return login.token
    local = _local(data_directory(environ))
    return local.token if local and local.url == url else ""


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or str(Path("~").expanduser())


def _load(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SteadError("invalid", f"cannot read {path}: {error}") from error


def _store(logins: Logins, environ: Mapping[str, str]) -> Path:
    path = login_file(environ)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(logins), indent=2))
    fresh.replace(path)
    return path
