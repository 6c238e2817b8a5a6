"""What is installed without the extra `server` works without it."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from support.repository import ROOT, tracked

MODULES = ("stead.sdk.client", "stead.sdk.sync", "stead.cli.entry", "stead.node.daemon", "stead.guest.holder")
UNNAMED = {
    "asyncpg": "by the address of the database",
    "greenlet": "by SQLAlchemy",
    "httptools": "by uvicorn",
    "uvloop": "by uvicorn",
}
"""Libraries that no line of ours imports, and how they come into use."""


def server_only() -> list[str]:
    """The packages that only the extra brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text).name for text in project["optional-dependencies"]["server"]]


@pytest.mark.parametrize("module", MODULES)
def test_imports_without_the_libraries_of_the_server(module: str) -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({server_only()!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_library_that_is_asked_for_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["server"]
    names = {Requirement(text).name for text in asked} - UNNAMED.keys()
    code = "\n".join(path.read_text() for path in tracked("src/*.py", "src/**/*.py"))
    assert {name for name in names if not re.search(rf"^\s*(import|from) {name}\b", code, re.MULTILINE)} == set()
