"""`stead guest`: serve a toolbox from this machine, or talk to the guest of a machine over its socket, without a control plane.

The socket is the one that QEMU or libvirt makes for a virtio-serial channel, or any other on which a guest listens. Who is
behind it is found out: a guest of ours, or qemu-ga. `exec` exits with the code of the command as `stead exec` does, and shows
what the command prints as it comes where the guest has the framed link; with --json, and elsewhere, it gives one answer at its
end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, mode, seconds
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.sdk.guest.client import GuestClient
    from stead.sdk.guest.link import GuestLink
    from stead.sdk.guest.way import Way
    from stead.sdk.remote import RemoteToolbox

TIMED_OUT, SIGNALLED = 124, 137


def serve(context: Context, arguments: Namespace) -> int:
    """Becomes the guest; it reads what is left of the line itself."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "stead.guest", "serve", *arguments.rest])  # noqa: S606


def _client(arguments: Namespace) -> AbstractAsyncContextManager[GuestClient]:
    from stead.sdk.guest.client import connect

    return connect(_way(arguments), arguments.speaks)


def _way(arguments: Namespace) -> Way:
    """Where the guest is, as the line says."""
    from stead.sdk.guest.way import Way

    if arguments.http is None:
        return Way(arguments.socket, console=arguments.speaks == "console")
    if not arguments.token_file:
        raise SteadError("invalid", "a guest over HTTP asks for its token: --token-file FILE")
    return Way.http(arguments.http, Path(arguments.token_file).read_text().strip())


async def ping(context: Context, arguments: Namespace) -> None:
    async with _client(arguments) as client:
        took = await client.ping()
    context.out.facts(
        {"seconds": took, "speaks": client.speaks}, {"answer": f"{took * 1000:.1f} ms by {client.speaks}"}
    )


async def info(context: Context, arguments: Namespace) -> None:
    """What the guest is, and what the machine is where the guest can tell."""
    async with _client(arguments) as client:
        agent = await client.info()
        system = await _if_known(client)
    spoken = " ".join(dict.fromkeys([client.speaks, agent.protocol_version]))
    facts = {"guest": f"{agent.version} ({spoken})", "platform": agent.platform}
    if system is not None:
        facts |= {
            "system": system.os_name
            if system.os_version in system.os_name
            else f"{system.os_name} {system.os_version}",
            "kernel": f"{system.kernel_version} {system.architecture}",
            "host name": system.hostname,
            "processors": str(system.cpu_count),
            "memory": output.amount(system.total_memory_kb << 10),
            "up": output.age(1.0, 1.0 + system.uptime_seconds),
        }
    facts["can"] = " ".join(agent.capabilities)
    context.out.facts({"agent": agent, "system": system}, facts)


async def _if_known(client: GuestClient) -> wire.SystemInfo | None:
    try:
        return await client.system()
    except SteadError as error:
        if error.code != "method_not_found":
            raise
        return None


async def network(context: Context, arguments: Namespace) -> None:
    async with _client(arguments) as client:
        found = (await client.network()).interfaces
    rows = [
        (each.name, each.state, str(each.mtu), each.mac_address, " ".join(each.ipv4_addresses + each.ipv6_addresses))
        for each in found
    ]
    context.out.items(found, ("name", "state", "mtu", "mac", "addresses"), rows)


async def disks(context: Context, arguments: Namespace) -> None:
    async with _client(arguments) as client:
        found = (await client.disks()).filesystems
    rows = [
        (
            each.mount_point,
            each.device,
            each.fs_type,
            output.amount(each.total_bytes),
            output.amount(each.available_bytes),
            f"{each.used_percent:.0f} %",
        )
        for each in found
    ]
    context.out.items(found, ("mounted at", "device", "type", "size", "free", "used"), rows)


async def call(context: Context, arguments: Namespace) -> None:
    """One request as it is, in the words of whoever is there."""
    import msgspec

    try:
        params = msgspec.json.decode(arguments.params or "{}", type=dict[str, object])
    except msgspec.DecodeError as error:
        raise SteadError("invalid", f"params are not a JSON object: {error}") from None
    async with _client(arguments) as client:
        context.out.value(await client.call(arguments.method, params, arguments.timeout))


async def execute(context: Context, arguments: Namespace) -> int:
    argv = [*arguments.command, *arguments.rest]
    if not argv:
        raise SteadError("invalid", "no command was given: stead guest exec --socket PATH -- CMD ...")
    async with _client(arguments) as client:
        if not context.out.json and (link := await _link(client)) is not None:
            async with link as linked:
                return await _streamed(context, linked.toolbox, argv, arguments)
        return await _answered(context, client, argv, arguments)


async def _link(client: GuestClient) -> AbstractAsyncContextManager[GuestLink] | None:
    """The framed link, where the guest has it."""
    from stead.sdk.guest.client import RpcGuest

    if not isinstance(client, RpcGuest) or wire.UPGRADE not in (await client.info()).capabilities:
        return None
    return client.linked()


async def _streamed(context: Context, toolbox: RemoteToolbox, argv: list[str], arguments: Namespace) -> int:
    """Where nothing is said of its time, a guest that permits less is not asked for more."""
    from stead.cli.exec import foreground
    from stead.toolbox.contract import Exec

    wanted = Exec(argv=argv, cwd=arguments.cwd or ".", timeout=arguments.timeout)
    try:
        running = await toolbox.start(wanted)
    except SteadError as error:
        if error.code != "refused" or arguments.timeout != wire.EXEC_SECONDS:
            raise
        wanted.timeout = 0.0
        running = await toolbox.start(wanted)
    return await foreground(context, toolbox, running, stdin=False)


async def _answered(context: Context, client: GuestClient, argv: list[str], arguments: Namespace) -> int:
    try:
        done = await client.exec(argv[0], argv[1:], seconds=arguments.timeout, cwd=arguments.cwd)
    except SteadError as error:
        if error.code != "timeout":
            raise
        _print(context, error.details.get("stdout", ""), error.details.get("stderr", ""))
        context.out.note(f"stead: {error.message}")
        return TIMED_OUT
    if context.out.json:
        context.out.value(done)
    else:
        _print(context, done.stdout, done.stderr)
    if done.truncated:
        more = "; without --json all of it comes" if context.out.json and client.speaks != "qemu-ga" else ""
        context.out.note(f"stead: there was more output than one answer carries{more}")
    return done.exit_code if done.exit_code >= 0 else SIGNALLED


def _print(context: Context, stdout: str, stderr: str) -> None:
    if not context.out.json:
        sys.stdout.write(stdout)
        sys.stderr.write(stderr)


async def read(context: Context, arguments: Namespace) -> None:
    async with _client(arguments) as client:
        content = await client.read(arguments.path)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


async def write(context: Context, arguments: Namespace) -> None:
    content = Path(arguments.source).read_bytes() if arguments.source != "-" else sys.stdin.buffer.read()
    async with _client(arguments) as client:
        count = await client.write(arguments.path, content, parents=arguments.parents, mode=arguments.mode)
    context.out.facts({"path": arguments.path, "bytes_written": count}, {"written": output.amount(count)})


async def shutdown(context: Context, arguments: Namespace) -> None:
    async with _client(arguments) as client:
        started = await client.shutdown(seconds=arguments.delay, force=arguments.force)
    context.out.facts(started, {"shutdown": started.message})


async def reboot(context: Context, arguments: Namespace) -> None:
    async with _client(arguments) as client:
        started = await client.reboot(seconds=arguments.delay, force=arguments.force)
    context.out.facts(started, {"reboot": started.message})


async def selfcheck(context: Context, arguments: Namespace) -> int:
    """The behaviours of a toolbox, straight through the socket."""
    from stead.cli.selfcheck import check
    from stead.sdk.guest.client import who
    from stead.sdk.guest.link import GuestLink

    way = _way(arguments)
    if (arguments.speaks or await who(way)) == "qemu-ga":
        raise SteadError("unsupported", "qemu-ga has no toolbox that could be tried; this needs a guest of ours")
    async with GuestLink(way) as link:
        return await check(context, link.toolbox, arguments)


def _with(more: Callable[[Parser], None] | None = None) -> Callable[[Parser], None]:
    """Where the guest is, and what a verb takes beside it."""

    def arguments(parser: Parser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--socket", metavar="PATH", help="the unix socket of the machine's channel")
        where.add_argument("--http", metavar="HOST:PORT", help="a guest that serves HTTP; with --token-file")
        parser.add_argument("--token-file", default="", metavar="FILE", help="a file with the token of that guest")
        parser.add_argument(
            "--speaks", choices=("stead", "qemu-ga", "console"), default="", help="spares finding out who is there"
        )
        if more is not None:
            more(parser)

    return arguments


def _call_arguments(parser: Parser) -> None:
    parser.add_argument("method", help="such as get_system_info, or guest-info of qemu-ga")
    parser.add_argument("params", nargs="?", default="", help="a JSON object")
    parser.add_argument("--timeout", type=seconds, default=30.0, metavar="TIME")


def _exec_arguments(parser: Parser) -> None:
    parser.add_argument("command", nargs="*", help="the program and its arguments, best after --")
    parser.add_argument(
        "--timeout", type=seconds, default=wire.EXEC_SECONDS, metavar="TIME", help="ended after so long"
    )
    parser.add_argument("--cwd", default=None, metavar="DIR")


def _path_argument(parser: Parser) -> None:
    parser.add_argument("path", help="in the machine")


def _write_arguments(parser: Parser) -> None:
    _path_argument(parser)
    parser.add_argument("source", nargs="?", default="-", help="a file of this machine; - is standard input")
    parser.add_argument("-p", "--parents", action="store_true", help="make missing directories")
    parser.add_argument("--mode", type=mode, default=None, metavar="OCTAL", help="its permissions, such as 644")


def _power_arguments(parser: Parser) -> None:
    parser.add_argument("--delay", type=seconds, default=0.0, metavar="TIME", help="not at once but after so long")
    parser.add_argument("--force", action="store_true", help="without ending programs in order")


def _check_arguments(parser: Parser) -> None:
    from stead.cli.selfcheck import check_arguments

    check_arguments(parser)


VERBS = {
    "serve": Verb("be the guest of this machine", plain=serve, raw=True),
    "ping": Verb("whether the guest answers", ping, _with(), alone=True),
    "info": Verb("what the guest and its machine are", info, _with(), alone=True),
    "network": Verb("the machine's interfaces and addresses", network, _with(), alone=True),
    "disks": Verb("the machine's file systems", disks, _with(), alone=True),
    "exec": Verb(
        "run a program in the machine", execute, _with(_exec_arguments), alone=True, own_codes=True, rest=True
    ),
    "read": Verb("write a file of the machine to standard output", read, _with(_path_argument), alone=True),
    "write": Verb("write a file in the machine", write, _with(_write_arguments), alone=True),
    "call": Verb("one request in the guest's own words", call, _with(_call_arguments), alone=True),
    "shutdown": Verb("power the machine off", shutdown, _with(_power_arguments), alone=True),
    "reboot": Verb("start the machine again", reboot, _with(_power_arguments), alone=True),
    "selfcheck": Verb("try everything a workspace promises", selfcheck, _with(_check_arguments), alone=True),
}
