"""Inside one virtual machine, in one run: our guest and qemu-ga, each on a virtio-serial port of its own.

The machine boots under software emulation, so both are slow; what counts is the ratio. qemu-ga is this system's own, with its
libraries, laid over the machine's first file system. It is asked in two ways:

- as well as its protocol allows: for the end of a program at once and then every millisecond, for a file in pieces of 1 MiB;
- as it is asked where nobody tuned it: for the end of a program once, after 500 ms, as the first of the systems that Stead
  comes from did, and for a file in the pieces of 4 KiB that it gives by itself.

What bounds the ratio in the first way: a command costs what the machine needs to make and end a process, whoever asks, and
that is most of what qemu-ga takes then. A file could pass through the port at some 700 MB/s (a bare `dd`): what remains is
the work of the two programs at its ends.
"""

import base64
import gzip
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
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
PAUSE = 0.5
"""Seconds after which it is asked where nobody tuned it."""
WELL = ", asked for the end at once and then every millisecond"
PLAIN = ", asked for the end after 500 ms"
LARGE_PIECES = ", in pieces of 1 MiB"
OWN_PIECES = ", in its own pieces of 4 KiB"
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
                    yield faster("exec of `true`", PLAIN, EXEC_AIM, *await execs(ours, theirs, PAUSE, 1))
                    yield faster("exec of `true`", WELL, EXEC_AIM, *await execs(ours, theirs, 0, EXECS))
                    yield beside(f"{MANY} execs of `true` at once", *await bursts(ours, theirs), how=WELL)
                async with GuestLink(machine.socket) as link:
                    await filled(link, SIZE)
                    own = await reads(link, lambda: in_own_pieces(theirs), SIZE, FEW_ROUNDS, READS)
                    yield faster("a file of 1 MiB read", OWN_PIECES, READ_AIM, *own)
                    large = await reads(link, lambda: theirs.read(FILE), SIZE, ROUNDS, READS)
                    yield faster("a file of 1 MiB read", LARGE_PIECES, READ_AIM, *large)
                    await filled(link, LARGE)
                    large = await reads(link, lambda: theirs.read(FILE), LARGE, FEW_ROUNDS, 1)
                    yield beside("a file of 64 MiB read", *large, how=LARGE_PIECES)


async def pings(ours: GuestClient, theirs: GuestClient) -> tuple[float, float]:
    """The medians of both, in turns: what nothing can be faster than."""
    return await in_turns(ours.ping, theirs.ping, ROUNDS, EXECS)


async def execs(ours: GuestClient, theirs: GuestClient, pause: float, times: int) -> tuple[float, float]:
    """The medians of both, in turns; qemu-ga is asked for the end after the pause."""

    async def mine() -> None:
        await ours.exec("/bin/true")

    async def peer() -> None:
        number = await begun(theirs)
        await anyio.sleep(pause)
        await ended(theirs, number)

    return await in_turns(mine, peer, ROUNDS, times)


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


async def reads(
    link: GuestLink, theirs: Callable[[], Awaitable[bytes]], size: int, rounds: int, times: int
) -> tuple[float, float]:
    """The medians of both, in turns."""

    async def mine() -> None:
        assert b"".join([piece async for piece in link.toolbox.download(FILE)]) == content(size)

    async def peer() -> None:
        assert await theirs() == content(size)

    return await in_turns(mine, peer, rounds, times)


async def in_own_pieces(theirs: GuestClient) -> bytes:
    """The file as qemu-ga gives it when it is not told how much."""
    handle = await theirs.call("guest-file-open", {"path": FILE}, ANSWER)
    found = b""
    while True:
        piece = await theirs.call("guest-file-read", {"handle": handle}, ANSWER)
        found += base64.b64decode(piece["buf-b64"])
        if piece["eof"]:
            break
    await theirs.call("guest-file-close", {"handle": handle}, ANSWER)
    return found


@cache
def content(size: int) -> bytes:
    """What the file holds."""
    return bytes(range(256)) * (size // 256)


async def filled(link: GuestLink, size: int) -> None:
    """Puts the file there."""
    await link.toolbox.upload(FILE, pieces(content(size)))


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


def faster(what: str, how: str, aim: float, ours: float, peer: float) -> Row:
    """The plan wants the peer to take so many times as long."""
    return beside(what, ours, peer, f"{aim:.0f} times faster", how=how, met=peer >= aim * ours)


def beside(what: str, ours: float, peer: float, aim: str = "", *, how: str = "", met: bool | None = None) -> Row:
    """One row; how the peer is asked is told in its name."""
    return Row(
        what=f"{what} in a virtual machine (emulated), median; peer: qemu-ga{how}",
        ours=ms(ours),
        peer=ms(peer),
        ratio=ours / peer,
        aim=aim,
        met=met,
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
