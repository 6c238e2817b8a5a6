"""`stead command`: the durable orders to nodes."""

from __future__ import annotations

from stead.cli import output
from stead.cli.context import Context
from stead.cli.references import pick
from stead.cli.words import Namespace, Parser, Verb


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        listed = stead.commands.list(workspace=arguments.workspace, node=arguments.node, state=arguments.state)
        items = [command async for command in listed]
    rows = [(c.kind.value, c.state, str(c.attempts), output.age(c.created), c.workspace_id, c.id) for c in items]
    context.out.items(items, ("kind", "state", "attempts", "age", "workspace", "id"), rows)


async def show(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        command = await pick(stead.commands.list(), arguments.command, "command")
    context.out.facts(
        command,
        {
            "id": command.id,
            "kind": command.kind.value,
            "state": command.state,
            "workspace": command.workspace_id,
            "node": command.node_id,
            "sequence": str(command.sequence),
            "attempts": str(command.attempts),
            "problem": f"{command.error.code}: {command.error.message}" if command.error else "",
            "created": output.moment(command.created),
            "sent": output.moment(command.sent),
            "acknowledged": output.moment(command.acknowledged),
            "ended": output.moment(command.ended),
            "deadline": output.moment(command.deadline),
        },
    )


async def cancel(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        found = await pick(stead.commands.list(), arguments.command, "command")
        command = await stead.commands.cancel(found.id)
    context.out.facts(command, {"id": command.id, "state": command.state})


def _ls_arguments(parser: Parser) -> None:
    parser.add_argument("--workspace", default="", help="only of this workspace")
    parser.add_argument("--node", default="", help="only to this node")
    parser.add_argument("--state", default="", help="only in this state")


def _command_argument(parser: Parser) -> None:
    parser.add_argument("command", help="id, or its unique beginning")


VERBS = {
    "ls": Verb("list commands", ls, _ls_arguments),
    "show": Verb("everything about one", show, _command_argument),
    "cancel": Verb("cancel one that has not begun", cancel, _command_argument),
}
