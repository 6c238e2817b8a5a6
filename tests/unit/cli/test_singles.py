"""What a download leaves beside its target, what of it is whose, and a source that changes meanwhile."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from stead.cli import singles
from stead.cli.output import Output
from stead.cli.progress import Progress
from stead.protocol.errors import SteadError
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.trees.contract import Fingerprint

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
