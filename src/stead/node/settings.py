"""The node's settings: from defaults, a TOML file, STEAD_NODE_* variables and flags, the later over the earlier.

Contract: `load(file, environment, flags) -> NodeSettings` raises SteadError "invalid" that names every mistake at once.
The file has the fields of `NodeSettings` at its top level; tables `[labels]`, `[environment]` and `[options.<driver>]`.
"""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from stead.drivers import registry
from stead.protocol.errors import SteadError

PREFIX = "STEAD_NODE_"
TABLES = {"labels", "environment", "options"}


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that can be set."""

    url: Annotated[str, Meta(description="The control plane, http(s)://host:port.")]
    data: Annotated[str, Meta(description="The folder of everything that lasts; the node's own is `node` inside.")] = (
        "~/.local/share/stead"
    )
    name: Annotated[str, Meta(description="The node's name; empty: the machine's host name.")] = ""
    labels: Annotated[dict[str, str], Meta(description="Labels, for placement.")] = {}
    max_workspaces: Annotated[int, Meta(ge=0, description="How many workspaces it takes; 0: no limit.")] = 0
    drivers: Annotated[list[str], Meta(min_length=1, description="The drivers to offer, the preferred first.")] = (
        msgspec.field(default_factory=lambda: ["process"])
    )
    options: Annotated[dict[str, dict[str, Any]], Meta(description="Options of drivers, one table each.")] = {}
    environment: Annotated[dict[str, str], Meta(description="Variables that every workspace gets.")] = {}
    enrol_token_file: Annotated[str, Meta(description="A private file with the single-use enrolment token.")] = ""
    tls_ca: Annotated[
        str, Meta(description="An authority, or the server's own certificate, to trust besides the system's (PEM).")
    ] = ""
    at_once: Annotated[int, Meta(ge=1, le=1000, description="How many commands run at the same time.")] = 16
    start_seconds: Annotated[float, Meta(gt=0, description="The longest a start may take, setup included.")] = 900.0
    stop_grace: Annotated[float, Meta(ge=0, description="How long processes may take to end when asked.")] = 10.0
    shutdown_seconds: Annotated[float, Meta(gt=0, description="How long the node waits for running commands.")] = 20.0
    watch_seconds: Annotated[float, Meta(gt=0, description="How often it looks at its workspaces.")] = 2.0
    orphan_seconds: Annotated[float, Meta(gt=0, description="How often it looks for things nobody knows.")] = 60.0
    reconnect_seconds: Annotated[float, Meta(gt=0, description="The longest pause between tries to connect.")] = 30.0
    keep_days: Annotated[float, Meta(gt=0, description="How long ended commands stay in the journal.")] = 7.0

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).expanduser().absolute()

    @property
    def state(self) -> Path:
        """The node's own folder."""
        return self.folder / "node"

    @property
    def link_url(self) -> str:
        """Where nodes connect."""
        return "ws" + self.url.removeprefix("http").rstrip("/") + "/api/v1/nodes/connect"

    @property
    def enrol_url(self) -> str:
        return self.url.rstrip("/") + "/api/v1/nodes/enrol"

    @property
    def display_name(self) -> str:
        """The name, or one made of the host name that is a valid name."""
        return self.name or re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")[:63] or "node"


def load(
    file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> NodeSettings:
    """The settings, or every mistake at once."""
    problems: list[str] = []
    values = _from_file(file, problems) | _from_environment(environment or {}, problems)
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    hints = get_type_hints(NodeSettings, include_extras=True)
    good = {name: _convert(name, value, hints, problems) for name, value in values.items()}
    if "url" not in values:
        problems.append("url: is missing (the control plane's address)")
    _check(good, problems)
    if problems:
        raise SteadError("invalid", "settings: " + "; ".join(problems))
    return msgspec.convert(good, NodeSettings)


def _from_file(file: Path | None, problems: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        problems.append(f"{file.name}: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file.name}: {error}")
    return {}


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in TABLES:
            problems.append(f"{variable}: {name} can only be set in the file")
        else:
            found[name] = [word.strip() for word in text.split(",")] if name == "drivers" else text
    return found


def _convert(name: str, value: Any, hints: Mapping[str, Any], problems: list[str]) -> Any:
    if name not in hints:
        problems.append(f"{name}: is not a setting")
        return None
    try:
        return msgspec.convert(value, hints[name], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        problems.append(f"{name}: {error}")
        return None


def _check(values: Mapping[str, Any], problems: list[str]) -> None:
    """What types do not tell."""
    if isinstance(url := values.get("url"), str):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            problems.append("url: must be http://host:port or https://host")
        if parts.username or parts.password or parts.query:
            problems.append("url: must not carry credentials")
    unknown = [name for name in values.get("drivers") or [] if name not in registry.known()]
    problems += [f"drivers: {name!r} is not a driver; there are: {', '.join(registry.known())}" for name in unknown]
