"""Inside one virtual machine, in one run: our guest and qemu-ga, each on a virtio-serial port of its own.

The machine boots under software emulation, so both are slow; what counts is the ratio. qemu-ga is this system's own, with its
libraries, laid over the machine's first file system.
"""

import gzip
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from benchmarks.report import MissingError, Row, median, ms, timed
from stead.protocol.errors import SteadError
from stead.sdk.guest.client import GuestClient, connect
from stead.sdk.guest.link import GuestLink
from support import engines, machines

PORT = "org.qemu.guest_agent.0"
ROUNDS = 5
EXECS = 5
READS = 3
SIZE = 2**20
FILE = "/tmp/measured"
EXEC_AIM = 10.0
READ_AIM = 50.0
BOOT = 80.0
INITTAB = f"""{machines.INITTAB.format(command=" ".join(machines.command()))}::respawn:/etc/qemu-ga
"""
START = f"""#!/bin/sh
export PATH=/bin
for port in /sys/class/virtio-ports/*; do
  if [ "$(cat $port/name)" = {PORT} ]; then
    mkdir -p /tmp/qemu-ga
    exec /usr/sbin/qemu-ga -m virtio-serial -p /dev/${{port##*/}} -t /tmp/qemu-ga -f /tmp/qemu-ga/pid
  fi
done
sleep 1
"""


async def rows() -> AsyncIterator[Row]:
    """Commands over the guest protocol; reads over the framed link, which qemu-ga has nothing like."""
    for engine in ("qemu", "qemu-ga"):
        if why := engines.why_missing(engine):
            raise MissingError(why)
    with tempfile.TemporaryDirectory(prefix="stead-machine-") as name:
        folder = Path(name)
        image = await anyio.to_thread.run_sync(build, folder)
        socket = folder / "qemu-ga.sock"
        with machines.Machine(folder, image, port(socket)) as machine:
            await answered(machine.socket, "stead")
            await answered(socket, "qemu-ga")
            async with connect(socket, "qemu-ga") as theirs:
                async with connect(machine.socket, "stead") as ours:
                    yield faster("exec of `true`", EXEC_AIM, *await execs(ours, theirs))
                async with GuestLink(machine.socket) as link:
                    yield faster("a file of 1 MiB read", READ_AIM, *await reads(link, theirs))


async def execs(ours: GuestClient, theirs: GuestClient) -> tuple[float, float]:
    """The medians of both, in turns."""
    mine: list[float] = []
    peer: list[float] = []
    for _ in range(ROUNDS):
        mine += await timed(lambda: ours.exec("/bin/true"), EXECS, warm=1)
        peer += await timed(lambda: theirs.exec("/bin/true"), EXECS, warm=1)
    return median(mine), median(peer)


async def reads(link: GuestLink, theirs: GuestClient) -> tuple[float, float]:
    """The medians of both, in turns."""
    content = bytes(range(256)) * (SIZE // 256)
    await link.toolbox.write(FILE, content)
    mine: list[float] = []
    peer: list[float] = []

    async def linked() -> None:
        assert b"".join([piece async for piece in link.toolbox.download(FILE)]) == content

    async def bridged() -> None:
        assert await theirs.read(FILE) == content

    for _ in range(ROUNDS):
        mine += await timed(linked, READS, warm=1)
        peer += await timed(bridged, READS, warm=1)
    return median(mine), median(peer)


def faster(what: str, aim: float, ours: float, peer: float) -> Row:
    """The plan wants the peer to take so many times as long."""
    return Row(
        what=f"{what} in a virtual machine (emulated), median; peer: qemu-ga",
        ours=ms(ours),
        peer=ms(peer),
        ratio=ours / peer,
        aim=f"{aim:.0f} times faster",
        met=peer >= aim * ours,
    )


async def answered(socket: Path, speaks: str) -> None:
    """Waits until the one behind this socket answers."""
    until = time.monotonic() + BOOT
    while True:
        try:
            async with connect(socket, speaks) as client:
                with anyio.fail_after(5):
                    await client.ping()
            return
        except (SteadError, TimeoutError, OSError):
            if time.monotonic() > until:
                raise
            await anyio.sleep(0.2)


def port(socket: Path) -> list[str]:
    """The machine's second port."""
    chardev = f"socket,id=qga,path={socket},server=on,wait=off"
    return ["-chardev", chardev, "-device", f"virtserialport,chardev=qga,name={PORT}"]


def build(folder: Path) -> Path:
    """The image of the tests, and behind it a second archive that the kernel unpacks over the first."""
    guest = folder / "guest"
    machines.builder().build(guest)
    image = machines.image(folder, guest)
    over = folder / "over"
    program = engines.which("qemu-ga")
    assert program is not None
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for file in re.findall(r"(/\S+) \(0x", told):
        put(over, file, Path(file))
    put(over, "/usr/sbin/qemu-ga", Path(program))
    for name, content in (("inittab", INITTAB), ("qemu-ga", START)):
        (over / "etc").mkdir(exist_ok=True)
        (over / "etc" / name).write_text(content)
        (over / "etc" / name).chmod(0o755)
    names = "\n".join(str(path.relative_to(over)) for path in sorted(over.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=over, input=names.encode(), capture_output=True, check=True
    ).stdout
    with image.open("ab") as file:
        file.write(gzip.compress(packed, 1))
    return image


def put(root: Path, at: str, source: Path) -> None:
    """One file, its links followed, where it is looked for."""
    target = root / at.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source.resolve(), target)
