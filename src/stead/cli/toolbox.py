"""`stead toolbox`: any operation of a workspace's toolbox by its name, answered as JSON."""

from __future__ import annotations

import sys

import anyio.to_thread
import msgspec

from stead.api.toolbox import declared
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, pair
from stead.protocol.errors import SteadError
from stead.protocol.methods import CALLS
from stead.toolbox import areas
from stead.toolbox.contract import Params

DETAILS = """\
Without an operation all of them are listed. Params are key=value, where lists and objects are JSON; or - for an object of JSON
on stdin, as those with a credential must be. Bytes are base64.

  stead toolbox work git.commit directory=project message='What changed' all=true
  stead toolbox work text.edit path=shop.py edits='[{"old": "1", "new": "2"}]'
  stead toolbox work system.services"""


async def toolbox(context: Context, arguments: Namespace) -> None:
    """The result as the workspace gives it."""
    if not arguments.operation:
        if areas.find(arguments.workspace) is not None:
            raise SteadError("invalid", f"the workspace comes first: stead toolbox WS {arguments.workspace}")
        _list(context)
        return
    operation = areas.find(arguments.operation)
    if operation is None:
        raise SteadError("method_not_found", f"no operation {arguments.operation!r}; `stead toolbox` lists them")
    params = _params(operation.params, await _given(arguments.params))
    async with context.toolbox(arguments.workspace) as inside:
        context.out.value(await inside.ask(operation, params))


def _list(context: Context) -> None:
    operations = declared().operations
    rows = [(name, CALLS[name].value, operation.about) for name, operation in operations.items()]
    context.out.items(
        [{"name": name, "right": right, "about": about} for name, right, about in rows],
        ("name", "right", "about"),
        rows,
    )


async def _given(words: list[str]) -> dict[str, object]:
    """What was written: text, and JSON where it begins like a list or an object."""
    try:
        if words == ["-"]:
            raw = await anyio.to_thread.run_sync(sys.stdin.buffer.read)
            return msgspec.json.decode(raw, type=dict[str, object])
        if any(word.startswith("credential=") for word in words):
            raise SteadError(
                "invalid", "a credential on the command line is seen by others: give all params on stdin (-)"
            )
        return {key: _value(text) for key, _, text in (word.partition("=") for word in words)}
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SteadError("invalid", f"params: {error}") from None


def _value(text: str) -> object:
    return msgspec.json.decode(text) if text.startswith(("[", "{")) else text


def _params(kind: type[Params], given: dict[str, object]) -> Params:
    """Text becomes the number or the truth that is wanted."""
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SteadError("invalid", f"params: {error}") from None


def _word(text: str) -> str:
    """key=value, or - ."""
    return text if text == "-" else "=".join(pair(text))


def _arguments(parser: Parser) -> None:
    parser.add_argument("workspace", nargs="?", default="", metavar="WS", help="name, id, or its unique beginning")
    parser.add_argument("operation", nargs="?", default="", help="such as git.status")
    parser.add_argument("params", nargs="*", type=_word, metavar="key=value", help="its params; - is JSON on stdin")


VERBS = {"toolbox": Verb("any operation of a workspace's toolbox, as JSON", toolbox, _arguments, details=DETAILS)}
