"""Write, read, list and move files of a workspace."""

import anyio

from stead.sdk import Stead


async def main() -> None:
    async with Stead() as stead:
        workspace = await stead.workspaces.create()
        files = workspace.toolbox

        await files.write("notes/today.txt", b"buy milk\n", parents=True)
        await files.append("notes/today.txt", b"call mother\n")
        await files.move("notes/today.txt", "notes/done.txt")
        for entry in (await files.list("notes")).entries:
            print(entry.kind, entry.path, entry.size)
        print((await files.read("notes/done.txt")).content.decode(), end="")

        # The same files, seen by a command.
        result = await workspace.exec(["wc", "-l", "notes/done.txt"])
        print(result.stdout.decode(), end="")
        await workspace.delete()


anyio.run(main)
