"""`stead exec`, `logs`, `execs`, `kill`, `shells`: commands in a workspace.

The remote exit code is the exit code; 128 + the signal when a signal ended it; 124 when its time limit did; 127 when it
could not be started; 125 when Stead itself failed. Ctrl-C is passed on; a second one kills. In a pipe stdin is passed on.
With --json output becomes lines of JSON: one a piece (`channel`, `cursor`, `text`, or `base64` where it is no text), at last
one with `status`.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import sys
from typing import TYPE_CHECKING, cast

import anyio
import msgspec
from anyio.abc import TaskStatus

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, pair, seconds, workspace_argument
from stead.protocol.errors import SteadError
from stead.toolbox.contract import Exec, ExecState, ExecStatus, Output

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteRunning, RemoteToolbox

TIMED_OUT, OURS, NOT_STARTED = 124, 125, 127
PIECE = 1 << 16
PATIENCE = 2.0
"""How long a lost link is not worth a word."""
PIPE_BUF = 4096
"""A write of so much to a pipe that polls writable does not block."""


async def run(context: Context, arguments: Namespace) -> int:
    argv = [*arguments.command, *arguments.rest]
    if not argv:
        raise SteadError("invalid", "no command was given: stead exec WS -- CMD ...")
    if arguments.session and arguments.cwd != ".":
        raise SteadError("invalid", "a session has its own directory: --cwd does not go with --session; cd in it")
    wanted = Exec(
        argv=[_line(argv, shell=arguments.shell)] if arguments.shell or arguments.session else argv,
        shell=arguments.shell,
        cwd=arguments.cwd,
        environment=dict(arguments.env),
        timeout=arguments.timeout,
        background=arguments.detach,
        stdin=not arguments.detach and wants_stdin(interactive=arguments.interactive, never=arguments.no_stdin),
    )
    async with context.toolbox(arguments.workspace) as toolbox:
        with context.waiting(arguments.workspace):
            running = await _started(toolbox, wanted, arguments.session)
        if arguments.detach:
            return _detached(context, running.exec_id)
        return await foreground(context, toolbox, running, stdin=wanted.stdin)


def _line(argv: list[str], *, shell: bool) -> str:
    """What a shell is told: a line of its own, or this program with these arguments."""
    return " ".join(argv) if shell else shlex.join(argv)


async def _started(toolbox: RemoteToolbox, wanted: Exec, session: str) -> RemoteRunning:
    """In a session the line goes on where the one before left off; the first one begins it."""
    if not session:
        return await toolbox.start(wanted)
    await toolbox.sessions.open(session)
    running = await toolbox.sessions.start(session, wanted.argv[0], wanted)
    return cast("RemoteRunning", running)


async def logs(context: Context, arguments: Namespace) -> int:
    """The output kept of one exec, by default the newest."""
    async with context.toolbox(arguments.workspace) as toolbox:
        status = await pick_exec(toolbox, arguments.exec)
        ended = await _logs_kept(context, toolbox, status, arguments.cursor, follow=arguments.follow)
    if ended is None:
        return 0
    await _put_status(context, ended)
    if ended.truncated:
        context.out.note("stead: this exec printed more than is kept")
    return exit_code(context, ended) if arguments.exit_code else 0


async def _logs_kept(
    context: Context, toolbox: RemoteToolbox, status: ExecStatus, cursor: int, *, follow: bool
) -> ExecStatus | None:
    """What is kept from the cursor on; what is not is told. None when the exec goes on and is not followed."""
    while True:
        try:
            return await _logs_from(context, toolbox, status, cursor, follow=follow)
        except SteadError as error:
            if error.code != "range_unsatisfiable" or "first_cursor" not in error.details:
                raise
            cursor = error.details["first_cursor"]
            context.out.note(f"stead: the output before {cursor} is no longer kept")


async def _logs_from(
    context: Context, toolbox: RemoteToolbox, status: ExecStatus, cursor: int, *, follow: bool
) -> ExecStatus | None:
    running = await toolbox.attach(status.exec_id, cursor)
    if status.state is ExecState.RUNNING and not follow:
        await _until_cursor(context, running, status.last_cursor)
        return None
    async for piece in running.output():
        await _put_piece(context, piece)
    return await running.wait()


async def execs(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        items = (await toolbox.execs()).execs
    rows = [
        (s.exec_id, s.state.value, _end(s), output.age(s.started), output.amount(s.output_bytes), " ".join(s.argv))
        for s in items
    ]
    context.out.items(items, ("id", "state", "code", "age", "output", "command"), rows)


async def shells(context: Context, arguments: Namespace) -> None:
    """The last used first."""
    async with context.toolbox(arguments.workspace) as toolbox:
        if arguments.close is not None:
            closed = await toolbox.sessions.close(arguments.close)
            state = "closed" if closed.existed else "was not there"
            context.out.facts(closed, {"session": closed.name, "state": state})
            return
        found = (await toolbox.sessions.list()).sessions
    rows = [(s.name, output.age(s.used), s.cwd, " ".join(sorted(s.environment))) for s in found]
    context.out.items(found, ("session", "used", "directory", "variables"), rows)


async def kill(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        found = await pick_exec(toolbox, arguments.exec)
        status = await toolbox.kill(found.exec_id, signal_number(arguments.signal), arguments.grace)
    context.out.facts(status, {"exec": status.exec_id, "state": status.state.value})


async def pick_exec(toolbox: RemoteToolbox, reference: str) -> ExecStatus:
    """By id or its unique beginning; the newest when nothing is said."""
    known = (await toolbox.execs()).execs
    found = [s for s in known if s.exec_id.startswith(reference)] if reference else known[:1]
    if not found:
        raise SteadError("exec_unknown", f"no exec {reference}".rstrip() + " in this workspace")
    if len(found) > 1 and found[0].exec_id != reference:
        raise SteadError("ambiguous", f"{len(found)} execs begin with {reference}")
    return found[0]


def exit_code(context: Context, status: ExecStatus) -> int:
    """What the shell is told."""
    match status.state:
        case ExecState.EXITED:
            return status.exit_code or 0
        case ExecState.SIGNALLED:
            return 128 + (status.signal or 0)
        case ExecState.TIMED_OUT:
            context.out.note("stead: the time limit ended it")
            return TIMED_OUT
        case ExecState.FAILED:
            context.out.note(f"stead: {status.error or 'it could not be started'}")
            return NOT_STARTED
        case _:
            context.out.note(f"stead: the exec is {status.state.value} {status.error}".rstrip())
            return OURS


def wants_stdin(*, interactive: bool, never: bool) -> bool:
    """Passed on when asked for, and when it is a pipe, a file or a socket."""
    if never or sys.stdin is None:
        return False
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return interactive or stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def signal_number(text: str) -> int:
    """TERM, SIGTERM or 15."""
    name = text.upper()
    if name.isascii() and name.isdecimal():
        return int(name)
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(found, signal.Signals):
        raise SteadError("invalid", f"there is no signal {text}")
    return int(found)


async def put(descriptor: int, data: bytes) -> None:
    """Writes all of it; in a thread where it might wait, so that the link stays alive under a slow reader."""
    if len(data) <= PIPE_BUF and _writable(descriptor):
        os.write(descriptor, data)
    else:
        await anyio.to_thread.run_sync(output.write_all, descriptor, data)


async def _put_piece(context: Context, piece: Output) -> None:
    """As it is, or as a line of JSON."""
    if not context.out.json:
        await put(1 if piece.channel == "stdout" else 2, piece.data)
        return
    line: dict[str, object] = {"channel": piece.channel, "cursor": piece.cursor}
    try:
        line["text"] = piece.data.decode()
    except UnicodeDecodeError:
        line["base64"] = piece.data
    await put(1, msgspec.json.encode(line) + b"\n")


async def _put_status(context: Context, status: ExecStatus) -> None:
    if context.out.json:
        await put(1, msgspec.json.encode({"status": status}) + b"\n")


async def foreground(context: Context, toolbox: RemoteToolbox, running: RemoteRunning, *, stdin: bool) -> int:
    """All that it prints, as it comes, and its end as an exit code."""
    async with anyio.create_task_group() as tasks:
        await tasks.start(_pass_signals, toolbox, running.exec_id)
        if sys.stderr.isatty():
            tasks.start_soon(_tell_of_losses, context, toolbox)
        if stdin:
            tasks.start_soon(_pass_stdin, running)
        async for piece in running.output():
            await _put_piece(context, piece)
        status = await running.wait()
        tasks.cancel_scope.cancel()
    await _put_status(context, status)
    if status.truncated:
        why = f" ({status.error})" if status.error else ""
        context.out.note(f"stead: not all that the command printed could be kept for you; the rest is lost{why}")
        context.out.note("  Let it write to a file in the workspace, and fetch that with `stead cp`.")
        return OURS
    return exit_code(context, status)


def _detached(context: Context, exec_id: str) -> int:
    if context.out.json:
        context.out.value({"exec_id": exec_id})
    else:
        context.out.line(exec_id)
    return 0


async def _pass_signals(
    toolbox: RemoteToolbox, exec_id: str, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """What this process is told, the remote one is told; a second interrupt kills."""
    interrupts = 0
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            interrupts += number == signal.SIGINT
            await toolbox.kill(exec_id, int(signal.SIGKILL if interrupts > 1 else number))


async def _tell_of_losses(context: Context, toolbox: RemoteToolbox) -> None:
    """A person who sees nothing come should know why."""
    from stead.sdk.link import ClientLink

    link = toolbox.link
    while isinstance(link, ClientLink):
        await link.until("lost")
        with anyio.move_on_after(PATIENCE):
            await link.until("connected")
            continue
        context.out.note("stead: the link to the control plane is lost; the command goes on, waiting to come back")
        await link.until("connected")
        context.out.note("stead: the link is back")


async def _pass_stdin(running: RemoteRunning) -> None:
    """To the end of stdin; an exec that has closed its own does not mind. What else goes wrong its output tells, too."""
    regular = stat.S_ISREG(os.fstat(0).st_mode)
    try:
        while True:
            if not regular:
                await _until_readable()
            data = os.read(0, PIECE)
            if not data:
                await running.close_stdin()
                return
            await running.write(data)
    except SteadError as error:
        if error.code == "conflict":
            raise


async def _until_readable() -> None:
    """Until stdin has something; what the system cannot wait for, such as /dev/null, always has."""
    try:
        await anyio.wait_readable(0)
    except OSError:
        return


async def _until_cursor(context: Context, running: RemoteRunning, cursor: int) -> None:
    if running.cursor >= cursor:
        return
    async for piece in running.output():
        await _put_piece(context, piece)
        if piece.cursor >= cursor:
            return


def _writable(descriptor: int) -> bool:
    from select import POLLOUT, poll

    waiting = poll()
    waiting.register(descriptor, POLLOUT)
    return bool(waiting.poll(0))


def _end(status: ExecStatus) -> str:
    if status.signal:
        known = {int(each): each.name for each in signal.Signals}
        return known.get(status.signal, f"signal {status.signal}")
    return "" if status.exit_code is None else str(status.exit_code)


def _exec_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("command", nargs="*", metavar="CMD", help="with options of its own: after --")
    parser.add_argument("--timeout", type=seconds, default=0.0, metavar="TIME", help="end it after so long (30, 5m)")
    parser.add_argument("--cwd", default=".", metavar="DIR", help="where it runs")
    parser.add_argument("--env", action="append", type=pair, default=[], metavar="K=V", help="an environment variable")
    parser.add_argument("--shell", action="store_true", help="CMD is a line for a shell")
    parser.add_argument("--session", default="", metavar="NAME", help="in this shell session, begun by its first use")
    parser.add_argument("-d", "--detach", action="store_true", help="in the background; prints the exec's id")
    parser.add_argument("-i", "--interactive", action="store_true", help="pass stdin on also from a terminal")
    parser.add_argument("-n", "--no-stdin", action="store_true", help="never pass stdin on")


def _logs_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("exec", nargs="?", default="", metavar="EXEC", help="id or its beginning; else the newest")
    parser.add_argument("-f", "--follow", action="store_true", help="go on to its end")
    parser.add_argument("--cursor", type=int, default=0, help="only what comes after this place")
    parser.add_argument("--exit-code", action="store_true", help="end with the exec's own exit code")


def _shells_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("--close", metavar="NAME", help="forget this one instead; what runs in it goes on")


def _kill_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("exec", metavar="EXEC", help="id, or its unique beginning")
    parser.add_argument("-s", "--signal", default="TERM", help="TERM, KILL, INT, 15, ...")
    parser.add_argument("--grace", type=seconds, default=2.0, metavar="TIME", help="after TERM, KILL follows (2s)")


_DETAILS = """The exit code is the command's; 128+N when signal N ended it, 124 when --timeout did, 127 when it could not
be started, 125 when Stead itself failed or output was lost. A command waits, as at a full pipe, while nobody reads what it
printed (64 MiB); one in the background does not: of that, so much is kept. With --json what it prints comes as lines of JSON
with channel, cursor, and text or base64; the last has its status. In a session a command goes on in the directory and with the
exported variables that the one before left; `stead shells` lists them.

  stead exec work -- ls -la
  stead exec work --shell -- 'grep -c x *.txt | sort'
  stead exec work --session mine --shell -- 'cd src && export LEVEL=2'
  tar c src | stead exec work -- tar x"""

VERBS = {
    "exec": Verb("run a command in a workspace", run, _exec_arguments, own_codes=True, rest=True, details=_DETAILS),
    "logs": Verb("the output of an exec", logs, _logs_arguments, own_codes=True),
    "execs": Verb("the execs of a workspace, newest first", execs, workspace_argument),
    "shells": Verb("the shell sessions of a workspace, the last used first", shells, _shells_arguments),
    "kill": Verb("send a signal to all processes of an exec", kill, _kill_arguments),
}
