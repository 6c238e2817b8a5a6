"""Fuzzes the parsers that read what strangers send: frames, messages, JSON-RPC lines, archives, diffs. Run by `make fuzz`.

`--parser NAME` picks one, `--seconds N` bounds each (default 60). A crash prints the input and leaves it in a file.
"""

import argparse
import operator
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

PARSERS = {
    "frame": ("stead.protocol.frames", "Frame.decode", "stead.protocol.errors", "SteadError"),
    "message": ("stead.protocol.codec", "decode", "stead.protocol.errors", "SteadError"),
    "wire": ("stead.testing.fuzz", "try_all", "stead.protocol.errors", "SteadError"),
    "jsonrpc": ("stead.guest.rpc", "parse", "stead.guest.rpc", "RpcError"),
    "archive": ("stead.testing.fuzzfiles", "archive", "stead.protocol.errors", "SteadError"),
    "diff": ("stead.testing.fuzzfiles", "diff", "stead.protocol.errors", "SteadError"),
    "ignore": ("stead.testing.fuzzfiles", "ignore", "stead.protocol.errors", "SteadError"),
}
"""By name: module and function under test, module and name of the one error it may raise."""


def main() -> int:
    """Runs each parser in a process of its own, for the fuzzer ends its process."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--parser", choices=PARSERS)
    options.add_argument("--inside", choices=PARSERS, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.inside:
        fuzz(asked.inside, asked.seconds)
        return 0
    codes = []
    for name in [asked.parser] if asked.parser else PARSERS:
        print(f"fuzz: {name} for {asked.seconds} s", flush=True)
        argv = [sys.executable, __file__, "--inside", name, "--seconds", str(asked.seconds)]
        codes.append(subprocess.run(argv, check=False).returncode)
    return max(codes)


def fuzz(name: str, seconds: int) -> None:
    """Feeds one parser until the time is over. Any other error than the one it may raise is a crash."""
    atheris = import_module("atheris")
    module, function, error_module, error = PARSERS[name]
    with atheris.instrument_imports(include=["stead"]):
        parse: Callable[[bytes], object] = find(module, function)
        expected: type[Exception] = find(error_module, error)

    def one(data: bytes) -> None:
        try:
            parse(data)
        except expected:
            return

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=1024"], one)
    atheris.Fuzz()


def find(module: str, path: str) -> Any:
    """What a dotted name in a module means."""
    return operator.attrgetter(path)(import_module(module))


if __name__ == "__main__":
    sys.exit(main())
