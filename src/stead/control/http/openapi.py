"""The API's description, completed: what the framework leaves out or gets wrong.

Contract: `description(api) -> dict` is OpenAPI 3.1 with our error shape, credentials, closed request bodies, the headers that
routes share, the media types of what flows, and the operations of the toolbox as it declares them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from stead.api import toolbox, types
from stead.api.toolbox import declared
from stead.control.http.guards import ANYONE, NEEDS, PUBLIC
from stead.control.http.limits import KEY_CHARACTERS
from stead.control.http.sse import MEDIA_TYPE
from stead.protocol.errors import Fault

_METHODS = ("get", "put", "post", "patch", "delete")
_REF = "#/components/schemas/"
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_EVENTS = {MEDIA_TYPE: {"schema": {"type": "string"}}}
_FLOWS: dict[str, dict[str, Any]] = {
    "readFile": {"200": _BYTES, "206": _BYTES},
    "followExec": {"200": _EVENTS},
    "followLog": {"200": _EVENTS},
    "watchFiles": {"200": _EVENTS},
}
_EXTRA: dict[str, dict[str, Any]] = {
    "health": {"503": {"application/json": {"schema": {"$ref": f"{_REF}HealthAnswer"}}}},
    "readFile": {"304": {}},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and request again: the same answer, one effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS, "pattern": "^[!-~]+$"},
}


def description(api: Litestar) -> dict[str, Any]:
    """The whole document."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(api.openapi_schema.to_schema()))
    document["info"]["description"] = (
        "One self-hosted control plane for workspaces. Errors have one shape and one table."
    )
    document["security"] = [{"token": []}, {"session": []}]
    components = document["components"]
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "stead_session"},
    }
    _add_errors(components["schemas"])
    _close_bodies(components["schemas"])
    components["schemas"] |= declared().schemas
    rights = _rights(api)
    for path in document["paths"].values():
        for method in _METHODS:
            if method in path:
                _complete(path[method], method, rights[path[method]["operationId"]])
    return document


def _rights(api: Litestar) -> dict[str, str]:
    """What each operation needs."""
    handlers = [handler for route in api.routes for handler in getattr(route, "route_handlers", [])]
    ours = [handler for handler in handlers if isinstance(handler, HTTPRouteHandler) and NEEDS in handler.opt]
    return {str(handler.operation_id): str(handler.opt[NEEDS]) for handler in ours}


def _add_errors(schemas: dict[str, Any]) -> None:
    _, found = msgspec.json.schema_components([types.ErrorAnswer, Fault], ref_template=_REF + "{name}")
    schemas |= {name: _plain(schema) for name, schema in found.items()}


def _close_bodies(schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        kind = getattr(types, name, None)
        if isinstance(kind, type) and issubclass(kind, types.Body):
            schema["additionalProperties"] = False


def _complete(operation: dict[str, Any], method: str, right: str) -> None:
    name = operation["operationId"]
    operation.pop("deprecated", None)
    operation["responses"].pop("400", None)
    for status, content in {**_FLOWS.get(name, {}), **_EXTRA.get(name, {})}.items():
        given = operation["responses"].setdefault(status, {"description": "What was asked for."})
        if content:
            given["content"] = content
    error = {"application/json": {"schema": {"$ref": f"{_REF}ErrorAnswer"}}}
    operation["responses"]["default"] = {"description": "An error of the table (docs/errors.md).", "content": error}
    if right == PUBLIC:
        operation["security"] = []
    elif right != ANYONE:
        operation["description"] = f"{operation.get('description', '')} Needs the right `{right}`.".strip()
    if method == "post" and right != PUBLIC:
        operation.setdefault("parameters", []).append(_KEY)
    if (asked := declared().operations.get(name)) is not None:
        _complete_toolbox(operation, asked, declared().schemas[asked.params])
    if name == "writeFile":
        operation["requestBody"] = {"required": True, "content": _BYTES}


def _complete_toolbox(operation: dict[str, Any], asked: toolbox.Operation, params: dict[str, Any]) -> None:
    """What the workspace takes and answers."""
    operation["summary"] = asked.about
    content = {"application/json": {"schema": {"$ref": f"{_REF}{asked.params}"}}}
    operation["requestBody"] = {"required": bool(params["required"]), "content": content}
    operation["responses"]["200"]["content"] = {"application/json": {"schema": {"$ref": f"{_REF}{asked.result}"}}}


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items()}
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema
