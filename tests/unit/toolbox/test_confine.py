"""Confined paths, with the kernel's resolution and with the walk: both judge alike."""

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stead.protocol.errors import TABLE, SteadError
from stead.toolbox import confine
from stead.toolbox.confine import Root

FLAGS = os.O_RDONLY | confine.QUIET


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """`root` with files and links, and a secret beside it."""
    root = tmp_path / "root"
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "e" / "f").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "rootlike").mkdir()
    links = {
        "rel": "d/e",
        "abs": str(root / "d"),
        "up": "..",
        "deep/up": "../../secret",
        "out": str(tmp_path / "secret"),
        "etc": "/etc",
        "loop": "loop",
        "a": "b",
        "b": "a",
        "dangling": "d/new",
        "d/back": "../d/e/f",
        "around": "../root/d/e/f",
        "sibling": str(tmp_path / "rootlike"),
    }
    (root / "deep").mkdir()
    for name, target in links.items():
        (root / name).symlink_to(target)
    return root


@pytest.fixture(params=[True, False], ids=["kernel", "walk"])
def root(request: pytest.FixtureRequest, place: Path) -> Iterator[Root]:
    found = Root(place, kernel=request.param)
    if request.param and not found.kernel:
        pytest.skip("this kernel has no openat2")
    yield found
    found.close()


def _read(root: Root, path: str) -> bytes:
    descriptor = root.open(path, FLAGS)
    try:
        confine.regular(descriptor, path)
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "path",
    ["d/e/f", "./d//e/./f", "d/../d/e/f", "rel/f", "abs/e/f", "d/back", "d/e/../../rel/f", "rel/../e/f"],
)
def test_what_stays_inside_opens(root: Root, path: str) -> None:
    assert _read(root, path) == b"inside"
    assert _read(root, f"{root.path}/{path}") == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../secret",
        "d/../../secret",
        "up/secret",
        "deep/up",
        "out",
        "etc/passwd",
        "/etc/passwd",
        "/",
        "around",
        "sibling",
        "d/e/../../../secret",
        "/../etc/passwd",
    ],
)
def test_what_leads_out_does_not(root: Root, path: str) -> None:
    with pytest.raises(SteadError) as found:
        root.open(path, FLAGS)
    assert found.value.code == "path_outside"
    with pytest.raises(SteadError) as found, root.locate(f"{path}/x", follow=False):
        pass
    assert found.value.code in {"path_outside", "not_directory"}


def test_a_sibling_that_shares_the_prefix_is_outside(root: Root) -> None:
    with pytest.raises(SteadError) as found:
        root.open(f"{root.path}like", FLAGS)
    assert found.value.code == "path_outside"


@pytest.mark.parametrize("path", ["loop", "a", "loop/x", "b/x"])
def test_loops_end(root: Root, path: str) -> None:
    with pytest.raises(SteadError) as found:
        root.open(path, FLAGS)
    assert found.value.code == "path_invalid"


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 256, "d/" * 2100, "\ud800"])
def test_paths_that_are_none(root: Root, path: str) -> None:
    with pytest.raises(SteadError) as found:
        root.open(path, FLAGS)
    assert found.value.code == "path_invalid"


def test_a_link_is_followed_to_what_is_not_there_yet(root: Root, place: Path) -> None:
    with root.locate("dangling", follow=True) as at:
        assert at.name == "new"
        os.close(os.open(at.name, os.O_CREAT | os.O_WRONLY, dir_fd=at.directory))
    assert (place / "d" / "new").exists()
    with root.locate("dangling", follow=False) as at:
        assert at.name == "dangling"


@pytest.mark.parametrize("path", ["d/back", "abs", "dangling", "out"])
def test_a_last_name_that_may_be_no_link_is_none(root: Root, path: str) -> None:
    with pytest.raises(SteadError) as found:
        root.open(path, FLAGS | os.O_NOFOLLOW)
    assert found.value.code == "path_invalid"
    os.close(root.open("rel/f", FLAGS | os.O_NOFOLLOW))


def test_special_files_never_block(root: Root, place: Path) -> None:
    os.mkfifo(place / "pipe")
    with pytest.raises(SteadError) as found:
        _read(root, "pipe")
    assert found.value.code == "not_file"


def test_closing_leaves_no_descriptors(place: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for kernel in (True, False):
        root = Root(place, kernel=kernel)
        for path in ("d/e/f", "rel/f", "../x", "loop", "nothing/x", "deep/up"):
            for follow in (True, False):
                try:
                    root.locate(path, follow=follow).close()
                    os.close(root.open(path, FLAGS))
                except SteadError:
                    continue
        root.close()
        root.close()
    assert len(list(Path("/dev/fd").iterdir())) == before


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    names=st.lists(st.sampled_from(["..", ".", "", "d", "e", "f", "rel", "abs", "up", "out", "etc", "deep", "a", "x"]))
)
def test_kernel_and_walk_judge_alike(place: Path, names: list[str]) -> None:
    path = "/".join(names)
    answers = []
    for kernel in (True, False):
        root = Root(place, kernel=kernel)
        try:
            descriptor = root.open(path, FLAGS)
            found = os.fstat(descriptor)
            answers.append(f"{found.st_dev}:{found.st_ino}")
            assert found.st_ino != (place.parent / "secret").stat().st_ino
            os.close(descriptor)
        except SteadError as error:
            assert error.code in TABLE
            answers.append(error.code)
        finally:
            root.close()
    assert answers[0] == answers[1] or {answers[0], answers[1]} <= {
        "path_outside",
        "not_found",
        "not_directory",
        "path_invalid",
    }


@pytest.mark.parametrize("kernel", [True, False])
def test_a_race_of_links_never_leads_out(place: Path, kernel: bool) -> None:
    """A directory that turns into a link to the outside and back, while it is read through."""
    root = Root(place, kernel=kernel)
    (place.parent / "e").mkdir()
    (place.parent / "e" / "f").write_bytes(b"outside")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            (place / "d").rename(place / "d2")
            (place / "d").symlink_to("..")
            (place / "d").unlink()
            (place / "d2").rename(place / "d")

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(1500):
            try:
                assert _read(root, random.choice(["d/e/f", "rel/f", "d/../d/e/f"])) == b"inside"
            except SteadError as error:
                assert error.code in {"path_outside", "not_found", "not_directory", "path_invalid", "unavailable"}
    finally:
        stop.set()
        thread.join()
        root.close()


def test_a_path_is_told_as_what_it_leads_to(root: Root) -> None:
    """`..` after a link is what is above the link's target, and not what the text says."""
    told = {
        "rel/../x": "d/x",
        "abs/../y": "y",
        "d/e/../e/f": "d/e/f",
        "no/../d/./e": "d/e",
        "rel/f": "rel/f",
        "d/..": ".",
    }
    assert {path: root.relative(path) for path in told} == told
    assert root.relative(f"{root.path}/rel/../x") == "d/x"
    for path in ("../x", "up/../secret", "sibling/../secret", "d/../../x"):
        with pytest.raises(SteadError) as refused:
            root.relative(path)
        assert refused.value.code == "path_outside"
