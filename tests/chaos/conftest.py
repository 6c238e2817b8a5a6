"""What the chaos tests share: a Stead of their own, since it is killed, and what must hold afterwards."""

from collections.abc import Iterator

import pytest

from stead.testing.cluster import Cluster
from support.aftermath import Aftermath


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Stead that other tests do not share."""
    with Cluster(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture
def aftermath(cluster: Cluster) -> Aftermath:
    return Aftermath(cluster)
