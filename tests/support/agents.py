"""A real qemu-ga, which may be stopped and go on, and the port of a machine through which it is reached."""

import asyncio
import contextlib
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from support.deadline import eventually
from support.engines import which

FORBIDDEN = "guest-shutdown,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-fsfreeze-freeze"


class Agent:
    """It may do everything but end this machine. Mark the test with needs_engine("qemu-ga")."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.socket = place / "ga.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = which("qemu-ga")
        assert program is not None
        self.socket.unlink(missing_ok=True)
        argv = [program, "-m", "unix-listen", "-p", str(self.socket), "-t", str(self.place), f"--blacklist={FORBIDDEN}"]
        self._process = subprocess.Popen(
            argv, cwd=self.place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        eventually(self._listens, "qemu-ga listens")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """It does nothing, and is still there."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()


class Port:
    """What QEMU makes of a virtio-serial port: a socket for one client after the other. The agent behind it never sees them
    come and go, and what it says while nobody is there is lost."""

    def __init__(self, agent: Agent, path: Path) -> None:
        self.path = path
        self.accepted = 0
        self.left = 0
        self.given = 0
        self.passed = 0
        self.refusing = False
        self._agent = agent
        self._turn = asyncio.Lock()
        self._client: asyncio.StreamWriter | None = None
        self._stack = contextlib.AsyncExitStack()

    def cut(self) -> None:
        """The client's connection is over."""
        if self._client is not None:
            self._client.transport.abort()

    async def __aenter__(self) -> Self:
        reader, self._far = await asyncio.open_unix_connection(str(self._agent.socket))
        self._stack.callback(self._far.transport.abort)
        heard = asyncio.ensure_future(self._hear(reader))
        self._stack.callback(heard.cancel)
        server = await asyncio.start_unix_server(self._accept, self.path)
        self._stack.callback(server.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.cut()
        await self._stack.aclose()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 14):
            if self._client is not None:
                self.passed += len(data)
                self._client.write(data)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        async with self._turn:
            if self.refusing:
                writer.close()
                return
            self._client = writer
            with contextlib.suppress(OSError):
                while data := await reader.read(1 << 14):
                    self.given += len(data)
                    self._far.write(data)
            self._client = None
            self.left += 1
            writer.close()
