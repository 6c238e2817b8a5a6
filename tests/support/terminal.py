"""A program in a real terminal, driven as a person does."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

PATIENCE = 60.0
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """`with Terminal(argv, env) as terminal`: what it shows is in `seen`; leaving kills what still runs."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], columns: int = 120, rows: int = 40) -> None:
        self.seen = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        os.close(self._master)

    @property
    def text(self) -> str:
        """What a person reads, without colours and cursor movements."""
        return ESCAPES.sub(b"", self.seen).decode(errors="replace").replace("\r\n", "\n")

    def expect(self, text: str) -> None:
        """Waits until it has been shown."""
        until = time.monotonic() + PATIENCE
        while text not in self.text:
            if not self._read(until):
                raise AssertionError(f"{text!r} was not shown, but {self.text!r}")

    def type(self, text: str) -> None:
        """Types it; "\\x03" is Ctrl-C."""
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Until it ends; its exit code."""
        until = time.monotonic() + PATIENCE
        while self._read(until):
            pass
        return self.process.wait(max(1.0, until - time.monotonic()))

    def _read(self, until: float) -> bool:
        """Reads more; False at the end or when time is over."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.seen += data
        return bool(data)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
