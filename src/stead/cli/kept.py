"""Hands an invocation over to the kept process (`keeper`), where there is one: the fast way in.

Contract: `run(words) -> exit code`, or None when this process has to do it itself. Python's start and the loading of
libraries is most of what `stead exec` would take, so this file loads next to nothing. The kept process forks a child that
has this process's standard streams, directory and environment; signals that arrive here are passed on to it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORDS = frozenset(
    "exec logs execs kill shells files cp sync search watch ps system toolbox".split()  # noqa: SIM905
    + "ws status whoami events audit command user token session".split()  # noqa: SIM905
)
"""What may be handed over: nothing that serves, asks for a password or changes this process."""
SOCKET = "keeper.sock"
OFF = "STEAD_KEEPER"
SIGNALS = (1, 2, 15)
"""HUP, INT, TERM."""
GREETING = b"\x01"
GREETING_SECONDS = 1.0
OURS = 125


def run(words: list[str]) -> int | None:
    """The exit code of the child that did it."""
    if not words or words[0] not in WORDS or os.environ.get(OFF) == "0" or _types(words):
        return None
    place = os.path.join(data_of(words), SOCKET)  # noqa: PTH118 - pathlib alone would take as long as the rest
    if not os.path.exists(place):  # noqa: PTH110
        return None
    return _hand_over(place, words)


def data_of(words: list[str]) -> str:
    """The data directory meant: of the command line, of STEAD_DATA, or the usual one."""
    for at, word in enumerate(words):
        if word == "--":
            break
        if word == "--data" and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--data="):
            return word.removeprefix("--data=")
    if given := os.environ.get("STEAD_DATA"):
        return os.path.expanduser(given)  # noqa: PTH111
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    return f"{base}/stead"


def _types(words: list[str]) -> bool:
    """Whether a person may type into it: a terminal can be read only by the process that it belongs to."""
    return (
        words[0] in {"exec", "files", "cp", "system", "toolbox"}
        and os.isatty(0)
        and ("-i" in words or "--interactive" in words or "-" in words)
    )


def _hand_over(place: str, words: list[str]) -> int | None:
    """None as long as nothing can have begun: no greeting came, or the kept process refused."""
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        if not _greeted(connection, place):
            return None
        pid = _ask(connection, words)
        return _wait(connection, pid) if pid else None
    except OSError as error:
        sys.stderr.write(f"stead: the kept process: {error}; the command may still run\n")
        return OURS
    finally:
        connection.close()


def _greeted(connection: Any, place: str) -> bool:
    try:
        connection.settimeout(GREETING_SECONDS)
        _connect(connection, place)
        greeting: bytes = connection.recv(1)
        connection.settimeout(None)
    except OSError:
        return False
    return greeting == GREETING


def _ask(connection: Any, words: list[str]) -> int:
    """The process that does it; 0 when it is refused."""
    import _socket
    import array

    body = request(words)
    descriptors = array.array("i", [0, 1, 2])
    sent = connection.sendmsg([body], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    if sent < len(body):
        connection.sendall(body[sent:])
    answer = connection.recv(4)
    if len(answer) < 4:
        raise ConnectionResetError("it ended")
    return int.from_bytes(answer, "big")


def request(words: list[str]) -> bytes:
    """Who asks, what, where and with which environment."""
    import stead

    mask = os.umask(0o077)
    os.umask(mask)
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    head = [stead.__version__, str(stead.__file__), os.getcwd(), str(mask), str(len(words))]  # noqa: PTH109
    body = b"\0".join(text.encode(errors="surrogateescape") for text in [*head, *words, *environment])
    return len(body).to_bytes(4, "big") + body


def _connect(connection: Any, place: str) -> None:
    """By a path of its own for the folder, because the path of a socket has at most 107 bytes."""
    folder = os.open(os.path.dirname(place), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120
    try:
        connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
    finally:
        os.close(folder)


def _wait(connection: Any, pid: int) -> int:
    """Passes signals on until the child has ended."""
    import signal as _signal

    def pass_on(number: int, _frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    for number in SIGNALS:
        _signal.signal(number, pass_on)
    answer = connection.recv(4)
    if len(answer) < 4:
        raise ConnectionResetError("it ended")
    return int.from_bytes(answer, "big")
