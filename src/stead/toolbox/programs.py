"""Programs that areas run on somebody's behalf (git, ripgrep, language servers): argument vectors, bounded, never left behind.

Contract: `run` waits for the end and keeps the first `limit` bytes of each output; `started` is a context in which the
program runs. Either way the whole process group is killed when the caller is cancelled, fails or is done; with `grace` it has
so many seconds to tidy up after TERM, with its streams closed. Standard input is empty unless given. The environment is the
workspace's, `C.UTF-8`, and what the caller adds. A program that is not there is "program_missing".
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio

from stead.protocol.errors import SteadError

OUTPUT_BYTES = 1 << 20
LINE_BYTES = 1 << 20
LINGER_SECONDS = 1.0
"""How long the streams of a program that is over are still read."""
_PIECE = 1 << 16


def python(*arguments: str) -> list[str]:
    """Starts this interpreter again; the one of the standalone guest only starts through the loader that it came with."""
    program = Path(sys.executable)
    libraries = program.parent.parent / "lib"
    if not (libraries / "ld.so").exists():
        return [str(program), *arguments]
    loader = [str(libraries / "ld.so"), "--library-path", str(libraries), "--argv0", str(program), str(program)]
    return [*loader, *(["-OO"] if sys.flags.optimize > 1 else []), *arguments]


class Finished(NamedTuple):
    """A program that ended; `code` is negative when a signal ended it."""

    code: int
    stdout: bytes
    stderr: bytes
    clipped: bool

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def complaint(self) -> str:
        """What it said was wrong, short."""
        return self.stderr.decode(errors="replace").strip()[-2000:] or f"exit code {self.code}"


def which(program: str, path: str | None) -> str | None:
    """The file that a shell with this search path would run. What looks it up is loaded when first wanted."""
    import shutil

    return shutil.which(program, path=path)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Says when the program itself is over."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self.over = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.over.set()


class Process(asyncio.subprocess.Process):
    """A program that runs, with its three streams."""

    def __init__(
        self, transport: asyncio.SubprocessTransport, protocol: _Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(transport, protocol, loop)
        self._streams = transport
        self._over = protocol.over

    async def let_go(self) -> None:
        """Closes the streams a moment after it is over: what it left behind may hold them for ever."""
        await self._over.wait()
        await asyncio.sleep(LINGER_SECONDS)
        self.close_streams()

    def close_streams(self) -> None:
        """May be called twice."""
        for number in range(3):
            pipe = self._streams.get_pipe_transport(number)
            if pipe is not None:
                pipe.close()


class Programs:
    """Those of one workspace."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def find(self, program: str) -> str | None:
        """The file of a program of the workspace, or else of one that came with us."""
        ours = str(Path(sys.executable).parent)
        path = self.environment.get("PATH", os.defpath)
        return which(program, path) or which(program, ours)

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        seconds: float = 60.0,
        limit: int = OUTPUT_BYTES,
        descriptors: Sequence[int] = (),
        grace: float = 0.0,
    ) -> Finished:
        """To its end, whoever else holds its streams; `descriptors` stay open in it. Over its time it is killed: "timeout"."""
        try:
            async with (
                asyncio.timeout(seconds),
                self.started(argv, cwd=cwd, environment=environment, descriptors=descriptors, grace=grace) as process,
            ):
                assert process.stdout is not None
                assert process.stderr is not None
                letting_go = asyncio.ensure_future(process.let_go())
                try:
                    outcome = await asyncio.gather(
                        _feed(process, stdin), _gather(process.stdout, limit), _gather(process.stderr, limit)
                    )
                    code = await process.wait()
                finally:
                    letting_go.cancel()
        except TimeoutError:
            raise SteadError("timeout", f"{argv[0]} took longer than {seconds:g} s and was ended") from None
        (stdout, cut_out), (stderr, cut_err) = outcome[1], outcome[2]
        return Finished(code, stdout, stderr, cut_out or cut_err)

    @contextlib.asynccontextmanager
    async def started(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        grace: float = 0.0,
    ) -> AsyncIterator[Process]:
        """Runs it while the caller is in here; its three standard streams are pipes."""
        program = self.find(argv[0])
        if program is None:
            raise SteadError("program_missing", f"{argv[0]} is not installed in the workspace", program=argv[0])
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Protocol(LINE_BYTES, loop),
                program,
                *argv[1:],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd,
                env=self.environment | {"LC_ALL": "C.UTF-8"} | dict(environment or {}),
                start_new_session=True,
                pass_fds=descriptors,
            )
        except (OSError, ValueError) as error:
            raise _unstarted(argv[0], error) from error
        process = Process(transport, protocol, loop)
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.shield(_end(process, grace))


def _unstarted(program: str, error: OSError | ValueError) -> SteadError:
    if isinstance(error, ValueError):
        return SteadError("invalid", f"{program} cannot be given this: {error}")
    code = "too_large" if error.errno == errno.E2BIG else "unavailable"
    return SteadError(code, f"{program} cannot be started: {error.strerror}")


async def _end(process: Process, grace: float) -> None:
    """Nothing of its group stays, and the process is collected. Its pipes are closed, else one that is full and that nobody
    reads is waited for; the transport as a whole is not, which would take the exit code from whoever waits for it."""
    _signal(process, signal.SIGTERM if grace else signal.SIGKILL)
    process.close_streams()
    if grace:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await process.wait()
        _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """To its whole group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _gather(reader: asyncio.StreamReader, limit: int) -> tuple[bytes, bool]:
    """The first bytes, and whether there were more; all of it is read, so that the program can end."""
    kept = bytearray()
    clipped = False
    while piece := await reader.read(_PIECE):
        clipped = clipped or len(kept) + len(piece) > limit
        kept += piece[: limit - len(kept)]
    return bytes(kept), clipped
