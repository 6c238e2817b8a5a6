"""What a download leaves beside its target, what of it is whose, and a source that changes meanwhile."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from stead.cli import singles
from stead.cli.output import Output
from stead.cli.progress import Progress
from stead.guest.config import SOCKET
from stead.protocol.errors import SteadError
from stead.sdk.guest.link import GuestLink
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.trees.contract import Fingerprint
from support.guests import GuestProcess

LONG = "\u65e5" * 85


def fingerprint(etag: str) -> Fingerprint:
    return Fingerprint(path="x", existed=True, size=1, etag=etag)


def test_only_what_is_left_of_other_versions_goes(tmp_path: Path) -> None:
    """A name that begins like another is another's."""
    parts = {name: singles._part(tmp_path / name, fingerprint("new")) for name in ("data", "data.tar", "data.tar.gz")}
    old = [singles._part(tmp_path / name, fingerprint("old")) for name in parts]
    for part in [*parts.values(), *old]:
        part.write_bytes(b"half")
    assert singles._part(tmp_path / "data", fingerprint("new")) == parts["data"]
    assert set(tmp_path.iterdir()) == {*parts.values(), *old[1:]}


@pytest.mark.parametrize("name", [LONG, "x" * 255, "[a]*?", "\udcff" * 100])
def test_whatever_the_target_is_called_there_is_a_name_for_what_comes(tmp_path: Path, name: str) -> None:
    part = singles._part(tmp_path / name, fingerprint("new"))
    part.write_bytes(b"half")
    assert singles._part(tmp_path / name, fingerprint("newer")) != part
    assert not part.exists()


class Shrinking(LocalToolbox):
    """A file becomes shorter after it was looked at, before it is read."""

    def download(self, path: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        os.truncate(f"{self.place.root.path}/{path}", 3)
        return super().download(path, offset, length)


@pytest.mark.anyio
async def test_a_file_that_shrinks_meanwhile_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_bytes(b"0123456789")
    target = tmp_path / "target"
    target.write_bytes(b"old")
    async with opened(tmp_path / "root", tmp_path / "run", make=Shrinking) as toolbox:
        with Progress(Output(), "f") as progress, pytest.raises(SteadError, match="changed") as caught:
            await singles.fetch(cast("Any", toolbox), "f", target, progress)
    assert caught.value.code == "precondition_failed"
    assert target.read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["root", "run", "target"]


class Growing(Progress):
    """Whenever a piece is counted, there is more of the file."""

    def __init__(self, file: Path) -> None:
        super().__init__(Output(), file.name)
        self._file = file

    def add(self, count: int) -> None:
        with self._file.open("ab") as file:
            file.write(b"one more line\n")
        super().add(count)


@pytest.mark.anyio
async def test_a_file_that_grows_while_it_is_sent_is_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "guest").mkdir()
    with GuestProcess(tmp_path / "guest") as guest:
        async with GuestLink(guest.run / SOCKET) as link:
            for size in (1000, singles.RESUME_BYTES + 1000):
                source = tmp_path / f"log-{size}"
                source.write_bytes(bytes(size))
                with Growing(source) as progress:
                    await singles.send(link.toolbox, str(source), "log", parents=False, progress=progress)
                assert (guest.root / "log").read_bytes() == bytes(size)
            with Progress(Output(), "status") as progress:
                await singles.send(link.toolbox, "/proc/self/status", "status", parents=False, progress=progress)
            assert b"Pid:" in (guest.root / "status").read_bytes()
