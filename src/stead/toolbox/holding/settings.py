"""What the holder is told, in one JSON file of version 1.

Contract: `load(file)` raises ValueError that names the field. The fields: `workspace_id`, `root` (the files as seen inside),
`run` (the run directory as seen inside), and optionally `environment` (of every exec), `isolation`, `limits`, `generation`,
`toolbox` (`local` or `scripted`), `running`, `kept`, `log_bytes`, `total_log_bytes`, `detach_seconds`, and `guest`, an object
that only the guest reads. Unknown fields are ignored, so that newer drivers can add.
"""

from __future__ import annotations

import json
import os
import pwd

from stead.toolbox.holding.spawn import DEFAULT_PATH

WORKSPACE_MARK = "STEAD_WORKSPACE_ID"
"""In the environment of every exec."""
RUNNING = 64
"""Execs at once."""
KEPT = 200
"""Finished execs that are kept."""
TOTAL_LOG_BYTES = 1 << 30
"""Output of finished execs that is kept in all; the newest one's always is."""
LOG_BYTES = 64 << 20
"""Output kept of one exec."""
DETACH_SECONDS = 120.0
"""How long a foreground exec lives with nobody attached."""


class Settings:
    """As read, with defaults; `environment` is complete: what an exec gets before its own."""

    def __init__(self, value: object) -> None:
        fields = _object(value)
        if fields.get("version", 1) != 1:
            raise ValueError("version: only 1 is known")
        self.workspace_id = _text(fields, "workspace_id")
        self.root = _absolute(fields, "root")
        self.run = _absolute(fields, "run")
        self.isolation = _text(fields, "isolation", "none")
        self.limits = _texts(fields.get("limits", []), "limits")
        self.generation = int(_number(fields, "generation", 1))
        self.running = int(_number(fields, "running", RUNNING))
        self.kept = int(_number(fields, "kept", KEPT))
        self.log_bytes = int(_number(fields, "log_bytes", LOG_BYTES))
        self.total_log_bytes = int(_number(fields, "total_log_bytes", TOTAL_LOG_BYTES))
        self.toolbox = _text(fields, "toolbox", "local")
        self.detach_seconds = float(_number(fields, "detach_seconds", DETACH_SECONDS))
        self.guest = _object(fields.get("guest", {}))
        self.environment = {**_base(self.root), **_environment(fields.get("environment", {}))}


def load(file: str) -> Settings:
    """Reads the file."""
    with open(file, "rb") as opened:
        return Settings(json.load(opened))


def _base(root: str) -> dict[str, str]:
    """Made here from nothing, so that nothing of the machine's or the node's environment comes along."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = "user"
    return {
        "HOME": root,
        "PATH": DEFAULT_PATH,
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "USER": user,
        "LOGNAME": user,
    }


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("the settings are not a JSON object")
    return value


def _text(fields: dict[str, object], name: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name}: a text is needed")
    return value


def _absolute(fields: dict[str, object], name: str) -> str:
    value = _text(fields, name)
    if not value.startswith("/"):
        raise ValueError(f"{name}: an absolute path is needed")
    return value


def _number(fields: dict[str, object], name: str, default: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name}: a number from 0 on is needed")
    return value


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name}: a list of texts is needed")
    return value


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError("environment: an object of texts is needed")
    return value
