"""Several workspaces side by side, each with its own files."""

import anyio

from stead.sdk import Stead


async def one(stead: Stead, number: int) -> None:
    workspace = await stead.workspaces.create(labels={"example": "many"})
    await workspace.toolbox.write("number", str(number).encode())
    result = await workspace.exec(["cat", "number"])
    print("workspace", result.stdout.decode())
    await workspace.delete()


async def main() -> None:
    async with Stead() as stead, anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(one, stead, number)


anyio.run(main)
