"""`stead ps`, `stead system`: what runs in a workspace, and on what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.exec import signal_number
from stead.cli.words import Namespace, Parser, Verb, workspace_argument
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox
    from stead.toolbox.system.contract import Process, SystemInfo

COMMAND_WIDTH = 120
MOST = 10_000


async def ps(context: Context, arguments: Namespace) -> None:
    """The busiest first."""
    async with context.toolbox(arguments.workspace) as toolbox:
        if arguments.kill is not None:
            await _kill(context, toolbox, arguments.kill, signal_number(arguments.signal))
            return
        told = await toolbox.system.processes(order=arguments.order, limit=arguments.limit)
    columns = ("pid", "parent", "user", "state", "cpu%", "memory", "started", "command")
    context.out.items(told.processes, columns, [_row(process) for process in told.processes])
    if told.truncated and not context.out.json:
        context.out.note(f"stead: {len(told.processes)} of {told.total} processes are shown")


async def system(context: Context, arguments: Namespace) -> None:
    """Kernel, memory, network and disks."""
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
        command if len(command) <= COMMAND_WIDTH else f"{command[: COMMAND_WIDTH - 3]}...",
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


VERBS = {
    "ps": Verb("what runs in a workspace", ps, _ps_arguments),
    "system": Verb("the system of a workspace: kernel, memory, network, disks", system, workspace_argument),
}
