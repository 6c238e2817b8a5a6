"""Edit text exactly, apply a diff, and take a whole directory home as a tar archive."""

import io
import tarfile

import anyio

from stead.sdk import Stead, SteadError
from stead.toolbox.text.contract import Edit

DIFF = """\
--- a/shop/price.py
+++ b/shop/price.py
@@ -1,2 +1,3 @@
 def price(amount):
-    return amount * 3
+    # in cents
+    return amount * 300
--- /dev/null
+++ b/shop/README
@@ -0,0 +1 @@
+A small shop.
"""


async def main() -> None:
    async with Stead() as stead:
        workspace = await stead.workspaces.create()
        text, trees = workspace.toolbox.text, workspace.toolbox.trees

        written = await text.write("shop/price.py", "def cost(amount):\n    return amount * 2\n", parents=True)
        edits = [Edit(old="cost", new="price"), Edit(old="* 2", new="* 3")]
        edited = await text.edit("shop/price.py", edits, etag=written.etag)
        print(f"+{edited.lines_added} -{edited.lines_removed}")

        # Who edits what somebody else has changed meanwhile is told so.
        try:
            await text.replace("shop/price.py", "price", "fee", etag=written.etag)
        except SteadError as error:
            print(error.code)

        for file in (await text.patch(DIFF)).files:
            print(file.change, file.path)

        archive = b"".join([piece async for piece in workspace.toolbox.download_tree("shop")])
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            print(tar.getnames())

        await trees.copy("shop", "backup")
        print([entry.path for entry in (await trees.glob("*.py")).entries])
        await workspace.delete()


anyio.run(main)
