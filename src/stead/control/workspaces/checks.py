"""What may be asked of a new workspace, field by field.

Contract: `check_create(body)` and `check_patch(body)` raise "invalid" and name the field.
"""

from __future__ import annotations

import re

from stead.api.types import WorkspaceCreate, WorkspacePatch
from stead.model.ids import check_name
from stead.protocol.errors import SteadError

LABELS = 64
LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = 255
VARIABLES = 256
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
VARIABLE_BYTES = 32_768
SETUP_LINES = 64
SETUP_BYTES = 8_192
DRIVER = re.compile(r"[a-z][a-z0-9_-]{0,31}")
CPUS = 1024.0
BYTES = 1 << 50
PROCESSES = 1 << 22


def check_create(body: WorkspaceCreate) -> None:
    """The whole request."""
    if body.name:
        check_name(body.name)
    _must(DRIVER.fullmatch(body.driver) is not None, "driver: not the name of a driver")
    check_labels(body.labels, "labels")
    check_labels(body.node_labels, "node_labels")
    _must(0 <= body.cpus <= CPUS, f"cpus: 0 to {CPUS:g}")
    _must(0 <= body.memory_bytes <= BYTES, f"memory_bytes: 0 to {BYTES}")
    _must(0 <= body.processes <= PROCESSES, f"processes: 0 to {PROCESSES}")
    _check_environment(body.environment)
    _check_setup(body.setup)


def check_patch(body: WorkspacePatch) -> None:
    """The whole change."""
    if body.name is not None:
        check_name(body.name)
    if body.labels is not None:
        check_labels(body.labels, "labels")


def check_labels(labels: dict[str, str], field: str) -> None:
    """Keys and values of labels."""
    _must(len(labels) <= LABELS, f"{field}: at most {LABELS}")
    for key, value in labels.items():
        _must(
            LABEL_KEY.fullmatch(key) is not None, f"{field}: a key has 1 to 63 of letters, digits, '.', '_', '/', '-'"
        )
        _must(
            len(value) <= LABEL_VALUE and value.isprintable(), f"{field}: a value has at most 255 printable characters"
        )


def _check_environment(variables: dict[str, str]) -> None:
    _must(len(variables) <= VARIABLES, f"environment: at most {VARIABLES} variables")
    for name, value in variables.items():
        _must(VARIABLE.fullmatch(name) is not None, "environment: a name has letters, digits and '_'")
        _must(
            "\0" not in value and _bytes(value) <= VARIABLE_BYTES, "environment: a value has at most 32 KiB and no NUL"
        )


def _check_setup(lines: list[str]) -> None:
    _must(len(lines) <= SETUP_LINES, f"setup: at most {SETUP_LINES} commands")
    for line in lines:
        _must("\0" not in line and 0 < _bytes(line) <= SETUP_BYTES, "setup: a command has 1 to 8192 bytes and no NUL")


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _must(holds: bool, message: str) -> None:
    if not holds:
        raise SteadError("invalid", message)
