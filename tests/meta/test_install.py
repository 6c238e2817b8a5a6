"""What is installed works: without the extra `server` what needs none of it, and from a wheel all of it."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement

from stead.testing.server import Server
from support.cli import Cli
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


built_app = pytest.mark.skipif(
    not (ROOT / "web/dist/index.html").exists(), reason="the web app is not built: make setup"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make wheel` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment that has this wheel, and of the checkout only the other libraries."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    programs = folder / "bin"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(programs / "python"),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        str(wheel),
    )
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@built_app
def test_an_installed_wheel_serves_the_web_app_and_runs_commands(installed: Path, tmp_path: Path) -> None:
    where = run(str(installed / "python"), "-c", "import stead; print(stead.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    server = Server(tmp_path)
    try:
        server.start([str(installed / "stead"), "up"])
        with httpx2.Client(base_url=server.url, trust_env=False) as browser:
            page = browser.get("/")
            scripts = re.findall(r'src="(/assets/[^"]+\.js)"', page.text)
            assert scripts, page.text
            assert browser.get(scripts[0]).headers["content-type"].startswith("text/javascript")
        cli = Cli(server.environment, str(installed / "stead"))
        cli.ok("ws", "create", "first")
        assert cli.ok("exec", "first", "--", "echo", "from a wheel") == "from a wheel\n"
    finally:
        server.stop()


@built_app
def test_a_source_distribution_has_the_web_app_and_what_packs_it(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path), cwd=ROOT)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"web/dist/index.html", "scripts/pack_web.py", "src/stead/__init__.py"} <= names


def run(*argv: str, cwd: Path | None = None) -> str:
    """Runs a program that must succeed; what it says."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
