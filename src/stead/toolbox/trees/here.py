"""Trees of this machine as a toolbox has them: the streams of a local toolbox, and a directory of a person's own machine.

Contract: `LocalTrees` is what a local toolbox has of trees besides its area. `Here(directory)` is a toolbox of trees alone, for
whoever copies between a workspace and this machine; it needs no holder. `close` it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stead.toolbox.areas import Areas
from stead.toolbox.confine import Root
from stead.toolbox.contract import Params
from stead.toolbox.operations import Operation
from stead.toolbox.place import LocalWork, Place

if TYPE_CHECKING:
    from stead.toolbox.trees.contract import Links, ReadTree, Unpacked, WriteTree
    from stead.toolbox.trees.pack import Packer
    from stead.toolbox.trees.unpack import Unpacker

P = TypeVar("P", bound=Params)
R = TypeVar("R")

MODES = 0o777
"""What of a mode is kept."""


class LocalTrees:
    """Trees as tar, over a place."""

    place: Place
    modes = MODES

    async def download_tree(self, path: str = ".", **options: Any) -> AsyncIterator[bytes]:
        from stead.toolbox.trees.contract import read_tree

        packer = await self.packer(read_tree(path, **options))
        try:
            while data := await self.place.in_thread(packer.next):
                yield data
        finally:
            packer.close()

    async def upload_tree(
        self, path: str, content: AsyncIterator[bytes], *, links: Links | str = "refuse", limit: int = 1 << 40
    ) -> Unpacked:
        from stead.toolbox.trees.contract import Links, WriteTree

        unpacker = await self.unpacker(WriteTree(path=path, links=Links(links), limit=limit))
        try:
            async for data in content:
                await self.place.in_thread(unpacker.feed, data)
            return await self.place.in_thread(unpacker.finish)
        finally:
            unpacker.close()

    async def packer(self, p: ReadTree) -> Packer:
        """Opens a directory for packing."""
        from stead.toolbox.trees.pack import Packer
        from stead.toolbox.trees.walk import Choice

        choice = Choice(ignore=p.ignore, include=p.include, exclude=p.exclude)
        return await self.place.in_thread(Packer, self.place.root, p.path, choice, p.names)

    async def unpacker(self, p: WriteTree) -> Unpacker:
        """Opens a directory, which is made when it is missing, for unpacking."""
        from stead.toolbox.trees.unpack import Unpacker

        make: Callable[..., Unpacker] = Unpacker
        return await self.place.in_thread(
            make, self.place.files, p.path, links=p.links, limit=p.limit, modes=self.modes
        )


class Here(LocalTrees, Areas):
    """A directory of this machine."""

    def __init__(self, directory: Path, *, modes: int = MODES) -> None:
        self.place = Place(Root(directory), {})
        self.modes = modes
        self._work = LocalWork(self.place)

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        answer: R = await self._work.of(operation.name)(params)
        return answer

    def close(self) -> None:
        self.place.close()
        self.place.root.close()
