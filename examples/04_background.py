"""Start a command, go away, come back from another program and read its output from where you stopped."""

import anyio

from stead.sdk import Stead

WORK = "for n in 1 2 3 4 5; do echo step $n; sleep 0.2; done"


async def main() -> None:
    async with Stead() as stead:
        workspace = await stead.workspaces.create()
        running = await workspace.start_exec([WORK], shell=True, background=True)
        cursor = 0
        async for piece in running.output():
            print(piece.data.decode(), end="")
            cursor = piece.cursor
            break

    # The first client is gone; the command is not.
    async with Stead() as stead:
        workspace = await stead.workspaces.get(workspace.id)
        again = await workspace.attach(running.exec_id, cursor)
        async for piece in again.output():
            print(piece.data.decode(), end="")
        print("ended:", (await again.wait()).state)
        await workspace.delete()


anyio.run(main)
