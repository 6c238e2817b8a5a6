"""The server's settings: from defaults, a TOML file, STEAD_* variables and flags, the later over the earlier.

Contract: `load(file, environment, flags) -> ServerSettings` raises `SettingsError`, which names every mistake at once.
Unknown keys of the file and unknown flags are refused. `docs/settings.md` is generated from the fields.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from stead.control.http.limits import Limits

T = TypeVar("T", bound=msgspec.Struct)
Mode = Literal["local", "remote", "scripted"]
FILE_ONLY = {"options"}
"""Tables of tables have no form as a variable."""


class EmbeddedNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[node]` table: the node that `stead up` runs beside the server."""

    name: Annotated[str, Meta(description="Its name; empty: the machine's host name.")] = ""
    labels: Annotated[dict[str, str], Meta(description="Its labels, for placement.")] = {}
    max_workspaces: Annotated[int, Meta(ge=0, description="How many workspaces it takes; 0: no limit of its own.")] = 0
    options: Annotated[
        dict[str, dict[str, bool | int | float | str | list[str]]],
        Meta(
            description="Options of its drivers, one table each: [node settings](node-settings.md). Only in the file."
        ),
    ] = {}


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that can be set."""

    data: Annotated[str, Meta(description="The folder of everything that lasts.")] = "~/.local/share/stead"
    host: Annotated[str, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The port to listen on; 0: any free one.")] = 7300
    public_url: Annotated[
        str,
        Meta(
            description="How browsers and nodes reach the server; empty: where it listens. With TLS files this machine"
            " comes by it too, for the certificate is for its name."
        ),
    ] = ""
    database_url: Annotated[str, Meta(description="`postgresql://...`, or empty for SQLite in the data folder.")] = ""
    allowed_origins: Annotated[
        list[str], Meta(description="Further origins whose pages may use the API with a browser session.")
    ] = []
    behind_proxy: Annotated[
        bool, Meta(description="Something in front terminates TLS; needed to listen beyond loopback without TLS files.")
    ] = False
    tls_certificate: Annotated[str, Meta(description="Certificate chain file (PEM).")] = ""
    tls_key: Annotated[str, Meta(description="Private key file (PEM).")] = ""
    approve_nodes: Annotated[bool, Meta(description="Newly enrolled nodes wait for an administrator.")] = False
    mode: Annotated[
        Mode,
        Meta(
            description="`local`: an embedded node with the process driver; `scripted`: with the fake; `remote`: none."
        ),
    ] = "local"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="What the log on stderr tells.")
    ] = "info"
    web: Annotated[str, Meta(description="The folder of the built web app; empty: the one that came along.")] = ""
    node: EmbeddedNode = EmbeddedNode()
    limits: Limits = Limits()

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).expanduser().absolute()

    @property
    def secure(self) -> bool:
        """Whether browsers speak https to us."""
        return self.behind_proxy or bool(self.tls_certificate)


class SettingsError(Exception):
    """Everything that is wrong with the settings, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> ServerSettings:
    """The settings, or every mistake in them at once."""
    problems: list[str] = []
    values = _from_file(file, problems) if file is not None else {}
    _merge(values, _from_environment(ServerSettings, "STEAD", environment or {}, problems))
    _merge(values, {name: value for name, value in (flags or {}).items() if value is not None})
    settings = _build(ServerSettings, values, "", problems)
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def variables(table: type[msgspec.Struct] = ServerSettings, prefix: str = "STEAD") -> dict[str, str]:
    """The environment variable of every setting that has one, by its dotted name."""
    found: dict[str, str] = {}
    for field, hint in _hints(table).items():
        name = f"{prefix}_{field.upper()}"
        if _is_table(hint):
            found |= {f"{field}.{key}": value for key, value in variables(hint, name).items()}
        elif field not in FILE_ONLY:
            found[field] = name
    return found


def _from_file(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{file}: {error}")
        return {}


def _from_environment(
    table: type[msgspec.Struct], prefix: str, environment: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field, hint in _hints(table).items():
        name = f"{prefix}_{field.upper()}"
        if _is_table(hint):
            if inner := _from_environment(hint, name, environment, problems):
                values[field] = inner
        elif name in environment and field in FILE_ONLY:
            problems.append(f"{name}: can only be set in the file")
        elif name in environment:
            _take_text(values, field, hint, name, environment[name], problems)
    return values


def _take_text(values: dict[str, Any], field: str, hint: Any, name: str, text: str, problems: list[str]) -> None:
    try:
        values[field] = msgspec.convert(_split(hint, text), hint, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        problems.append(f"{name}: {_plain(error)}")


def _split(hint: Any, text: str) -> Any:
    kind = get_origin(_bare(hint))
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if kind is list:
        return parts
    if kind is not dict:
        return text
    if any("=" not in part for part in parts):
        raise ValueError("expected name=value,name=value")
    return dict(part.split("=", 1) for part in parts)


def _build(table: type[T], values: dict[str, Any], where: str, problems: list[str]) -> T:
    hints = _hints(table)
    problems += [f"{where}{key}: unknown; known: {', '.join(hints)}" for key in values if key not in hints]
    good: dict[str, Any] = {}
    for field, value in values.items():
        if (hint := hints.get(field)) is None:
            continue
        if _is_table(hint) and isinstance(value, dict):
            good[field] = _build(hint, value, f"{where}{field}.", problems)
            continue
        try:
            good[field] = msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            problems.append(f"{where}{field}: {_plain(error)}")
    return table(**good)


def _contradictions(settings: ServerSettings) -> list[str]:
    found: list[str] = []
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        found.append("tls_certificate and tls_key: give both or neither")
    found += [
        f"{name}: no such file" for name in ("tls_certificate", "tls_key") if _is_missing(getattr(settings, name))
    ]
    if not (is_loopback(settings.host) or settings.secure):
        found.append(
            f"host: {settings.host!r} is reachable from other machines; give tls_certificate and tls_key,"
            " or state `behind_proxy = true` when something in front terminates TLS"
        )
    if settings.database_url and not settings.database_url.startswith("postgresql://"):
        found.append("database_url: must start with postgresql://, or be empty for SQLite in the data folder")
    origins = [*settings.allowed_origins, *([settings.public_url] if settings.public_url else [])]
    found += [f"{text!r}: an origin is http(s)://host[:port]" for text in origins if not _is_origin(text)]
    return found


def _is_origin(text: str) -> bool:
    scheme, split, rest = text.partition("://")
    return scheme in {"http", "https"} and bool(split) and bool(rest) and not set(rest) & set("/?#@ *")


def _is_missing(path: str) -> bool:
    return bool(path) and not Path(path).expanduser().is_file()


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        present = values.get(key)
        if isinstance(present, dict) and isinstance(value, Mapping) and key in {"node", "limits"}:
            _merge(present, value)
        else:
            values[key] = value


def _hints(table: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(table, include_extras=True)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _plain(error: Exception) -> str:
    return str(error)[:1].lower() + str(error)[1:]
