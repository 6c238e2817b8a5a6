"""TypeScript types of the API, from the same structs.

Contract: `types() -> str` is a module of interfaces, one for each request and answer; every field that the server always
sends is required.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from stead.api import types as api

_HEAD = "// Generated from the API's types by `make generate`; do not edit.\n"
_REF = "#/"


def types() -> str:
    """The whole module."""
    structs = [
        kind
        for _, kind in inspect.getmembers(api, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__module__ == api.__name__ and kind not in (api.Body, api.Answer)
    ]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REF + "{name}")
    always = {kind.__name__ for kind in structs if not issubclass(kind, api.Body)}
    parts = [_declare(name, schemas[name], always=name in always) for name in sorted(schemas)]
    return _HEAD + "\n" + "\n".join(parts)


def _declare(name: str, schema: dict[str, Any], *, always: bool) -> str:
    words = schema.get("description", "").strip()
    comment = f"/** {words} */\n" if words else ""
    if "enum" in schema:
        return f"{comment}export type {name} = {_type(schema)};\n"
    required = set(schema.get("required", []))
    fields = [
        f"  {field}{'' if always or field in required else '?'}: {_type(each)};"
        for field, each in schema.get("properties", {}).items()
    ]
    return "\n".join([f"{comment}export interface {name} {{", *fields, "}\n"])


def _type(schema: dict[str, Any]) -> str:
    if ref := schema.get("$ref"):
        return str(ref.removeprefix(_REF))
    if options := schema.get("anyOf"):
        return " | ".join(sorted((_type(each) for each in options), key="null".__eq__))
    if values := schema.get("enum"):
        return " | ".join(msgspec.json.encode(value).decode() for value in values)
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object":
        return f"Record<string, {_type(schema.get('additionalProperties') or {})}>"
    return {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}.get(
        str(kind), "unknown"
    )
