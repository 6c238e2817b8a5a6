"""`stead node`: join, run and look after machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, label, pair, relabelled, seconds

if TYPE_CHECKING:
    from stead.api.types import Node


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
        await stead.nodes.delete(node.id)
    if not context.out.json:
        context.out.line(node.name)


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


async def relabel(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        node = await stead.nodes.get(arguments.node)
        changed = await stead.nodes.update(node.id, labels=relabelled(node.labels, arguments.labels))
    context.out.facts(changed, {"labels": output.pairs(changed.labels) or "none"})


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


def _ls_arguments(parser: Parser) -> None:
    parser.add_argument("--status", default="", help="online, offline, draining, pending")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="only with this label")


def _token_arguments(parser: Parser) -> None:
    parser.add_argument("--lifetime", type=seconds, default=3600.0, metavar="TIME", help="how long it is good (1h)")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="a label of the node")


def _label_arguments(parser: Parser) -> None:
    _node_argument(parser)
    parser.add_argument("labels", nargs="+", type=label, metavar="K=V|K-", help="set a label, or remove it")


VERBS = {
    "ls": Verb("list nodes", ls, _ls_arguments),
    "show": Verb("everything about one", show, _node_argument),
    "approve": Verb("let a node that enrolled take part", approve, _node_argument),
    "drain": Verb("no new workspaces on it; those it has go on", drain, _node_argument),
    "undrain": Verb("new workspaces on it again", undrain, _node_argument),
    "rm": Verb("remove it; its link ends within a second", rm, _node_argument),
    "token": Verb("a single-use token for a machine to join with", token, _token_arguments),
    "label": Verb("set or remove labels", relabel, _label_arguments),
}
