"""The control plane one drives by typing, with a real node of ours as a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from unit.testing.console import Console, mocked

pytestmark = pytest.mark.anyio


async def test_a_real_node_is_driven_from_start_to_delete(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("any")
    token.chmod(0o600)
    async with mocked() as (console, address):
        argv = [sys.executable, "-m", "stead.node", "--url", f"http://{address}", "--data", str(tmp_path / "data")]
        log = (tmp_path / "node.log").open("wb")
        with log:
            node = subprocess.Popen([*argv, "--enrol-token-file", str(token)], stdout=log, stderr=log)
        try:
            await drive(console)
        finally:
            node.send_signal(signal.SIGTERM)
            with anyio.fail_after(30, shield=True):
                await anyio.to_thread.run_sync(node.wait)


async def drive(console: Console) -> None:
    await console.type("wait")
    await console.sees("its signature is right")
    await console.sees("< node.inventory")
    await console.type("start mine isolation=none")
    await console.sees('"state": "running"')
    await console.type("exec mine echo hello")
    await console.sees("hello\\n")
    assert '"exit_code": 0' in await console.sees(" ended: ")
    await console.type('call mine exec.run {"argv": ["sh", "-c", "exit 3"]}')
    await console.sees('"exit_code": 3')
    await console.type("delete mine")
    await console.sees('"state": "absent"')
