"""`stead ws`: make, list, start, stop and remove workspaces."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, label, pair, relabelled, seconds, size, workspace_argument

if TYPE_CHECKING:
    from stead.api.types import Event, Workspace

OnChange = Callable[["Workspace"], None]


async def create(context: Context, arguments: Namespace) -> None:
    """Waits until it runs, with its steps shown on a terminal."""
    async with context.stead() as stead:
        with _progress(context, f"making {arguments.name or 'a workspace'}") as on_change:
            workspace = await stead.workspaces.create(
                arguments.name,
                wait=not arguments.no_wait,
                timeout=arguments.wait,
                on_change=on_change,
                driver=arguments.driver,
                node=arguments.node,
                labels=dict(arguments.label),
                node_labels=dict(arguments.node_label),
                isolation=arguments.isolation,
                cpus=arguments.cpus,
                memory_bytes=arguments.memory,
                processes=arguments.processes,
                environment=dict(arguments.env),
                setup=arguments.setup,
            )
        if context.out.json:
            context.out.value(workspace.info)
        else:
            context.out.line(workspace.name)


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        listed = stead.workspaces.list(
            state=arguments.state, node=arguments.node, owner=arguments.owner, labels=dict(arguments.label)
        )
        items = [workspace.info async for workspace in listed]
    context.out.items(items, ("name", "state", "node", "isolation", "age", "id"), map(_row, items))


async def show(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        workspace = await stead.workspaces.get(arguments.workspace)
    context.out.facts(workspace.info, _facts(workspace.info))


async def start(context: Context, arguments: Namespace) -> None:
    await _order(context, arguments, "start")


async def stop(context: Context, arguments: Namespace) -> None:
    await _order(context, arguments, "stop")


async def restart(context: Context, arguments: Namespace) -> None:
    await _order(context, arguments, "restart")


async def rm(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        for reference in arguments.workspaces:
            workspace = await stead.workspaces.get(reference)
            await workspace.delete(wait=not arguments.no_wait, timeout=arguments.wait)
            context.out.gone(workspace.id, workspace.name)


async def events(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        workspace = await stead.workspaces.get(arguments.workspace)
        items = [event async for event in workspace.events()]
    context.out.items(items, ("at", "kind", "what"), map(event_row, items))


async def relabel(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        workspace = await stead.workspaces.get(arguments.workspace)
        await workspace.update(labels=relabelled(workspace.info.labels, arguments.labels))
    context.out.facts(workspace.info, {"labels": output.pairs(workspace.info.labels) or "none"})


async def rename(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        workspace = await stead.workspaces.get(arguments.workspace)
        await workspace.update(name=arguments.name)
    context.out.facts(workspace.info, {"name": workspace.name})


def event_row(event: Event) -> tuple[str, str, str]:
    """An event as a line of a table."""
    told = {key: f"{value:.3g}" if isinstance(value, float) else str(value) for key, value in event.data.items()}
    return output.moment(event.at), event.kind, output.pairs({key: value for key, value in told.items() if value})


async def _order(context: Context, arguments: Namespace, verb: str) -> None:
    async with context.stead() as stead:
        workspace = await stead.workspaces.get(arguments.workspace)
        with _progress(context, f"{verb} {workspace.name}") as on_change:
            order = {"start": workspace.start, "stop": workspace.stop, "restart": workspace.restart}[verb]
            await order(wait=not arguments.no_wait, timeout=arguments.wait, on_change=on_change)
        if context.out.json:
            context.out.value(workspace.info)
        else:
            context.out.line(f"{workspace.name} {workspace.state.value}")


@contextmanager
def _progress(context: Context, what: str) -> Iterator[OnChange | None]:
    """The steps as they happen, on stderr, only where a person looks."""
    if context.out.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:

        def on_change(info: Workspace) -> None:
            step = info.steps[-1] if info.steps else None
            status.update(output.safe(f"{what}: {step.name} {step.detail}" if step else f"{what}: {info.state.value}"))

        yield on_change


def _row(info: Workspace) -> tuple[str, ...]:
    state = info.state.value if info.reachable or info.state.value != "running" else "unreachable"
    isolation = info.isolation.value if info.isolation else "-"
    return info.name, state, info.node_name or info.node_id or "-", isolation, output.age(info.created), info.id


def _facts(info: Workspace) -> dict[str, str]:
    wanted = f" (at least {info.isolation_wanted.value} wanted)" if info.isolation_wanted else ""
    return {
        "id": info.id,
        "name": info.name,
        "state": f"{info.state.value} (wanted: {info.desired.value})",
        "reachable": "yes" if info.reachable else "no",
        "problem": f"{info.error.code}: {info.error.message}\n{info.error.hint}".strip() if info.error else "",
        "owner": info.owner,
        "node": f"{info.node_name or ''} {info.node_id or ''}".strip(),
        "driver": info.driver,
        "isolation": (info.isolation.value if info.isolation else "") + wanted,
        "limits kept": ", ".join(info.limits) or "none",
        "cpus": f"{info.cpus:g}" if info.cpus else "",
        "memory": output.amount(info.memory_bytes) if info.memory_bytes else "",
        "processes": str(info.processes or ""),
        "persistence": info.persistence,
        "labels": output.pairs(info.labels),
        "environment": ", ".join(info.environment_names),
        "guest restarts": str(info.guest_restarts or ""),
        "created": output.moment(info.created),
        "steps": "\n".join(f"{step.name} {step.detail} {_took(step.seconds)}".strip() for step in info.steps),
    }


def _took(passed: float | None) -> str:
    return "..." if passed is None else f"{passed * 1000:.0f} ms"


def _create_arguments(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", default="", help="its name; one is made if none is given")
    parser.add_argument("--driver", default="process", help="how it is made (process)")
    parser.add_argument("--node", default="", help="on this node, by name or id")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="a label of it")
    parser.add_argument(
        "--node-label", action="append", type=pair, default=[], metavar="K=V", help="what a node must have"
    )
    parser.add_argument("--isolation", choices=["none", "namespaces", "container", "vm"], help="at least this, or fail")
    parser.add_argument("--cpus", type=float, default=0.0, help="how many processors' worth")
    parser.add_argument("--memory", type=size, default=0, metavar="SIZE", help="how much memory (512M, 2G)")
    parser.add_argument("--processes", type=int, default=0, help="how many processes")
    parser.add_argument("--env", action="append", type=pair, default=[], metavar="K=V", help="an environment variable")
    parser.add_argument(
        "--setup", action="append", default=[], metavar="LINE", help="a shell line to run when it is made"
    )
    _wait_arguments(parser)


def _ls_arguments(parser: Parser) -> None:
    parser.add_argument("--state", default="", help="only in this state")
    parser.add_argument("--node", default="", help="only on this node")
    parser.add_argument("--owner", default="", help="only of this user")
    parser.add_argument("--label", action="append", type=pair, default=[], metavar="K=V", help="only with this label")


def _wait_arguments(parser: Parser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it is done")
    parser.add_argument("--wait", type=seconds, default=120.0, metavar="TIME", help="how long to wait (120s)")


def _order_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    _wait_arguments(parser)


def _rm_arguments(parser: Parser) -> None:
    parser.add_argument("workspaces", nargs="+", metavar="WS", help="names, ids, or unique beginnings of ids")
    _wait_arguments(parser)


def _label_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("labels", nargs="+", type=label, metavar="K=V|K-", help="set a label, or remove it")


def _rename_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("name", help="its new name")


VERBS = {
    "create": Verb("make a workspace and wait until it runs", create, _create_arguments),
    "ls": Verb("list workspaces", ls, _ls_arguments),
    "show": Verb("everything about one", show, workspace_argument),
    "start": Verb("start it again", start, _order_arguments),
    "stop": Verb("end its processes, keep its files", stop, _order_arguments),
    "restart": Verb("end its processes and start afresh", restart, _order_arguments),
    "rm": Verb("remove workspaces with their files", rm, _rm_arguments),
    "events": Verb("what happened to it", events, workspace_argument),
    "label": Verb("set or remove labels", relabel, _label_arguments),
    "rename": Verb("give it another name", rename, _rename_arguments),
}
