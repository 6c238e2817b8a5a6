"""The areas of a toolbox at a directory of this machine, without a holder."""

import os
from pathlib import Path
from typing import TypeVar

from stead.toolbox.areas import Areas
from stead.toolbox.confine import Root
from stead.toolbox.contract import Params
from stead.toolbox.operations import Operation
from stead.toolbox.place import LocalWork, Place

P = TypeVar("P", bound=Params)
R = TypeVar("R")


class Here(Areas):
    """All areas over one root."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        base = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
        self.place = Place(Root(root), base | environment)
        self._work = LocalWork(self.place)

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        answer: R = await self._work.of(operation.name)(params)
        return answer
