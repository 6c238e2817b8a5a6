"""The repository's own promises: no machine in it, locks that fit, one version, parts of a readable size."""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import stead
from support.repository import ROOT, short, tracked

LONGEST_FUNCTION = 60
HOSTS = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "deb." + "debian.org")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|Users/\w+|home/(?!agent\b|user\b)\w+)/")
PYTHON = tracked("src/*.py", "src/**/*.py")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, Version]:
    """The pinned versions of a requirements file."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    pins = [line.split(";")[0].rstrip(" \\").split("==") for line in lines if re.match(r"[a-z0-9]", line)]
    return {pin[0]: Version(pin[1].strip()) for pin in pins}


def unmet(wanted: list[str], lock: dict[str, Version]) -> list[str]:
    requirements = [Requirement(text) for text in wanted]
    return [
        str(item)
        for item in requirements
        if item.name not in lock or not item.specifier.contains(lock[item.name], prereleases=True)
    ]


def test_no_file_names_a_registry_or_a_machine() -> None:
    guilty = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if any(host in text for host in HOSTS) or MACHINE_PATH.search(text):
            guilty.append(short(path))
    assert guilty == []


def test_the_version_is_one() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == project()["project"]["version"] == stead.__version__


def test_locks_fit_what_the_project_asks_for() -> None:
    asked, groups = project()["project"], project()["dependency-groups"]
    runtime = asked["dependencies"] + asked["optional-dependencies"]["server"]
    assert unmet(runtime, locked("base")) == []
    assert unmet(runtime + groups["dev"], locked("dev")) == []
    assert unmet(runtime + groups["bench"], locked("bench")) == []
    assert unmet(asked["dependencies"] + groups["fuzz"], locked("fuzz")) == []


def test_locks_agree_with_each_other() -> None:
    base, dev, bench = locked("base"), locked("dev"), locked("bench")
    assert {name for name in base if dev.get(name) != base[name]} == set()
    assert {name for name in bench.keys() & dev.keys() if dev[name] != bench[name]} == set()


@pytest.mark.parametrize("name", ["base", "dev", "bench", "fuzz", "tools"])
def test_every_pin_has_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements" / f"{name}.txt").read_text().strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", ["httpx", "pytest-asyncio"])
def test_banned_packages_are_not_asked_for(name: str) -> None:
    asked, groups = project()["project"], project()["dependency-groups"]
    extras = asked["optional-dependencies"]["server"]
    assert name not in {Requirement(text).name for text in asked["dependencies"] + extras + groups["dev"]}


def test_the_npm_lock_fits_and_names_no_host() -> None:
    wanted = json.loads((ROOT / "web/package.json").read_text())
    lock = json.loads((ROOT / "web/package-lock.json").read_text())
    root = lock["packages"][""]
    for kind in ("dependencies", "devDependencies"):
        assert root.get(kind, {}) == wanted.get(kind, {})
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    hashed = {name: entry for name, entry in packages.items() if not entry.get("inBundle") and not entry.get("link")}
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in hashed.items() if "integrity" not in entry] == []


def test_every_package_says_what_belongs_there() -> None:
    folders = {
        parent
        for path in PYTHON
        for parent in path.parents
        if parent != ROOT / "src" and ROOT / "src" in parent.parents
    }
    silent = [short(folder) for folder in sorted(folders) if not docstring(folder / "__init__.py")]
    assert silent == []


def test_every_module_states_its_contract() -> None:
    assert [short(path) for path in PYTHON if not docstring(path)] == []


def test_no_function_is_too_long_to_read() -> None:
    long = []
    for path in PYTHON:
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{short(path)}::{node.name} has {lines} lines")
    assert long == []


def docstring(path: Path) -> str:
    """The module's docstring, empty where there is none or no file."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "") if path.is_file() else ""
