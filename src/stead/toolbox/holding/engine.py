"""The holder's work: answers JSON lines about execs, reaps what ends, and goes down in order.

Contract, one JSON object a line. Asked: `{"id", "do": ...}` with
`start` (exec_id, argv, shown, cwd, environment, timeout, grace, stdin, background, log_bytes, error?, wait?, hold?) -> new,
status, size, held: at once, or with `wait` as part of the new exec's `ended`;
`show`, `follow`, `unfollow` (exec_id) -> status, size, held; `list` -> execs; `kill` (exec_id, signal, grace) -> status;
`cancel` (exec_id) -> status; `end_stdin` (exec_id) -> nothing. With `hold` an exec waits for its reader once its log is `held`
bytes ahead; `read` (exec_id, cursor) says what was read, `let_go` (exec_id) that nobody is waited for.
Answered: `{"id", "ok": true, ...}` or `{"id", "ok": false, "code", "message"}`. Told unasked: `{"on": "output", "exec_id",
"size"}` of followed execs (starting one follows it) and `{"on": "ended", "status", "size"}` of all.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from stead.toolbox.holding import tree
from stead.toolbox.holding.ending import Ending
from stead.toolbox.holding.execs import Execs, RefusedError
from stead.toolbox.holding.line import Line
from stead.toolbox.holding.loop import Loop
from stead.toolbox.holding.settings import Settings
from stead.toolbox.holding.shelf import Status
from stead.toolbox.observer import NOBODY, Observer

BUSY = 1 << 16
"""A peer with so much unread is not told of more output; it is told the newest size once it has read."""

Message = dict[str, Any]


class Engine:
    """Everything but the guest. `children` are processes of ours that are no execs: they end last."""

    def __init__(self, loop: Loop, settings: Settings, observer: Observer = NOBODY) -> None:
        self.loop = loop
        self.children: dict[int, Callable[[int], None]] = {}
        self.execs = Execs(loop, settings, observer)
        self.execs.ended = self._ended
        self.execs.in_use = lambda exec_id: any(exec_id in followed for followed in self._lines.values())
        self.closing = False
        self._lines: dict[Line, set[str]] = {}
        self._missed: dict[Line, set[str]] = {}
        self._awaited: dict[str, tuple[Line, Any]] = {}
        self._on_closed: dict[Line, Callable[[], None]] = {}
        self._grace = 0.0
        self._do: dict[str, Callable[[Line, Message], Message | None]] = {
            "start": self._start,
            "show": self._show,
            "follow": self._follow,
            "unfollow": self._unfollow,
            "list": self._list,
            "kill": self._kill,
            "cancel": self._cancel,
            "end_stdin": self._end_stdin,
            "read": self._read,
            "let_go": self._let_go,
        }
        tree.adopt()
        loop.on_signal(signal.SIGCHLD, self.reap)
        loop.after_each.append(self._tell_output)

    def connect(self, connection: socket.socket, closed: Callable[[], None]) -> Line:
        """Serves one peer."""
        line = Line(connection)
        self._lines[line] = set()
        self._missed[line] = set()
        self._on_closed[line] = closed
        self._watch(line)
        return line

    def answers(self, do: str, answer: Callable[[Line, Message], Message | None]) -> None:
        """Adds something that can be asked."""
        self._do[do] = answer

    def close(self, grace: float, done: Callable[[], None]) -> None:
        """Ends every exec, then every process below this one, then our own children; `done` in the end."""
        if self.closing:
            return
        self.closing = True
        self._grace = grace
        for held in list(self.execs.running.values()):
            held.cause = held.cause or "cancelled"
            self.execs.end(held, signal.SIGTERM, grace)
        find = lambda: tree.everything(self.children)  # noqa: E731
        Ending(self.loop, find, signal.SIGTERM, grace, lambda left: self._close_children(done))

    def _close_children(self, done: Callable[[], None]) -> None:
        Ending(self.loop, tree.everything, signal.SIGTERM, self._grace, lambda left: done())

    # --- lines -------------------------------------------------------------------------------------------------------

    def _heard(self, line: Line) -> None:
        messages = line.readable() if line.flush() else None
        for message in messages or []:
            self._answer(line, message)
        if messages is None or line.closed:
            self._drop(line)
        else:
            self._watch(line)

    def _watch(self, line: Line) -> None:
        self.loop.watch(line.number, lambda: self._heard(line), write=line.waiting > 0)

    def _drop(self, line: Line) -> None:
        if line not in self._lines:
            return
        del self._lines[line], self._missed[line]
        self.loop.unwatch(line.number)
        line.close()
        self._on_closed.pop(line)()

    def _send(self, line: Line, message: Message) -> None:
        if not line.send(message):
            self._drop(line)
        elif line.waiting:
            self._watch(line)

    def _answer(self, line: Line, message: Message) -> None:
        try:
            answer = self._do[message["do"]](line, message)
        except RefusedError as refused:
            answer = {"ok": False, "code": refused.code, "message": refused.message}
        except (KeyError, TypeError, AttributeError) as error:
            answer = {"ok": False, "code": "invalid", "message": f"not understood: {error!r}"}
        if answer is not None:
            self._send(line, {"id": message.get("id"), "ok": True} | answer)

    # --- what can be asked -------------------------------------------------------------------------------------------

    def _start(self, line: Line, message: Message) -> Message | None:
        if self.closing:
            raise RefusedError("draining", "the workspace is being stopped")
        new, status = self.execs.start(message)
        self._lines[line].add(message["exec_id"])
        if new and message.get("wait") and message["exec_id"] in self.execs.running:
            self._awaited[message["exec_id"]] = line, message.get("id")
            return None
        exec_id = message["exec_id"]
        return {"new": new, "status": status, "size": self.execs.log_bytes(exec_id), "held": self.execs.held(exec_id)}

    def _show(self, line: Line, message: Message) -> Message:
        status, size = self.execs.show(message["exec_id"])
        return {"status": status, "size": size, "held": self.execs.held(message["exec_id"])}

    def _follow(self, line: Line, message: Message) -> Message:
        answer = self._show(line, message)
        self._lines[line].add(message["exec_id"])
        return answer

    def _unfollow(self, line: Line, message: Message) -> Message:
        self._lines[line].discard(message["exec_id"])
        return {}

    def _list(self, line: Line, message: Message) -> Message:
        return {"execs": self.execs.listed()}

    def _kill(self, line: Line, message: Message) -> None:
        told = self._later(line, message)
        self.execs.signal(message["exec_id"], message["signal"], message["grace"], told)

    def _cancel(self, line: Line, message: Message) -> None:
        self.execs.cancel(message["exec_id"], self._later(line, message))

    def _end_stdin(self, line: Line, message: Message) -> Message:
        self.execs.end_stdin(message["exec_id"])
        return {}

    def _read(self, line: Line, message: Message) -> Message:
        self.execs.read(message["exec_id"], message["cursor"])
        return {}

    def _let_go(self, line: Line, message: Message) -> Message:
        self.execs.let_go(message["exec_id"])
        return {}

    def _later(self, line: Line, message: Message) -> Callable[[Status], None]:
        return lambda status: self._send(line, {"id": message.get("id"), "ok": True, "status": status})

    # --- what happens ------------------------------------------------------------------------------------------------

    def _ended(self, status: Status) -> None:
        exec_id = status["exec_id"]
        told = {"on": "ended", "status": status, "size": self.execs.log_bytes(exec_id)}
        asker, number = self._awaited.pop(exec_id, (None, None))
        for line, followed in list(self._lines.items()):
            if not self.execs.in_several_files(exec_id):
                followed.discard(exec_id)
            self._missed[line].discard(exec_id)
            self._send(line, told | {"id": number, "ok": True, "new": True} if line is asker else told)

    def _tell_output(self) -> None:
        dirty, self.execs.dirty = self.execs.dirty, set()
        for line, followed in list(self._lines.items()):
            due = (self._missed[line] | dirty) & followed
            if line.waiting > BUSY:
                self._missed[line] = due
                continue
            self._missed[line] = set()
            for exec_id in due:
                self._send(line, {"on": "output", "exec_id": exec_id, "size": self.execs.log_bytes(exec_id)})

    def reap(self) -> None:
        """Takes leave of every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if not self.execs.reaped(pid, status) and pid in self.children:
                self.children.pop(pid)(status)
