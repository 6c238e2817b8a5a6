"""Inside one virtual machine, in one run: our guest and qemu-ga, each on a virtio-serial port of its own.

The machine boots under software emulation, so both are slow; what counts is the ratio. qemu-ga is this system's own, with its
libraries, laid over the machine's first file system. It is asked as fast as its protocol sensibly allows: for the end of a
program at once and then every millisecond (libvirt's users poll far less often), for a file in pieces of 1 MiB (its own
choice would be 4 KiB).

What bounds the ratio: every answer costs one passage through the port and one turn of the program behind it, which the row of
the bare ping shows, and a command costs what the machine needs to make and end a process, whoever asks. qemu-ga pays the
passage twice at least; it can pay ten times only where it is polled with pauses. A file costs the passage of its bytes
through the port, which both share; base64 and one request for each piece are all that can be saved.
"""

import gzip
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio

from benchmarks.report import MissingError, Row, median, ms, timed
from stead.protocol.errors import SteadError
from stead.sdk.guest.client import GuestClient, connect
from stead.sdk.guest.link import GuestLink
from support import engines, machines

PORT = "org.qemu.guest_agent.0"
ROUNDS = 8
FEW_ROUNDS = 3
EXECS = 5
READS = 3
SIZE = 2**20
FILE = "/tmp/measured"
MANY = 100
LARGE = 64 << 20
ANSWER = 15.0
POLL = 0.001
"""Seconds between two questions to qemu-ga about a program that still runs."""
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
                    yield beside("a bare ping", *await pings(ours, theirs))
                    yield faster("exec of `true`", EXEC_AIM, *await execs(ours, theirs))
                    yield beside(f"{MANY} execs of `true` at once", *await bursts(ours, theirs))
                async with GuestLink(machine.socket) as link:
                    yield faster("a file of 1 MiB read", READ_AIM, *await reads(link, theirs, SIZE, ROUNDS, READS))
                    yield beside("a file of 64 MiB read", *await reads(link, theirs, LARGE, FEW_ROUNDS, 1))


async def pings(ours: GuestClient, theirs: GuestClient) -> tuple[float, float]:
    """The medians of both, in turns: what nothing can be faster than."""
    return await in_turns(ours.ping, theirs.ping, ROUNDS, EXECS)


async def execs(ours: GuestClient, theirs: GuestClient) -> tuple[float, float]:
    """The medians of both, in turns."""

    async def mine() -> None:
        await ours.exec("/bin/true")

    async def peer() -> None:
        await ended(theirs, await begun(theirs))

    return await in_turns(mine, peer, ROUNDS, EXECS)


async def bursts(ours: GuestClient, theirs: GuestClient) -> tuple[float, float]:
    """Many at once: ours as the client lets them go, qemu-ga's all begun and then asked for one after the other."""

    async def mine() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(MANY):
                group.start_soon(ours.exec, "/bin/true")

    async def peer() -> None:
        for pid in [await begun(theirs) for _ in range(MANY)]:
            await ended(theirs, pid)

    return await in_turns(mine, peer, FEW_ROUNDS, 1)


async def begun(guest: GuestClient) -> int:
    """A program that qemu-ga has started."""
    asked = {"path": "/bin/true", "capture-output": True}
    return int((await guest.call("guest-exec", asked, ANSWER))["pid"])


async def ended(guest: GuestClient, pid: int) -> None:
    """Until qemu-ga says that it is over."""
    while not (await guest.call("guest-exec-status", {"pid": pid}, ANSWER))["exited"]:
        await anyio.sleep(POLL)


async def reads(link: GuestLink, theirs: GuestClient, size: int, rounds: int, times: int) -> tuple[float, float]:
    """The medians of both, in turns."""
    content = bytes(range(256)) * (size // 256)
    await link.toolbox.upload(FILE, pieces(content))

    async def mine() -> None:
        assert b"".join([piece async for piece in link.toolbox.download(FILE)]) == content

    async def peer() -> None:
        assert await theirs.read(FILE) == content

    return await in_turns(mine, peer, rounds, times)


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """What an upload takes."""
    for start in range(0, len(content), SIZE):
        yield content[start : start + SIZE]


async def in_turns(
    ours: Callable[[], Awaitable[object]], theirs: Callable[[], Awaitable[object]], rounds: int, times: int
) -> tuple[float, float]:
    """The medians of both; each has its turn in every round, so that a busy moment of the machine meets both."""
    mine: list[float] = []
    peer: list[float] = []
    for _ in range(rounds):
        mine += await timed(ours, times, warm=1)
        peer += await timed(theirs, times, warm=1)
    return median(mine), median(peer)


def faster(what: str, aim: float, ours: float, peer: float) -> Row:
    """The plan wants the peer to take so many times as long."""
    return beside(what, ours, peer, f"{aim:.0f} times faster", met=peer >= aim * ours)


def beside(what: str, ours: float, peer: float, aim: str = "", *, met: bool | None = None) -> Row:
    """One row; what the peer is asked is told in its name."""
    return Row(
        what=f"{what} in a virtual machine (emulated), median; peer: qemu-ga{asked(what)}",
        ours=ms(ours),
        peer=ms(peer),
        ratio=ours / peer,
        aim=aim,
        met=met,
    )


def asked(what: str) -> str:
    """How qemu-ga is asked, for the row."""
    if "exec" in what:
        return ", asked for the end at once and then every millisecond"
    return ", in pieces of 1 MiB" if "file" in what else ""


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
