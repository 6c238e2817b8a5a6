"""Runs the command line as a shell does."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).parent / "stead")
PATIENCE = 60.0


class Cli:
    """`cli("ws", "ls")` runs and answers what happened; `ok` also says that it must succeed."""

    def __init__(self, environment: Mapping[str, str], program: str = PROGRAM) -> None:
        self.environment = dict(environment)
        self.program = program

    def __call__(self, *words: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.program, *words],
            env=self.environment,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def ok(self, *words: str, input: bytes | None = None) -> str:
        """Its output; the test fails when it does."""
        done = self(*words, input=input)
        assert done.returncode == 0, f"stead {' '.join(words)}: {done.returncode} {done.stderr.decode()}"
        return done.stdout.decode()

    def json(self, *words: str) -> Any:
        """Its answer as data."""
        return json.loads(self.ok(*words, "--json"))

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Runs beside the test."""
        streams: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        return subprocess.Popen([self.program, *words], env=self.environment, **streams)

    def at(self, **variables: str) -> "Cli":
        """The same with other variables."""
        return Cli({**self.environment, **variables}, self.program)


def in_process(cli: Cli) -> Cli:
    """Without the kept process."""
    return cli.at(STEAD_KEEPER="0")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Killed at the end, also when the test fails, so that nothing waits for it."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
