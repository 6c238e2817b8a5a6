"""The same without `async`."""

from stead.sdk import SyncStead

with SyncStead() as stead:
    workspace = stead.workspaces.create()
    result = workspace.exec(["echo", "no await here"])
    print(result.stdout.decode(), end="")
    for piece in workspace.stream(["seq", "3"]):
        print(piece.data.decode(), end="")
    workspace.delete()
