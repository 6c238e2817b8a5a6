"""exec of `true` through SDK, control plane, node and guest, beside asyncssh and SWE-ReX over kept-open connections."""

from collections.abc import AsyncIterator

import asyncssh
from swerex.runtime.abstract import Command
from swerex.runtime.remote import RemoteRuntime

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.report import Row, median, ms, p95, timed

ROUNDS = 5
EACH = 100


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """The three take turns, so that a busy moment hits all alike."""
    ours: list[float] = []
    ssh: list[float] = []
    rex: list[float] = []
    async with bench.workspace() as workspace:
        with peers.sshd() as sshd, peers.swerex() as swerex:
            runtime = RemoteRuntime(host="http://127.0.0.1", port=swerex.port, auth_token=swerex.token)
            connect = asyncssh.connect(
                "127.0.0.1",
                sshd.port,
                username=sshd.user,
                client_keys=[str(sshd.key)],
                known_hosts=str(sshd.known_hosts),
            )
            async with connect as connection:
                for _ in range(ROUNDS):
                    ours += await timed(lambda: workspace.exec(["true"]), EACH)
                    ssh += await timed(lambda: connection.run("true"), EACH)
                    rex += await timed(lambda: runtime.execute(Command(command=["true"])), EACH)
    yield _row("exec of `true`, median; peer: asyncssh", median(ours), median(ssh), "at most the peer")
    yield _row("exec of `true`, median; peer: SWE-ReX remote", median(ours), median(rex), "at most the peer")
    yield Row(what="exec of `true`, 95th percentile; peer: asyncssh", ours=ms(p95(ours)), peer=ms(p95(ssh)))


def _row(what: str, ours: float, peer: float, aim: str) -> Row:
    return Row(what=what, ours=ms(ours), peer=ms(peer), ratio=ours / peer, aim=aim, met=ours <= peer)
