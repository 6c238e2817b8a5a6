"""Real virtual machines under QEMU: Debian's cloud kernel, a root with a static busybox and our standalone guest, nothing else.

Software emulation, so that it runs anywhere; a machine answers some ten seconds after its start. The channel is a virtio-serial
port, on this side a unix socket that takes one client at a time.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.deadline import PATIENCE, eventually
from support.repository import ROOT

KERNEL = ROOT / ".engines" / "kernel"
"""Where `make engines` unpacks it."""
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
    modules = root / "lib" / "modules"
    modules.mkdir(parents=True)
    [drivers] = KERNEL.glob("lib/modules/*/kernel/drivers")
    for name in (*MODULES, *LATER_MODULES):
        shutil.copy2(drivers / f"{name}.ko", modules)
    order = [f"{Path(name).name}.ko" for name in (*MODULES, *LATER_MODULES)]
    (modules / "order").write_text("\n".join(order))
    (root / "etc" / "inittab").write_text(INITTAB.format(command=" ".join(command())))
    (root / "etc" / "setup").write_text(SETUP)
    (root / "etc" / "setup").chmod(0o755)
    (root / "init").write_text("#!/bin/busybox sh\nexec /bin/busybox init\n")
    (root / "init").chmod(0o755)
    target = place / "initramfs.gz"
    line = f"find . | cpio -o -H newc --quiet | gzip -1 > {target}"
    subprocess.run(["sh", "-c", line], cwd=root, check=True)
    shutil.rmtree(root)
    return target


class Machine:
    """One virtual machine. It is on inside of `with`; it may be started again after its end."""

    def __init__(self, place: Path, image: Path, also: Sequence[str] = ()) -> None:
        """`also` are further arguments of QEMU, such as a second port."""
        self.socket = place / "guest.sock"
        self.console = place / "console.log"
        self._image = image
        self._also = also
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Switches it on; it boots while you go on."""
        system = kernel()
        assert system is not None
        argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", MEMORY, "-display", "none", "-no-reboot"]
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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
