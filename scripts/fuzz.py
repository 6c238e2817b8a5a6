"""Fuzzes the parsers that read what strangers send: frames, messages, JSON-RPC lines. Run by `make fuzz`.

`--parser NAME` picks one, `--seconds N` bounds each (default 60). A crash prints the input and leaves it in a file.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable

PARSERS = ("frame", "message", "jsonrpc", "framed")


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
    """Feeds one parser until the time is over. Anything but a SteadError is a crash."""
    import atheris

    with atheris.instrument_imports(include=["stead"]):
        parse = parser(name)
    from stead.protocol.errors import SteadError

    def one(data: bytes) -> None:
        try:
            parse(data)
        except SteadError:
            return

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=1024"], one)
    atheris.Fuzz()


def parser(name: str) -> Callable[[bytes], object]:
    """The function under test."""
    if name == "frame":
        from stead.protocol.frames import Frame

        return Frame.decode
    from stead.protocol import messages

    return messages.decode


if __name__ == "__main__":
    sys.exit(main())
