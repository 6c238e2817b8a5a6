"""A driver of a machine whose /etc may be changed: run by test_sandbox as root of a mount namespace of its own.

It starts a workspace, does with /etc what machines do, and prints as JSON what the workspace could read before and after.
"""

import json
import os
import sys
from pathlib import Path

import anyio

from stead.drivers.contract import Handle
from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from support.deadline import eventually_async
from unit.drivers.test_nursery import quiet, run, spec

ETC = Path("/etc")
READ = """
for file in shadow resolv.conf hosts late key closed/key; do echo "$file: $(cat /etc/$file 2>&1)"; done
echo "names: $(ls -A /etc | tr '\\n' ' ')"
touch /etc/hosts 2> /dev/null || echo "touch: refused"
"""


def replace(name: str, content: str, mode: int = 0o644) -> None:
    """As `passwd` and the like do it: a new file takes the name."""
    new = ETC / "new"
    new.touch(mode=0o600)
    new.write_text(content)
    new.chmod(mode)
    new.replace(ETC / name)


async def main(state: Path) -> dict[str, dict[str, str]]:
    driver = ProcessDriver(ProcessSettings(state=state, hidden=(state,)))
    await driver.find()
    handle = await driver.start(spec("namespaces"), "cm_1", quiet)
    try:
        return await live(driver, handle)
    finally:
        await driver.delete(handle)
        await driver.close()


async def live(driver: ProcessDriver, handle: Handle) -> dict[str, dict[str, str]]:
    """A workspace of root, and the changes of the machine around it."""

    async def seen() -> dict[str, str]:
        text = await run(driver, handle, "/bin/sh", "-c", READ)
        return dict(line.split(": ", 1) for line in text.splitlines())

    async def sees(wanted: dict[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}

        async def look() -> bool:
            found.update(await seen())
            return all(found[name].endswith(value) for name, value in wanted.items())

        await eventually_async(look, f"the workspace sees {wanted}")
        return found

    told = {"node": {"uid": str(os.geteuid())}, "before": await seen()}
    replace("shadow", "SECRET", 0o600)
    (ETC / "closed").chmod(0o700)
    replace("resolv.conf", "two")
    with (ETC / "hosts").open("a") as file:
        file.write(" and more")
    told["after"] = await sees(
        {"resolv.conf": "two", "hosts": "one and more", "closed/key": "No such file or directory"}
    )
    replace("key", "SECRET", 0o600)
    replace("late", "late")
    told["late"] = await sees({"late": "late"})
    return told


if __name__ == "__main__":
    print(json.dumps(anyio.run(main, Path(sys.argv[1]))))
