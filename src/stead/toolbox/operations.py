"""What can be asked of a toolbox beyond files and execs: one declaration of each operation serves every implementation.

Contract: an area (`git`, `search`, ...) is a package beside this file. Its `contract.py` has the params, the results, the
`Operation` of each call and a face, the class that people use; its `local.py` does it here, as `work(place)`, a table from the
operation's name to what does it. `Toolbox.ask(operation, params)` is the one way into an implementation: local looks into that
table, scripted waits or fails first, remote sends a call of this name. A face is the same over each of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from stead.toolbox.contract import Params

P = TypeVar("P", bound=Params)
R = TypeVar("R")

ASK_SECONDS = 60.0
"""How long the answer to an operation may take unless it says otherwise."""

Work = Mapping[str, Callable[[Any], Awaitable[Any]]]
"""What does each operation of an area, by the operation's name."""


class Operation(NamedTuple, Generic[P, R]):
    """One call. Whether a lost answer may be asked for again is in the table of methods (`stead.protocol.methods`)."""

    name: str
    params: type[P]
    result: type[R]
    seconds: float = ASK_SECONDS


class Asking(Protocol):
    """What a face needs of a toolbox."""

    async def ask(self, operation: Operation[P, R], params: P) -> R: ...


def by_name(operations: Iterable[Operation[Any, Any]]) -> dict[str, Operation[Any, Any]]:
    """An area's `OPERATIONS`."""
    return {operation.name: operation for operation in operations}
