"""One standalone guest for all tests here, and one machine that is on while its tests run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import machines
from support.machines import Machine
from support.repository import ROOT


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make guest` builds."""
    folder = tmp_path_factory.mktemp("standalone") / "guest"
    machines.builder().build(folder)
    return folder


@pytest.fixture(scope="session")
def image(standalone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machines.image(tmp_path_factory.mktemp("image"), standalone)


@pytest.fixture(scope="module")
def machine(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine"), image) as found:
        yield found


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both, as `make packages` makes them."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "packages.py")], capture_output=True, text=True, check=True
    )
    files = [ROOT / line.partition(": ")[2] for line in done.stdout.splitlines()]
    return {file.suffix.removeprefix("."): file for file in files}
