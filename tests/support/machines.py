"""Real virtual machines under QEMU, with Debian's cloud kernel. Two kinds of root: a static busybox and our standalone guest,
nothing else; or a minimal Debian with systemd, into which our package was installed.

Software emulation, so that it runs anywhere; a machine answers some ten seconds after its start, with systemd half a minute.
The channel is a virtio-serial port, on this side a unix socket that takes one client at a time.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio

from stead.protocol.errors import SteadError
from stead.sdk.guest.client import GuestClient, connect, who
from support.deadline import PATIENCE, eventually
from support.repository import ROOT

KERNEL = ROOT / ".engines" / "kernel"
"""Where `make engines` unpacks it."""
DEBIAN = ROOT / ".engines" / "debian.tar"
"""The root that `make engines` makes."""
DISK_MIB = 512
MODULES = ("virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_modern_dev", "virtio/virtio_pci_legacy_dev")
LATER_MODULES = ("virtio/virtio_pci", "char/virtio_console")
PORT = "org.kvmmanager.agent.0"
BOOT_SECONDS = 300.0
MEMORY = "512"

SETUP = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in $(cat /lib/modules/order); do insmod /lib/modules/$module; done
hostname machine
ip link set lo up
"""
ONTO_DISK = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /lib/modules/order); do /bin/busybox insmod /lib/modules/$module; done
until /bin/busybox mount -t ext4 /dev/vda /root; do /bin/busybox usleep 50000; done
exec /bin/busybox switch_root /root /sbin/init
"""
INITTAB = """::sysinit:/etc/setup
::respawn:{command} serve
::shutdown:/bin/sync
"""
COMMAND = "{at}/lib/ld.so --library-path {at}/lib --argv0 {at}/bin/python3 {at}/bin/python3 -IOO -m stead.guest"
GUEST = "/opt/stead-guest"


def command(at: str = GUEST) -> list[str]:
    """Starts the standalone guest in this folder without anything of the image."""
    return COMMAND.format(at=at).split()


@cache
def builder() -> Any:
    """`scripts/guest.py`."""
    spec = importlib.util.spec_from_file_location("guest_builder", ROOT / "scripts" / "guest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kernel() -> Path | None:
    """The newest one there is."""
    found = sorted(KERNEL.glob("boot/vmlinuz-*"))
    return found[-1] if found else None


def busybox() -> str | None:
    """One that needs no library."""
    found = shutil.which("busybox")
    if found is None:
        return None
    told = subprocess.run(["ldd", found], capture_output=True, text=True, check=False)
    return found if "not a dynamic executable" in told.stdout + told.stderr else None


def bare_root(place: Path, guest: Path) -> Path:
    """A root file system with a static busybox and the guest: no C library, no Python of its own."""
    for name in ("bin", "proc", "sys", "dev", "tmp", "run", "opt", "etc", "root"):
        (place / name).mkdir(parents=True)
    program = busybox()
    assert program is not None
    shutil.copy2(program, place / "bin" / "busybox")
    shutil.copytree(guest, place / GUEST.lstrip("/"), symlinks=True)
    return place


def image(place: Path, guest: Path) -> Path:
    """An initial file system for a machine, made in this folder."""
    root = bare_root(place / "root", guest)
    _drivers(root)
    (root / "etc" / "inittab").write_text(INITTAB.format(command=" ".join(command())))
    _program(root / "etc" / "setup", SETUP)
    _program(root / "init", "#!/bin/busybox sh\nexec /bin/busybox init\n")
    return _packed(root, place / "initramfs.gz")


def _drivers(root: Path, *also: str) -> None:
    """The modules that a machine needs, and in which order."""
    modules = root / "lib" / "modules"
    modules.mkdir(parents=True)
    [drivers] = KERNEL.glob("lib/modules/*/kernel/drivers")
    names = (*MODULES, *LATER_MODULES, *also)
    for name in names:
        shutil.copy2(drivers / f"{name}.ko", modules)
    (modules / "order").write_text("\n".join(f"{Path(name).name}.ko" for name in names))


def _program(file: Path, content: str) -> None:
    file.write_text(content)
    file.chmod(0o755)


def _packed(root: Path, target: Path) -> Path:
    line = f"find . | cpio -o -H newc --quiet | gzip -1 > {target}"
    subprocess.run(["sh", "-c", line], cwd=root, check=True)
    shutil.rmtree(root)
    return target


def debian_root(place: Path) -> Path:
    """A minimal Debian with apt and systemd, for root only."""
    place.mkdir(parents=True)
    subprocess.run(["tar", "-xpf", str(DEBIAN), "--numeric-owner", "--exclude=./dev/*", "-C", str(place)], check=True)
    (place / "etc" / "hostname").write_text("debian\n")
    (place / "etc" / "machine-id").write_text(f"{7:032x}\n")
    return place


def debian_with(place: Path, package: Path, where: str) -> Path:
    """One into which apt has installed this package; the package lies there, too."""
    root = debian_root(place)
    shutil.copy2(package, root / where.lstrip("/"))
    inside(root, "apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", "install", where)
    return root


def inside(root: Path, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a program with this folder as its whole system, as its root."""
    done = subprocess.run([*sandbox(root), "--", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{argv}: {done.stdout}{done.stderr}"
    return done


def sandbox(root: Path) -> list[str]:
    """What comes before a program that shall have this folder as its whole system."""
    argv = [*bare_sandbox(root), "--tmpfs", "/run", "--cap-add", "ALL", "--unshare-net"]
    argv += ["--setenv", "DEBIAN_FRONTEND", "noninteractive"]
    return [*argv, "--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"]


def bare_sandbox(root: Path) -> list[str]:
    """The same without capabilities, with this machine's network, and with no variables at all."""
    argv = ["bwrap", "--bind", str(root), "/", "--proc", "/proc", "--dev", "/dev"]
    return [*argv, "--unshare-pid", "--die-with-parent", "--clearenv"]


@contextlib.contextmanager
def serving(argv: Sequence[str], socket: Path) -> Iterator[Path]:
    """Runs a guest, whose socket this is; gives it once the guest is there."""
    process = subprocess.Popen(argv)
    try:
        eventually(lambda: socket.exists() or process.poll() is not None, "the guest is there")
        assert process.poll() is None
        yield socket
    finally:
        process.kill()
        process.wait(PATIENCE)


def disk(place: Path, root: Path) -> tuple[Path, Path]:
    """An initial file system and a disk with this root, made in this folder."""
    first = place / "first"
    for name in ("bin", "dev", "root"):
        (first / name).mkdir(parents=True)
    program = busybox()
    assert program is not None
    shutil.copy2(program, first / "bin" / "busybox")
    _drivers(first, "block/virtio_blk")
    _program(first / "init", ONTO_DISK)
    target = place / "disk.ext4"
    argv = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=1"]
    system = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run([*argv, "-d", str(root), str(target), f"{DISK_MIB}M"], check=True, env=system)
    return _packed(first, place / "initramfs.gz"), target


class Machine:
    """One virtual machine. It is on inside of `with`; it may be started again after its end."""

    def __init__(self, place: Path, image: Path, also: Sequence[str] = (), disk: Path | None = None) -> None:
        """`also` are further arguments of QEMU, such as a second port. With a `disk` it starts again by itself when its
        system does so; what it writes there is forgotten at its end."""
        self.socket = place / "guest.sock"
        self.console = place / "console.log"
        self._image = image
        self._also = [*also, "-no-reboot"]
        if disk is not None:
            self._also = [*also, "-smp", "2", "-drive", f"file={disk},format=raw,if=virtio,snapshot=on"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Switches it on; it boots while you go on."""
        system = kernel()
        assert system is not None
        argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", MEMORY, "-display", "none"]
        argv += ["-monitor", "none", "-nic", "none", "-serial", f"file:{self.console}"]
        argv += ["-kernel", str(system), "-initrd", str(self._image), "-append", "console=ttyS0 panic=-1 quiet"]
        argv += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=guest,path={self.socket},server=on,wait=off"]
        argv += ["-device", f"virtserialport,chardev=guest,name={PORT}", *self._also]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        eventually(self.socket.exists, "the machine is on")

    def off(self, within: float = BOOT_SECONDS) -> bool:
        """Whether it switches itself off in time."""
        assert self._process is not None
        try:
            return self._process.wait(within) == 0
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """Pulls the plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self.socket.unlink(missing_ok=True)

    async def up(self) -> None:
        """Until its guest answers."""
        until = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                await who(self.socket)
                return
            except SteadError:
                assert time.monotonic() < until, self.console.read_text(errors="replace")
                await anyio.sleep(0.2)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[GuestClient]:
        """One for its guest, once that answers."""
        await self.up()
        with anyio.fail_after(BOOT_SECONDS):
            async with connect(self.socket, "stead") as client:
                yield client

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
