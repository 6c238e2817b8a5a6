"""One standalone guest for all tests here, and one machine that is on while its tests run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import machines
from support.machines import Machine


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
