"""Read a command's output while it runs. It goes on, byte for byte, through any lost connection."""

import anyio

from stead.sdk import Stead


async def main() -> None:
    async with Stead() as stead:
        workspace = await stead.workspaces.create()
        async for piece in workspace.stream(["for n in 1 2 3; do echo $n; sleep 0.2; done"], shell=True):
            print(f"{piece.channel}: {piece.data.decode()}", end="")
        await workspace.delete()


anyio.run(main)
