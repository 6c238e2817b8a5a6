"""`stead node`: join, run and look after machines."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, label, pair, relabelled, seconds
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.api.types import Node
    from stead.node.settings import NodeSettings

CONFIG = "node.toml"


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        listed = stead.nodes.list(status=arguments.status, labels=dict(arguments.label))
        items = [node async for node in listed]
    rows = [
        (
            n.name,
            n.status,
            _room(n),
            ",".join(sorted({i for d in n.drivers for i in d.isolation})) or "-",
            output.age(n.last_seen),
            n.id,
        )
        for n in items
    ]
    context.out.items(items, ("name", "status", "workspaces", "isolation", "seen", "id"), rows)


async def show(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        node = await stead.nodes.get(arguments.node)
    context.out.facts(node, _facts(node))


async def approve(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        _say(context, await stead.nodes.approve(arguments.node))


async def drain(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        _say(context, await stead.nodes.drain(arguments.node))


async def undrain(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        _say(context, await stead.nodes.undrain(arguments.node))


async def rm(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        node = await stead.nodes.get(arguments.node)
        await stead.nodes.delete(node.id, force=arguments.force)
    context.out.gone(node.id, node.name)


async def token(context: Context, arguments: Namespace) -> None:
    """The token goes to stdout, so that it can be piped into the file that `node join` reads."""
    async with context.stead() as stead:
        made = await stead.nodes.create_token(lifetime=arguments.lifetime, labels=dict(arguments.label))
    if context.out.json:
        context.out.value(made)
        return
    context.out.note(f"good once, until {output.moment(made.expires)}; on the machine, with it in a file:")
    context.out.note(f"  stead node join {context.target.url} --token-file FILE")
    context.out.line(made.token)


async def join(context: Context, arguments: Namespace) -> None:
    """Trades the token for an identity of this machine and keeps what `node run` needs."""
    from stead.node.identity import Identity, enrol
    from stead.node.settings import load
    from stead.sdk.config import check_url

    data = _node_data(context)
    if (data / "node" / "embedded.json").exists():
        raise SteadError("conflict", f"{data} belongs to a server with its own node; join with another --data")
    flags = {"url": check_url(arguments.address), "data": str(data), "name": arguments.name or None}
    settings = load(None, os.environ, flags | {"labels": dict(arguments.label), "tls_ca": arguments.tls_ca or None})
    token = Path(arguments.token_file).read_text().strip() if arguments.token_file else sys.stdin.readline().strip()
    node_id = await enrol(Identity.open(settings.state), settings, token)
    _write_config(settings)
    if context.out.json:
        context.out.value({"node_id": node_id, "config": str(data / CONFIG)})
        return
    context.out.line(node_id)
    context.out.note("it is a node now; run it with: stead node run" + (f" --data {data}" if context.data else ""))


def run(context: Context, arguments: Namespace) -> int:
    """Becomes the node's own program."""
    return _become(context, arguments)


def rotate_key(context: Context, arguments: Namespace) -> int:
    """Likewise; it ends when the control plane knows the new key."""
    return _become(context, arguments, "--rotate-key")


def _become(context: Context, arguments: Namespace, *more: str) -> int:
    config = Path(arguments.config) if arguments.config else _node_data(context) / CONFIG
    if not config.exists():
        raise SteadError("not_found", f"no {config}: join first, with stead node join URL --token-file FILE")
    argv = [sys.executable, "-m", "stead.node", "--config", str(config), "--log-level", arguments.log_level, *more]
    os.execv(sys.executable, argv)  # noqa: S606


async def relabel(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        node = await stead.nodes.get(arguments.node)
        changed = await stead.nodes.update(node.id, labels=relabelled(node.labels, arguments.labels))
    context.out.facts(changed, {"labels": output.pairs(changed.labels) or "none"})


async def rename(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        node = await stead.nodes.get(arguments.node)
        changed = await stead.nodes.update(node.id, name=arguments.name)
    context.out.facts(changed, {"name": changed.name})


async def limit(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        node = await stead.nodes.get(arguments.node)
        changed = await stead.nodes.update(node.id, max_workspaces=arguments.workspaces)
    context.out.facts(changed, {"name": changed.name, "workspaces": _room(changed)})


def _node_data(context: Context) -> Path:
    from stead.sdk.config import data_directory

    return (Path(context.data).expanduser() if context.data else data_directory()).absolute()


def _write_config(settings: NodeSettings) -> None:
    """The settings as `node run` reads them."""
    values = {"url": settings.url, "data": settings.data, "name": settings.display_name}
    if settings.tls_ca:
        values["tls_ca"] = settings.tls_ca
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    labels = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in settings.labels.items()]
    file = settings.folder / CONFIG
    file.write_text("\n".join([*lines, "", "[labels]", *labels, ""]))
    file.chmod(0o600)


def _room(node: Node) -> str:
    return f"{node.workspaces}/{node.max_workspaces}" if node.max_workspaces else str(node.workspaces)


def _say(context: Context, node: Node) -> None:
    context.out.facts(node, {"name": node.name, "status": node.status})


def _facts(node: Node) -> dict[str, str]:
    facts = {
        "id": node.id,
        "name": node.name,
        "status": node.status,
        "labels": output.pairs(node.labels),
        "workspaces": _room(node),
        "version": f"{node.version} (protocol {node.protocol})" if node.version else "",
        "seen": output.moment(node.last_seen),
        "created": output.moment(node.created),
    }
    if machine := node.facts:
        facts["machine"] = f"{machine.hostname}: {machine.os} {machine.kernel} {machine.arch}, {machine.cpus} CPUs"
    for driver in node.drivers:
        kept = ", ".join(driver.limits) or "none"
        facts[f"driver {driver.name}"] = (
            f"isolation {', '.join(driver.isolation)}; limits {kept}; {driver.note}".rstrip("; ")
        )
    if health := node.health:
        facts["cpu"] = f"{health.cpu_percent:.0f} %, load {health.load1:.2f}"
        facts["memory"] = f"{output.amount(health.memory_used_bytes)} of {output.amount(health.memory_total_bytes)}"
        facts["disk"] = f"{output.amount(health.disk_used_bytes)} of {output.amount(health.disk_total_bytes)}"
    return facts


def _node_argument(parser: Parser) -> None:
    parser.add_argument("node", help="name, id, or the unique beginning of an id")


def _rm_arguments(parser: Parser) -> None:
    _node_argument(parser)
    parser.add_argument("--force", action="store_true", help="also with workspaces, which are given up with it")


def _ls_arguments(parser: Parser) -> None:
    parser.add_argument("--status", default="", help="online, offline, draining, pending")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="only with this label")


def _token_arguments(parser: Parser) -> None:
    parser.add_argument("--lifetime", type=seconds, default=3600.0, metavar="TIME", help="how long it is good (1h)")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="a label of the node")


def _label_arguments(parser: Parser) -> None:
    _node_argument(parser)
    parser.add_argument("labels", nargs="+", type=label, metavar="K=V|K-", help="set a label, or remove it")


def _rename_arguments(parser: Parser) -> None:
    _node_argument(parser)
    parser.add_argument("name", help="its new name")


def _limit_arguments(parser: Parser) -> None:
    _node_argument(parser)
    parser.add_argument("workspaces", type=int, metavar="COUNT", help="at most so many; 0: no limit")


def _join_arguments(parser: Parser) -> None:
    parser.add_argument("address", metavar="URL", help="the control plane")
    parser.add_argument("--name", default="", help="the node's name (the machine's)")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="a label of it")
    parser.add_argument(
        "--tls-ca", default="", metavar="FILE", help="an authority, or the server's certificate, to trust besides (PEM)"
    )


def _run_arguments(parser: Parser) -> None:
    parser.add_argument("--config", default="", metavar="FILE", help="its settings (node.toml of the data directory)")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")


VERBS = {
    "join": Verb("make this machine a node; the token comes from --token-file or stdin", join, _join_arguments),
    "run": Verb("run the node of this machine", plain=run, arguments=_run_arguments),
    "rotate-key": Verb(
        "give the node of this machine a new key, while it does not run", plain=rotate_key, arguments=_run_arguments
    ),
    "ls": Verb("list nodes", ls, _ls_arguments),
    "show": Verb("everything about one", show, _node_argument),
    "approve": Verb("let a node that enrolled take part", approve, _node_argument),
    "drain": Verb("no new workspaces on it; those it has go on", drain, _node_argument),
    "undrain": Verb("new workspaces on it again", undrain, _node_argument),
    "rm": Verb("remove it; its link ends within a second", rm, _rm_arguments),
    "token": Verb("a single-use token for a machine to join with", token, _token_arguments),
    "label": Verb("set or remove labels", relabel, _label_arguments),
    "rename": Verb("give it another name", rename, _rename_arguments),
    "limit": Verb("how many workspaces it takes; those it has go on", limit, _limit_arguments),
}
