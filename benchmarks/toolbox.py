"""What the way into a workspace adds to a call: through SDK, control plane, node and guest, beside the same in process.

Both work on the same files, those of one workspace, and take turns.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.report import Row, median, ms, timed
from stead.sdk.remote import RemoteToolbox
from stead.toolbox.local import LocalToolbox, opened

ROUNDS = 10
EACH = 20
FILES = 200
AIM = 0.002
CONTENT = b"".join(b"line %d of a small file\n" % number for number in range(100))

Face = LocalToolbox | RemoteToolbox
CALLS: dict[str, Callable[[Face], Awaitable[object]]] = {
    "stat": lambda toolbox: toolbox.stat("d/f0.txt"),
    "read": lambda toolbox: toolbox.read("d/f0.txt"),
    "list": lambda toolbox: toolbox.list("d/few"),
    "text.read": lambda toolbox: toolbox.text.read("d/f0.txt", 10, 20),
    "search.names": lambda toolbox: toolbox.search.names("f17", limit=10),
}


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """A row a call, and the middle of all."""
    async with bench.workspace() as workspace:
        home = next(bench.server.data.glob(f"**/workspaces/{workspace.id}/home"))
        fill(home)
        with tempfile.TemporaryDirectory(prefix="stead-toolbox-") as run:
            async with opened(home, run) as local:
                times = {name: await measured(call, workspace.toolbox, local) for name, call in CALLS.items()}
    added = {name: remote - here for name, (remote, here) in times.items()}
    middle = median([*added.values()])
    yield Row(
        what=f"a toolbox call, remote over local: time added, the middle of {', '.join(CALLS)}",
        ours=ms(middle),
        aim="2 ms",
        met=middle <= AIM,
    )
    for name, (remote, here) in times.items():
        yield Row(
            what=f"toolbox call `{name}`, median; beside it: the same call in process", ours=ms(remote), peer=ms(here)
        )


def fill(home: Path) -> None:
    """Small files; a directory of few."""
    (home / "d" / "few").mkdir(parents=True)
    for number in range(FILES):
        (home / "d" / f"f{number}.txt").write_bytes(CONTENT)
    for number in range(10):
        (home / "d" / "few" / f"g{number}").write_bytes(CONTENT)


async def measured(
    call: Callable[[Face], Awaitable[object]], remote: RemoteToolbox, local: LocalToolbox
) -> tuple[float, float]:
    """The medians of both."""
    far: list[float] = []
    near: list[float] = []
    for _ in range(ROUNDS):
        far += await timed(lambda: call(remote), EACH)
        near += await timed(lambda: call(local), EACH)
    return median(far), median(near)
