"""What is generated from the API: fresh, whole, and true."""

import json

from stead.api import types
from stead.control.http import generate, typescript
from stead.control.http.api import PREFIX, ROUTES
from stead.protocol.errors import TABLE


def test_nothing_is_stale() -> None:
    assert generate.main(["--check"]) == 0


def test_every_route_is_described() -> None:
    document = json.loads(generate.description())
    described = {
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method in {"get", "put", "post", "patch", "delete"}
    }
    assert described == {handler.operation_id for handler in ROUTES} - {"describeApi"}
    assert all(path.startswith(PREFIX) for path in document["paths"])


def test_requests_are_closed_and_errors_have_one_shape() -> None:
    document = json.loads(generate.description())
    schemas = document["components"]["schemas"]
    assert schemas["WorkspaceCreate"]["additionalProperties"] is False
    for path in document["paths"].values():
        for operation in path.values():
            schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
            assert "400" not in operation["responses"]


def test_every_error_is_in_the_table() -> None:
    text = generate.errors()
    assert all(f"`{code}`" in text for code in TABLE)


def test_every_type_reaches_typescript() -> None:
    text = typescript.types()
    for name in ("Workspace", "WorkspaceCreate", "ErrorAnswer", "Fault", "Observed", "FileStat"):
        assert f"export interface {name} " in text or f"export type {name} " in text
        assert hasattr(types, name)
    assert "  state: Observed;" in text
    assert "  node_id: string | null;" in text
