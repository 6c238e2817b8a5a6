"""`stead ps`, `stead system`: what runs in a workspace, and on what; its logs; directives for its cloud-init."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from stead.cli import output
from stead.cli.context import Context
from stead.cli.exec import signal_number
from stead.cli.output import Output
from stead.cli.singles import to_stdout
from stead.cli.words import Namespace, Parser, Verb, seconds, workspace_argument
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox
    from stead.toolbox.system.contract import CloudInitRun, CloudInitStatus, Process, SystemInfo

COMMAND_WIDTH = 120
MOST = 10_000
CLOUD_SECONDS = 1800.0
LINES = 100
DETAILS = """\
stead system work                                     kernel, memory, network, disks
stead system work log build/out.txt -f                the last lines of a file, and what is added to it
stead system work log --unit nginx -n 20              those of a systemd unit's journal
stead system work cloud-init server.yaml              run its directives now; - is stdin
stead system work cloud-init --status --wait 5m       what cloud-init did at the boot, once that is done

With cloud-init the exit code is 1 when a module failed, or the boot did."""


async def ps(context: Context, arguments: Namespace) -> None:
    """The busiest first."""
    async with context.toolbox(arguments.workspace) as toolbox:
        if arguments.kill is not None:
            await _kill(context, toolbox, arguments.kill, signal_number(arguments.signal))
            return
        told = await toolbox.system.processes(order=arguments.order, limit=arguments.limit)
    columns = ("pid", "parent", "user", "state", "cpu%", "memory", "started", "command")
    rows = [_row(process) for process in told.processes]
    context.out.items(told.processes, columns, context.out.fitted(columns, rows))
    if told.truncated and not context.out.json:
        context.out.note(f"stead: {len(told.processes)} of {told.total} processes are shown")


async def system(context: Context, arguments: Namespace) -> int | None:
    """Kernel, memory, network and disks; or a log; or cloud-init."""
    if arguments.what != "cloud-init" and (arguments.status or arguments.wait or arguments.timeout):
        raise SteadError("invalid", "these arguments are for cloud-init: stead system WS cloud-init FILE")
    if arguments.what != "log" and (arguments.unit or arguments.follow or arguments.lines is not None):
        raise SteadError("invalid", "these arguments are for a log: stead system WS log FILE")
    if arguments.what == "cloud-init":
        return await (_cloud_status if arguments.status else _cloud_init)(context, arguments)
    await (_log if arguments.what == "log" else _system)(context, arguments)
    return None


async def _log(context: Context, arguments: Namespace) -> None:
    """The last lines; with --follow also what comes after them, until it is interrupted."""
    lines = LINES if arguments.lines is None else arguments.lines
    async with context.toolbox(arguments.workspace) as toolbox:
        if arguments.follow:
            async for piece in toolbox.system.follow(arguments.file, unit=arguments.unit, lines=lines):
                await _put_log(context, piece)
            return
        told = await toolbox.system.log(arguments.file, unit=arguments.unit, lines=lines)
    await _put_log(context, told.content)
    if told.truncated:
        context.out.note("stead: these lines are long, so there are fewer than asked for")


async def _put_log(context: Context, piece: bytes) -> None:
    """Bytes as they are, or as lines of JSON."""
    if context.out.json:
        context.out.row({"data": piece})
    else:
        await anyio.to_thread.run_sync(to_stdout, piece)


async def _system(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        info = await toolbox.system.info()
        network = await toolbox.system.network()
        disks = await toolbox.system.disks()
    if context.out.json:
        context.out.value(
            {"info": info, "interfaces": network.interfaces, "filesystems": disks.filesystems},
        )
        return
    context.out.facts(info, _facts(info))
    context.out.line()
    context.out.items(
        network.interfaces,
        ("interface", "state", "mtu", "mac", "addresses"),
        [(one.name, one.state, str(one.mtu), one.mac, " ".join(one.ipv4 + one.ipv6)) for one in network.interfaces],
    )
    context.out.line()
    context.out.items(
        disks.filesystems,
        ("mounted on", "type", "size", "used", "free", "used%", "device"),
        [
            (
                one.mount_point,
                one.type,
                *(output.amount(size) for size in (one.total_bytes, one.used_bytes, one.available_bytes)),
                f"{one.used_percent}%",
                one.device,
            )
            for one in disks.filesystems
        ],
    )


async def _cloud_init(context: Context, arguments: Namespace) -> int:
    if not arguments.file:
        raise SteadError("invalid", "a file with directives is needed, or - for stdin, or --status")
    if arguments.wait:
        raise SteadError("invalid", "--wait goes with --status; --timeout limits a run")
    user_data = _user_data(arguments.file)
    async with context.toolbox(arguments.workspace) as toolbox:
        done = await toolbox.system.cloud_init(user_data, timeout=arguments.timeout or CLOUD_SECONDS)
    show_run(context.out, done)
    return 0 if done.ok else 1


def show_run(out: Output, done: CloudInitRun) -> None:
    """The modules, then what each of them said."""
    if out.json:
        out.value(done)
        return
    rows = [(module.name, "ok" if module.ok else "failed", f"{module.seconds:.1f} s") for module in done.modules]
    out.items(done.modules, ("module", "state", "took"), rows)
    for module in done.modules:
        for title, text in (("output", module.output), ("complaints", "\n".join(module.errors))):
            if text:
                out.line(f"\n{title} of {module.name}:\n{text}")


async def _cloud_status(context: Context, arguments: Namespace) -> int:
    if arguments.file or arguments.timeout:
        raise SteadError("invalid", "--status runs nothing: it goes without a file and without --timeout")
    async with context.toolbox(arguments.workspace) as toolbox:
        told = await toolbox.system.cloud_init_status(wait=arguments.wait)
    show_status(context.out, told)
    return 1 if told.errors or told.status == "error" else 0


def show_status(out: Output, told: CloudInitStatus) -> None:
    """What became of the boot."""
    facts = {
        "cloud-init": "installed" if told.installed else "not installed",
        "boot": told.extended or told.status,
        "detail": told.detail,
        "source": told.source,
        "updated": told.updated,
        "errors": "\n".join(told.errors),
        "warnings": "\n".join(told.warnings),
    }
    out.facts(told, facts)


def _user_data(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SteadError("invalid", f"{file}: this is no text in UTF-8") from None


async def _kill(context: Context, toolbox: RemoteToolbox, pid: int, signal: int) -> None:
    """By the number that a list showed: looked up again, then only that very process is meant."""
    listed = await toolbox.system.processes(order="pid", limit=MOST)
    found = next((process for process in listed.processes if process.pid == pid), None)
    if found is None:
        raise SteadError("not_found", f"no process {pid} in this workspace")
    killed = await toolbox.system.kill_process(found.identity, signal)
    what = "signalled" if killed.signalled else "was gone already"
    context.out.facts(killed, {"process": f"{pid} {' '.join(found.command) or found.name}", "state": what})


def _row(process: Process) -> tuple[str, ...]:
    command = " ".join(process.command) or f"[{process.name}]"
    return (
        str(process.pid),
        str(process.parent),
        process.user,
        process.state,
        f"{process.cpu_percent:.1f}",
        output.amount(process.memory_bytes),
        output.age(process.started),
        output.shortened(command, COMMAND_WIDTH),
    )


def _facts(info: SystemInfo) -> dict[str, str]:
    memory = f"{output.amount(info.memory_total_bytes)}, {output.amount(info.memory_available_bytes)} available"
    return {
        "system": info.os_name,
        "kernel": f"{info.kernel} {info.architecture}",
        "hostname": info.hostname,
        "processors": f"{info.cpu_count} {info.cpu_model}".strip(),
        "memory": memory,
        "running": f"for {output.age(info.boot_time)}, since {output.moment(info.boot_time)}",
        "load": " ".join(f"{number:.2f}" for number in info.load),
    }


def _ps_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("--order", choices=("cpu", "memory", "pid"), default="cpu", help="what comes first (cpu)")
    parser.add_argument("--limit", type=int, default=1000, help="at most so many (1000)")
    parser.add_argument("--kill", type=int, metavar="PID", help="send a signal to this one instead")
    parser.add_argument("-s", "--signal", default="TERM", help="TERM, KILL, INT, 15, ...")


def _system_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument(
        "what", nargs="?", choices=["log", "cloud-init"], help="a log; or directives, or what became of the boot"
    )
    parser.add_argument("file", nargs="?", default="", help="a log in the workspace; or a #cloud-config, - is stdin")
    parser.add_argument("--unit", default="", help="the journal of this systemd unit, instead of a file")
    parser.add_argument("-n", "--lines", type=int, default=None, metavar="N", help=f"the last so many lines ({LINES})")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until interrupted")
    parser.add_argument("--status", action="store_true", help="what cloud-init did at the boot")
    parser.add_argument("--wait", type=seconds, default=0.0, metavar="TIME", help="wait so long until the boot is done")
    parser.add_argument("--timeout", type=seconds, default=0.0, metavar="TIME", help="end a run after so long (30m)")


VERBS = {
    "ps": Verb("what runs in a workspace", ps, _ps_arguments),
    "system": Verb(
        "the system of a workspace: kernel, memory, network, disks; its logs, its cloud-init",
        system,
        _system_arguments,
        details=DETAILS,
    ),
}
