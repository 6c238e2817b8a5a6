"""Create a workspace, run a command in it, delete it."""

import anyio

from stead.sdk import Stead


async def main() -> None:
    async with Stead() as stead:
        workspace = await stead.workspaces.create()
        result = await workspace.exec(["echo", "hello from", workspace.name])
        print(result.stdout.decode(), end="")

        # A command that fails is a result, not an error.
        result = await workspace.exec(["false"])
        print("false ended with", result.status.exit_code)

        await workspace.delete()


anyio.run(main)
