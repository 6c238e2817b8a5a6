"""`python -m stead.guest.windows`: the guest of a machine with Windows.

    install [--config FILE]      makes the service; it starts with the machine, and again after it died
    start | stop | remove        the service
    run [--config FILE]          what the service control manager starts
    serve [--config FILE] [--device PORT | --pipe NAME | --stdio]
                                 in the foreground, without a service

Without a door named it serves the port `org.kvmmanager.agent.0`. A configuration that does not parse stops the start with the
reason. On another system than Windows it only says which guest is that one's.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

from stead.guest.configuration import Configuration
from stead.guest.windows import settings
from stead.protocol.errors import SteadError


def main(argv: list[str]) -> None:
    """Does it; what stops it is told on standard error, of a service in its log."""
    asked = _parser().parse_args(argv)
    if sys.platform != "win32":
        sys.exit("stead guest: this is the guest for Windows; on this system it is `stead guest serve`")
    else:
        try:
            _do(asked)
        except (SteadError, OSError) as error:
            logging.getLogger(__name__).error("%s", error)
            sys.exit(f"stead guest: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stead.guest.windows", allow_abbrev=False, description=(__doc__ or "").split("\n")[0]
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("install", "run", "serve"):
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.add_argument("--config", metavar="FILE", type=Path, help=f"JSON; {settings.FILE} is read when it is there")
        if name == "serve":
            door = verb.add_mutually_exclusive_group()
            door.add_argument("--device", metavar="PORT", help="a virtio-serial port by name, or a path")
            door.add_argument("--pipe", metavar="NAME", help="listen on this named pipe")
            door.add_argument("--stdio", action="store_true", help="one connection on standard input and output")
    for name in ("start", "stop", "remove"):
        verbs.add_parser(name, allow_abbrev=False)
    return parser


if sys.platform == "win32":
    import anyio

    from stead.guest.windows import port, service
    from stead.guest.windows.guest import Guest
    from stead.guest.windows.system import Windows

    def _do(asked: argparse.Namespace) -> None:
        if asked.verb == "install":
            _install(asked.config)
        elif asked.verb == "run":
            _run(asked.config)
        elif asked.verb == "serve":
            _serve(asked)
        else:
            {"start": service.start, "stop": service.stop, "remove": service.remove}[asked.verb]()

    def _install(config: Path | None) -> None:
        """A configuration that does not parse is told now."""
        settings.read(config)
        service.install([] if config is None else ["--config", str(config.absolute())])

    def _run(config: Path | None) -> None:
        """A service has no standard error: before its configuration is read, its log is where it always is."""
        settings.FOLDER.mkdir(parents=True, exist_ok=True)
        _log(Configuration(log_file=str(settings.LOG)))

        async def work() -> None:
            found = settings.read(config)
            _log(found if found.log_file else Configuration(log_level=found.log_level, log_file=str(settings.LOG)))
            await _on_port(found, found.channel_name)

        service.run(work)

    def _serve(asked: argparse.Namespace) -> None:
        found = settings.read(asked.config)
        _log(found)
        try:
            if asked.stdio:
                anyio.run(Guest(Windows(), found).on_stdio)
            elif asked.pipe:
                anyio.run(Guest(Windows(), found).on_port, partial(port.pipe, asked.pipe))
            else:
                anyio.run(_on_port, found, asked.device or found.channel_name)
        except KeyboardInterrupt:
            return

    async def _on_port(found: Configuration, name: str) -> None:
        """A virtio-serial port belongs to a machine of its own, and so does the machine's power."""

        async def opened() -> port.HandlePort:
            return port.opened(name)

        await Guest(Windows(), found, powerful=not name.startswith(port.PIPE)).on_port(opened)


def _log(found: Configuration) -> None:
    """To the file, or to standard error."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(filename=found.log_file, level=found.level, format=form, force=True)


if __name__ == "__main__":
    main(sys.argv[1:])
