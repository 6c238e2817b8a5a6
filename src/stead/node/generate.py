"""Writes docs/node-settings.md from the types of the settings.

Contract: `python -m stead.node.generate` writes; with `--check` it only compares and says that the page is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from stead.drivers.scripted.script import Script
from stead.node.settings import PREFIX, TABLES, NodeSettings

PAGE = Path(__file__).parents[3] / "docs" / "node-settings.md"

_HEAD = """<!-- Generated from the types by `make generate`; do not edit. -->
# Settings of a node

`stead node join` writes `node.toml` into the node's data folder; `stead node run --config FILE` reads another. Over the file
come environment variables. Unknown keys are refused, and every mistake is told at once. The node of `stead up` has a table
in the [settings of the server](settings.md).

| setting | variable | default | what |
|---|---|---|---|
"""

_SCRIPTED = """
## The scripted driver

A fake for tests and demonstrations: workspaces that are slow, fail, never get ready, die or lose their channel. Its options
are the table `[options.scripted]`, with `stead up --mode scripted` the table `[node.options.scripted]`. A workspace may bring
its own as JSON in its environment variable `STEAD_SCRIPT`. Zero is never; times are in seconds, rates from 0 to 1.

| option | default | what |
|---|---|---|
"""


def page() -> str:
    """docs/node-settings.md"""
    settings = [
        f"| `{name}` | {_code('' if name in TABLES else PREFIX + name.upper())} | {_code(value)} | {words} |"
        for name, value, words in _fields(NodeSettings(url=""))
    ]
    script = [f"| `{name}` | {_code(value)} | {words} |" for name, value, words in _fields(Script())]
    return _HEAD + "\n".join(settings) + "\n" + _SCRIPTED + "\n".join(script) + "\n"


def main(args: list[str]) -> int:
    """Writes or compares the page."""
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    if args == ["--check"]:
        print("stale: docs/node-settings.md (run `make generate`)", file=sys.stderr)
        return 1
    PAGE.write_text(page())
    print("wrote docs/node-settings.md")
    return 0


def _fields(table: msgspec.Struct) -> list[tuple[str, Any, str]]:
    hints = get_type_hints(type(table), include_extras=True)
    return [
        (name, getattr(table, name), next(m.description for m in reversed(hint.__metadata__) if m.description))
        for name, hint in hints.items()
    ]


def _code(value: Any) -> str:
    if value in ("", [], {}):
        return ""
    if isinstance(value, list):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{msgspec.json.encode(value).decode()}`".replace('"', "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
