"""From a shell: `stead exec` beside `ssh` with a kept-open master, and how fast `stead --help` answers."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.report import Row, median, ms

TIMES = 25
STEAD = str(Path(sys.executable).parent / "stead")


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """The two take turns."""
    ours: list[float] = []
    ssh: list[float] = []
    async with bench.workspace() as workspace:
        exec_argv = [STEAD, "exec", workspace.id, "--", "true"]
        with peers.sshd() as sshd:
            master = _ssh(sshd)
            subprocess.run([*master, "true"], check=True, stdin=subprocess.DEVNULL)
            for _ in range(TIMES):
                ours.append(_seconds(exec_argv, bench.server.environment))
                ssh.append(_seconds([*master, "true"], None))
            subprocess.run([*master[:-1], "-O", "exit", master[-1]], check=False, capture_output=True)
    yield Row(
        what="`stead exec` from a shell; peer: ssh over a kept master",
        ours=ms(median(ours)),
        peer=ms(median(ssh)),
        ratio=median(ours) / median(ssh),
        aim="under 120 ms",
        met=median(ours) < 0.120,
    )
    help_seconds = median([_seconds([STEAD, "--help"], None) for _ in range(TIMES)])
    python = median([_seconds([sys.executable, "-c", "pass"], None) for _ in range(TIMES)])
    yield Row(
        what="`stead --help`; peer: an empty Python program",
        ours=ms(help_seconds),
        peer=ms(python),
        aim="under 150 ms",
        met=help_seconds < 0.150,
    )


def _ssh(sshd: peers.Sshd) -> list[str]:
    return ["ssh", "-p", *ssh_options(sshd), f"{sshd.user}@127.0.0.1"]


def ssh_options(sshd: peers.Sshd) -> list[str]:
    """The port and what ssh and scp both need to use one kept master connection."""
    options = {
        "ControlMaster": "auto",
        "ControlPath": str(sshd.key.parent / "master"),
        "ControlPersist": "60",
        "UserKnownHostsFile": str(sshd.known_hosts),
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
    }
    argv = [str(sshd.port), "-F", "none", "-i", str(sshd.key)]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    return argv


def _seconds(argv: list[str], environment: dict[str, str] | None) -> float:
    start = time.perf_counter()
    subprocess.run(argv, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
