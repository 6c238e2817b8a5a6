"""What a download leaves beside its target, and what of it is whose."""

from pathlib import Path

import pytest

from stead.cli import singles
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
