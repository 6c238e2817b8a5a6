"""A guest under a policy: places, programs, sizes and times, against links, races, and other names of the same thing."""

import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.contract import Exec, Info
from stead.toolbox.execs import Execs
from stead.toolbox.local import opened
from stead.toolbox.policy import FencedRoot, PolicedToolbox, Policy
from stead.toolbox.watch.contract import WatchFiles

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _toolbox(place: Path, **policy: Any) -> AsyncIterator[PolicedToolbox]:
    rules = Policy(**policy)

    def make(root: Root, execs: Execs, info: Info, environment: Mapping[str, str]) -> PolicedToolbox:
        return PolicedToolbox(FencedRoot("/", rules), execs, info, environment, rules)

    async with opened("/", place / "run", make=make) as toolbox:
        assert isinstance(toolbox, PolicedToolbox)
        yield toolbox


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """May be read: `open`, `note`. May be changed: `drop`. Neither: `secret`, `openly`."""
    for name in ("open", "drop", "secret", "openly"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    (tmp_path / "note").write_text("note")
    (tmp_path / "open" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "drop" / "out").symlink_to(tmp_path / "secret")
    return tmp_path


def _places(place: Path) -> dict[str, tuple[str, ...]]:
    return {
        "read_paths": (str(place / "open"), str(place / "note"), str(place / "missing")),
        "write_paths": (str(place / "drop"), str(place / "later" / "made")),
    }


async def _refused(work: Any, *codes: str) -> None:
    with pytest.raises(SteadError) as caught:
        await work
    assert caught.value.code in (codes or ("refused",))


async def test_reading_only_where_permitted(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        assert (await toolbox.read(f"{place}/open/f")).content == b"open"
        assert (await toolbox.read(f"{place}/note")).content == b"note"
        assert (await toolbox.read(f"{place}/drop/f")).content == b"drop"
        assert [entry.path for entry in (await toolbox.list(f"{place}/open")).entries]
        for path in ("secret/f", "openly/f", "secret", "nothing", "notes", "open/../secret/f", "note/../secret/f", "."):
            await _refused(toolbox.read(f"{place}/{path}"))
            await _refused(toolbox.stat(f"{place}/{path}"))
        await _refused(toolbox.read("/etc/passwd"))
        await _refused(toolbox.read(f"{place}/missing/f"), "not_found")


async def test_links_lead_out_of_nothing(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        await _refused(toolbox.read(f"{place}/open/out/f"), "path_outside")
        await _refused(toolbox.write(f"{place}/drop/out/f", b"x"), "path_outside")
        await _refused(toolbox.delete(f"{place}/drop/out/f"), "path_outside")
    assert (place / "secret" / "f").read_text() == "secret"


async def test_changing_only_where_permitted(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        await toolbox.write(f"{place}/drop/a/b", b"x", parents=True)
        assert (place / "drop" / "a" / "b").read_bytes() == b"x"
        for path in ("open/new", "secret/new", "dropped/new", "open/f"):
            await _refused(toolbox.write(f"{place}/{path}", b"x", parents=True))
            await _refused(toolbox.append(f"{place}/{path}", b"x", parents=True))
            await _refused(toolbox.mkdir(f"{place}/{path}", parents=True))
            await _refused(toolbox.delete(f"{place}/{path}"))
        await _refused(toolbox.move(f"{place}/drop/f", f"{place}/open/g"))
        await _refused(toolbox.move(f"{place}/open/f", f"{place}/drop/g"))
    assert not (place / "dropped").exists()
    assert not (place / "secret" / "new").exists()


async def test_a_permitted_place_is_made_but_nothing_above_it(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        await _refused(toolbox.write(f"{place}/later/made/f", b"x", parents=True), "not_found")
        (place / "later").mkdir()
        await toolbox.write(f"{place}/later/made/sub/f", b"x", parents=True)
    assert (place / "later" / "made" / "sub" / "f").exists()


async def test_a_permitted_place_itself_needs_nothing_above_it(place: Path) -> None:
    (place / "file").touch()
    rules = {"write_paths": (f"{place}/drop", f"{place}/file", f"{place}/new")}
    async with _toolbox(place, **rules) as toolbox:
        await toolbox.write(f"{place}/file", b"x", parents=True)
        await toolbox.append(f"{place}/new", b"x", parents=True)
        assert (await toolbox.mkdir(f"{place}/drop", parents=True)).kind == "directory"
        packed = toolbox.download_tree(f"{place}/open", names=["f"])
        assert (await toolbox.upload_tree(f"{place}/drop", packed)).files == 1
        await _refused(toolbox.write(f"{place}/secret/new", b"x", parents=True))
    assert (place / "file").read_bytes() == (place / "new").read_bytes() == b"x"


async def test_programs_are_judged_by_the_file_they_are(place: Path) -> None:
    (place / "open" / "cat").symlink_to("/bin/true")
    async with _toolbox(place, programs=("cat", "/usr/bin/printf")) as toolbox:
        assert (await toolbox.exec(["cat", "/etc/hostname"])).status.ok
        assert (await toolbox.exec(["/bin/cat", "/etc/hostname"])).status.ok
        assert (await toolbox.exec(["printf", "x"])).stdout == b"x"
        for argv in (["true"], ["/bin/sh", "-c", "cat"], [f"{place}/open/cat"], ["no-such"], ["cat;true"], ["./cat"]):
            await _refused(toolbox.exec(argv))
        await _refused(toolbox.exec(["cat /etc/hostname"], shell=True))


async def test_a_program_is_not_another_one_where_it_is_to_run(place: Path) -> None:
    """What is judged is what runs, wherever the directory and the links on the way lead."""
    here = os.path.relpath("/bin/cat")
    fake = place / "drop" / here.replace("../", "")
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\necho not permitted\n")
    fake.chmod(0o755)
    (place / "drop" / "way").symlink_to("/bin")
    async with _toolbox(place, programs=("cat",)) as toolbox:
        for program in (here, "./cat", "bin/cat"):
            await _refused(toolbox.exec([program, "/etc/hostname"], cwd=str(place / "drop")))
        ran = await toolbox.exec([f"{place}/drop/way/cat", "/proc/self/cmdline"])
        assert ran.stdout.split(b"\0")[0] == (shutil.which("cat") or "").encode()


async def test_a_file_that_is_many_programs_is_only_the_permitted_ones(place: Path) -> None:
    """As in busybox, where `ls` and `sh` are one file."""
    many = place / "many"
    many.write_text("#!/bin/sh\nbasename $0\n")
    many.chmod(0o755)
    for name in ("one", "two"):
        (place / name).symlink_to(many)
    async with _toolbox(place, programs=(f"{place}/one",)) as toolbox:
        assert (await toolbox.exec([f"{place}/one"])).stdout == b"one\n"
        await _refused(toolbox.exec([f"{place}/two"]))
        await _refused(toolbox.exec([str(many)]))


async def test_times_and_sizes(place: Path) -> None:
    async with _toolbox(place, max_exec_seconds=0.5, max_file_bytes=1000) as toolbox:
        await _refused(toolbox.exec(["true"], timeout=1.0))
        assert (await toolbox.exec(["sleep", "60"])).status.state == "timed_out"
        running = await toolbox.start(Exec(argv=["sleep", "60"], background=True))
        assert (await running.wait()).state == "timed_out"
        await toolbox.write(f"{place}/drop/most", bytes(1000))
        await _refused(toolbox.write(f"{place}/drop/more", bytes(1001)), "too_large")
        await _refused(toolbox.write(f"{place}/drop/rights", b"", mode=0o4755))
        await _refused(toolbox.append(f"{place}/drop/most", b"x"), "too_large")
        assert not (place / "drop" / "more").exists()
        os.truncate(place / "open" / "f", 2000)
        await _refused(toolbox.read(f"{place}/open/f"), "too_large")
        await _refused(toolbox.reader(f"{place}/open/f"), "too_large")


async def test_what_cannot_be_held_to_a_policy_is_refused(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        await _refused(toolbox.git.status(str(place / "open")))
        await _refused(toolbox.search.content("x", path=str(place / "open")))
        found = await toolbox.text.read(f"{place}/open/f")
        assert found.content == "open"


@pytest.mark.parametrize("path", ["relative", "/a/../b", ""])
def test_a_policy_names_absolute_places(path: str) -> None:
    with pytest.raises(SteadError) as caught:
        FencedRoot("/", Policy(read_paths=(path,)))
    assert caught.value.code == "invalid"


async def test_sizes_hold_for_trees_and_for_uploads_that_are_kept(place: Path) -> None:
    (place / "open" / "large").write_bytes(bytes(1001))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(place / "open" / "large", "large")

    async def pieces(_: int = 0) -> AsyncIterator[bytes]:
        yield bytes(1001)

    async def whole() -> AsyncIterator[bytes]:
        yield archive.getvalue()

    async with _toolbox(place, max_file_bytes=1000) as toolbox:
        await _refused(toolbox.resume_upload(f"{place}/drop/more", pieces, partial="more"), "too_large")
        await toolbox.transfer.discard("more")
        await _refused(toolbox.upload_tree(f"{place}/drop", whole()), "too_large")
        packed = toolbox.download_tree(f"{place}/open", exclude=["out"])
        told = await toolbox.upload_tree(f"{place}/drop/back", packed)
    assert (told.files, told.left_out) == (1, ["large"])
    assert not (place / "drop" / "large").exists()


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PATH", "BASH_ENV", "PYTHONPATH", "GIT_SSH", "GCONV_PATH", "NODE_OPTIONS", "ANYTHING", "x"]
)
async def test_no_variable_makes_a_permitted_program_run_another(place: Path, name: str) -> None:
    async with _toolbox(place, programs=("printenv",)) as toolbox:
        await _refused(toolbox.exec(["printenv", name], environment={name: f"{place}/open/f"}))
        await _refused(toolbox.exec(["printenv", "LANG"], environment={"LANG": f"{place}/open"}))
        assert (await toolbox.exec(["printenv", "TZ"], environment={"TZ": "UTC"})).stdout == b"UTC\n"


async def test_a_permitted_file_may_be_a_link_for_reading(place: Path) -> None:
    """/etc/os-release is one on most systems, and permitted by default."""
    for name in ("read", "change"):
        (place / name).symlink_to("secret/f")
    (place / "away").symlink_to("/etc/hostname")
    rules = {"read_paths": (f"{place}/read", f"{place}/away"), "write_paths": (f"{place}/change",)}
    async with _toolbox(place, **rules) as toolbox:
        assert (await toolbox.read(f"{place}/read")).content == b"secret"
        assert (await toolbox.read(f"{place}/away")).size
        await _refused(toolbox.read(f"{place}/read/../secret/f"))


async def test_no_watch_where_places_are_restricted(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        with pytest.raises(SteadError, match="watches"):
            toolbox.watching(WatchFiles(path=f"{place}/open"))


async def test_a_file_that_may_be_changed_is_changed_through_no_link(place: Path) -> None:
    (place / "change").symlink_to("secret/f")
    async with _toolbox(place, write_paths=(f"{place}/change",)) as toolbox:
        await _refused(toolbox.write(f"{place}/change", b"x"), "not_file")
        await _refused(toolbox.append(f"{place}/change", b"x"), "path_invalid")
        assert (await toolbox.delete(f"{place}/change")).existed
        await toolbox.write(f"{place}/change", b"x")
    assert (place / "secret" / "f").read_text() == "secret"
    assert (place / "change").read_text() == "x"


async def test_a_directory_that_is_not_permitted_is_a_refusal_and_no_result(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        await _refused(toolbox.exec(["true"], cwd=f"{place}/secret"))
        assert (await toolbox.exec(["true"], cwd=f"{place}/open")).status.ok
        assert (await toolbox.exec(["true"], cwd=f"{place}/open/none")).status.state == "failed"


async def test_names_of_a_tree_that_may_only_be_read(place: Path) -> None:
    async with _toolbox(place, **_places(place)) as toolbox:
        archive = b"".join([piece async for piece in toolbox.download_tree(f"{place}/open", names=["f"])])
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert tar.getnames() == ["f"]

        async def pieces() -> AsyncIterator[bytes]:
            yield archive

        await _refused(toolbox.upload_tree(f"{place}/open", pieces()))
        assert (await toolbox.upload_tree(f"{place}/drop/in", pieces())).files == 1
