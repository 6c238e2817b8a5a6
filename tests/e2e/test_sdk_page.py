"""The page about the SDK does what it says."""

import re
import subprocess
import sys
import textwrap

from stead.testing.cluster import Cluster
from support.repository import ROOT


def test_its_pieces_are_one_program_that_runs(cluster: Cluster) -> None:
    pieces = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "sdk.md").read_text(), re.DOTALL)
    program = f"import anyio\nasync def main():\n{textwrap.indent(''.join(pieces), '    ')}\nanyio.run(main)\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=cluster.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == r"b'out\n' b'err\n' 3"
    assert told[1].startswith("failed ")
    assert told[2] == "not_found False"
    assert {line.split()[0] for line in told[3:-22]} == {"stdout"}
    assert told[-22:-1] == [
        r"b'typed\n'",
        "True",
        r"b'one\ntwo\n'",
        r"b'blue in made\n'",
        r"b'buy milk\n'",
        "['notes/today.txt']",
        "9",
        "1 1",
        r"['def price():\n', 1, 2]",
        "['shop.py']",
        "1",
        "['The page begins'] True",
        "True",
        "[]",
        "[('shop.py', 2, '    return 4')] False",
        "['shop.py']",
        "['cost']",
        "shop.py True",
        "True .",
        "created notes/new True",
        "[True]",
    ]
    assert told[-1].startswith("workspace.")
