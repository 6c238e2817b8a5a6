"""Writes what is generated from the API: its description, TypeScript types, and the tables of errors, settings and limits.

Contract: `python -m stead.control.http.generate` writes; with `--check` it only compares and names what is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from stead.control.http import openapi, typescript
from stead.control.http.api import build_api
from stead.control.http.limits import FIXED, Limits
from stead.control.settings import EmbeddedNode, ServerSettings, variables
from stead.protocol.errors import TABLE

ROOT = Path(__file__).parents[4]
_NOTE = "<!-- Generated from the types by `make generate`; do not edit. -->\n"


def description() -> str:
    """web/src/api/openapi.json"""
    described = openapi.description(build_api(Limits().body_bytes))
    return msgspec.json.format(msgspec.json.encode(described, order="sorted"), indent=2).decode() + "\n"


def errors() -> str:
    """docs/errors.md"""
    rows = [f"| `{code}` | {row.status} | {'yes' if row.retry else 'no'} | {row.hint} |" for code, row in TABLE.items()]
    head = [
        "# Errors",
        "",
        "Every error, over the API and on every link, has one shape: `{code, message, hint, details}`; an HTTP answer",
        'wraps it as `{"error": {...}, "request_id": "..."}`. A command that fails is a result, not an error.',
        "",
        "| code | HTTP | retry | what to do |",
        "|---|---|---|---|",
    ]
    return _NOTE + "\n".join([*head, *rows]) + "\n"


def settings() -> str:
    """docs/settings.md"""
    names = variables()
    head = [
        "# Settings of the server",
        "",
        "From a TOML file (`--config`), over it environment variables, over them flags. Unknown keys are refused, and every",
        "mistake is told at once. `[limits]` has a page of its own: [limits](limits.md). Lists are written",
        "`one,two` in variables, tables `name=value,name=value`.",
        "",
        "| setting | variable | default | what |",
        "|---|---|---|---|",
    ]
    rows = [
        f"| `{name}` | {_default(names.get(name, ''))} | {_default(value)} | {words} |"
        for name, value, words in [*_fields(ServerSettings(), ""), *_fields(EmbeddedNode(), "node.")]
        if words
    ]
    return _NOTE + "\n".join([*head, *rows]) + "\n"


def limits() -> str:
    """docs/limits.md"""
    head = [
        "# Limits of the server",
        "",
        "What can be set is a field of `[limits]` in the settings, or `STEAD_LIMITS_...`. Limits of the wire are in",
        "[protocol.md](protocol.md).",
        "",
        "| limit | default | what |",
        "|---|---|---|",
    ]
    rows = [f"| `{name}` | {_default(value)} | {words} |" for name, value, words in _fields(Limits(), "limits.")]
    fixed = ["", "Not to be changed:", "", "| limit | value | what |", "|---|---|---|"]
    fixed += [f"| {name} | {value} | {words} |" for name, value, words in FIXED]
    return _NOTE + "\n".join([*head, *rows, *fixed]) + "\n"


FILES: dict[str, Callable[[], str]] = {
    "web/src/api/openapi.json": description,
    "web/src/api/types.ts": typescript.types,
    "docs/errors.md": errors,
    "docs/settings.md": settings,
    "docs/limits.md": limits,
}


def main(args: list[str]) -> int:
    """Writes or compares every file."""
    check = args == ["--check"]
    stale = 0
    for name, make in FILES.items():
        file, text = ROOT / name, make()
        if file.exists() and file.read_text() == text:
            continue
        stale += 1
        if check:
            print(f"stale: {name} (run `make generate`)", file=sys.stderr)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            print(f"wrote {name}")
    return 1 if check and stale else 0


def _fields(table: msgspec.Struct, prefix: str) -> list[tuple[str, Any, str]]:
    hints = get_type_hints(type(table), include_extras=True)
    found: list[tuple[str, Any, str]] = []
    for field, hint in hints.items():
        words = [meta.description for meta in getattr(hint, "__metadata__", ()) if getattr(meta, "description", None)]
        found.append((prefix + field, getattr(table, field), words[-1] if words else ""))
    return found


def _default(value: Any) -> str:
    if value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return (
        f"`{value:g}`"
        if isinstance(value, float) and value < 1e6
        else f"`{value:.0f}`"
        if isinstance(value, float)
        else f"`{value}`"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
