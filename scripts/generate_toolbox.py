"""Writes, or with --check compares, what the API tells of the toolbox: `src/stead/api/toolbox.json`.

Every operation of every area with what it does, how long it may take, and the schemas of its params and its result. The
control plane, which knows no toolbox, makes routes and their description of it.
"""

import ast
import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from stead.toolbox.areas import AREAS

FILE = Path(__file__).parent.parent / "src/stead/api/toolbox.json"
REF = "#/components/schemas/"


def operations() -> dict[str, Any]:
    """The whole file."""
    found: dict[str, Any] = {"operations": {}, "schemas": {}}
    for area in AREAS:
        contract = import_module(f"stead.toolbox.{area}.contract")
        about = told(contract)
        for name, operation in contract.OPERATIONS.items():
            kinds = (operation.params, operation.result)
            (params, result), schemas = msgspec.json.schema_components(kinds, ref_template=f"{REF}{area}.{{name}}")
            found["operations"][name] = {
                "about": about.get(name, one_line(operation.params.__doc__ or "").partition(": ")[2]),
                "seconds": operation.seconds,
                "params": params["$ref"].removeprefix(REF),
                "result": result["$ref"].removeprefix(REF),
            }
            found["schemas"] |= {f"{area}.{kind}": schema for kind, schema in schemas.items()}
    return found


def told(contract: ModuleType) -> dict[str, str]:
    """What the first method of the face that asks for an operation says of it."""
    tree = ast.parse(inspect.getsource(contract))
    names = {key: value.name for key, value in vars(contract).items() if hasattr(value, "seconds")}
    about: dict[str, str] = {}
    for method in (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)):
        used = [node.id for node in ast.walk(method) if isinstance(node, ast.Name) and node.id in names]
        if used and (words := ast.get_docstring(method)):
            about.setdefault(names[used[0]], one_line(words))
    return about


def one_line(text: str) -> str:
    """Words without line breaks."""
    return re.sub(r"\s+", " ", text).strip()


def main(args: list[str]) -> int:
    """Writes or compares."""
    text = json.dumps(operations(), indent=1, ensure_ascii=False) + "\n"
    if FILE.exists() and FILE.read_text() == text:
        return 0
    if args == ["--check"]:
        print(f"stale: {FILE.name} (run `make generate`)", file=sys.stderr)
        return 1
    FILE.write_text(text)
    print(f"wrote {FILE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
