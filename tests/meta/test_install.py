"""What is installed without the extra `server` works without it."""

import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from support.repository import ROOT

MODULES = ("stead.sdk.client", "stead.sdk.sync", "stead.cli.entry", "stead.node.daemon", "stead.guest.holder")
IMPORT_NAMES = {"argon2-cffi": "argon2"}


def server_only() -> list[str]:
    """How the packages that only the extra brings are imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [Requirement(text).name for text in project["optional-dependencies"]["server"]]
    return [IMPORT_NAMES.get(name, name) for name in names]


@pytest.mark.parametrize("module", MODULES)
def test_imports_without_the_libraries_of_the_server(module: str) -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({server_only()!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
