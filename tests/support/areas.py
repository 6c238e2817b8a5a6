"""The areas of a toolbox at a directory of this machine, without a holder, and the programs of the checkout for toolboxes."""

import os
import sys
from pathlib import Path
from typing import TypeVar

from stead.toolbox.areas import Areas
from stead.toolbox.confine import Root
from stead.toolbox.contract import Params
from stead.toolbox.operations import Operation
from stead.toolbox.place import LocalWork, Place
from support.repository import ROOT

P = TypeVar("P", bound=Params)
R = TypeVar("R")

COMPILER = ROOT / "web/node_modules/.bin/tsc"
"""The language server of TypeScript, where the packages of the web app are installed."""
PROGRAMS = os.pathsep.join([str(COMPILER.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
"""A PATH with the language servers of the checkout."""


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
