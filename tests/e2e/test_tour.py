"""The tour of the README works as written: its own code blocks run, in order, in one shell."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.testing.server import Server
from support.repository import ROOT

PATIENCE = 100


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """What `make up` starts, on a free port."""
    server = Server(tmp_path)
    try:
        yield server
    finally:
        server.stop()


def test_the_tour_works_as_written(server: Server) -> None:
    before, crash, after = blocks()
    server.start()
    begun = run(server, before)
    assert "Linux" in begun or "Darwin" in begun
    assert "me in model" in begun

    killed = server.pid
    run(server, crash)
    server.wait(PATIENCE)
    assert server.health() is None

    server.start()
    assert server.pid != killed
    ended = run(server, after)
    assert "first" in ended
    assert "written before the crash" in ended


def blocks() -> list[str]:
    """The code blocks of the tour."""
    section = re.search(r"^## [^\n]*tour\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


def run(server: Server, script: str) -> str:
    """Runs a block as a person would paste it; every line must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
