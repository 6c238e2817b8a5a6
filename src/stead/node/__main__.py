"""`python -m stead.node --config FILE`: the node as a program. Exit code 2: settings; 1: it cannot serve.

It runs on uvloop where that is installed (the extra `server` brings it).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

import anyio

from stead.node import daemon, settings
from stead.protocol.errors import SteadError


def main(arguments: list[str] | None = None) -> int:
    """Runs until told to end."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=given.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    flags = {
        "url": given.url,
        "data": given.data,
        "name": given.name,
        "enrol_token_file": given.enrol_token_file,
    }
    try:
        loaded = settings.load(given.config, os.environ, flags)
    except SteadError as error:
        print(f"stead-node: {error.message}", file=sys.stderr)
        return 2
    return _run(daemon.rotate_key if given.rotate_key else daemon.run, loaded)


def _run(work: Callable[[settings.NodeSettings], Awaitable[None]], loaded: settings.NodeSettings) -> int:
    failures: list[SteadError] = []
    try:
        anyio.run(work, loaded, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except* SteadError as errors:
        failures = _leaves(errors)
    for error in failures:
        print(f"stead-node: {error}", file=sys.stderr)
    return 1 if failures else 0


def _leaves(errors: BaseExceptionGroup[SteadError]) -> list[SteadError]:
    found: list[SteadError] = []
    for error in errors.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stead-node", description="Runs workspaces on this machine.")
    parser.add_argument("--config", type=Path, help="a TOML file with settings")
    parser.add_argument("--url", help="the control plane, http(s)://host:port")
    parser.add_argument("--data", help="the folder of everything that lasts")
    parser.add_argument("--name", help="the node's name")
    parser.add_argument("--enrol-token-file", help="a private file with the single-use enrolment token")
    parser.add_argument(
        "--rotate-key", action="store_true", help="replace the node's key and end; the node must not run"
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
