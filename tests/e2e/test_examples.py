"""Every example runs against a real server, as a user runs it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.testing.server import Server
from support.repository import ROOT, short

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all examples."""
    server = Server(tmp_path_factory.mktemp("examples"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("example", EXAMPLES, ids=short)
def test_example_runs(example: Path, server: Server) -> None:
    done = subprocess.run(
        [sys.executable, str(example)],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout, "an example shows something"


def test_every_example_is_listed() -> None:
    listed = (ROOT / "examples/README.md").read_text()
    assert [example.name for example in EXAMPLES if example.name not in listed] == []
