"""The channel of a workspace: paths of any length, links are not followed; both ways that there are."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.drivers.process import sockets
from stead.protocol.errors import SteadError

WAYS = [True, pytest.param(False, marks=pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc"))]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("by_link", WAYS)]


@pytest.fixture(params=["short", "d" * 120])
def listening(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory in which somebody listens at `s`."""
    folder = tmp_path / request.param
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        with contextlib.chdir(folder):
            listener.bind("s")
        listener.listen()
        yield folder


async def test_a_socket_is_reached(listening: Path, by_link: bool) -> None:
    channel = await sockets.connect(listening, "s", by_link=by_link)
    await channel.write(b"hello")
    await channel.close()


async def test_what_is_no_socket_is_not_reached(listening: Path, by_link: bool) -> None:
    (listening / "link").symlink_to(listening / "s")
    (listening / "file").touch()
    for name in ("link", "file", "nothing"):
        with pytest.raises(SteadError) as caught:
            await sockets.connect(listening, name, by_link=by_link)
        assert caught.value.code == "workspace_unreachable"


async def test_without_room_for_one_more_file_it_is_an_error_of_ours(tmp_path: Path, by_link: bool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SteadError, match="open files") as caught:
            await sockets.connect(tmp_path, "s", by_link=by_link)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.code == "workspace_unreachable"
