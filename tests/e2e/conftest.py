"""What the tests of the command line share: one Stead, and a workspace in it."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from stead.testing.cluster import Cluster
from support.cli import Cli, in_process


@pytest.fixture(scope="session")
def cli(cluster: Cluster) -> Cli:
    return Cli(cluster.environment)


@pytest.fixture(scope="session", params=["kept", "own process"])
def both(request: pytest.FixtureRequest, cli: Cli, cluster: Cluster) -> Cli:
    """Once through the kept process, once without."""
    if request.param != "kept":
        return in_process(cli)
    if sys.platform != "linux":
        pytest.skip("the kept process needs Linux")
    cluster.until((cluster.data / "keeper.sock").exists, "the kept process is there")
    return cli


@pytest.fixture(scope="module")
def work(cli: Cli, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A running workspace of the test file's own."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    made: dict[str, Any] = cli.json("ws", "create", name)
    yield made
    cli.ok("ws", "rm", made["id"])
