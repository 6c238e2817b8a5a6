"""Services of systemd, through systemctl.

Contract: where systemd does not run, everything is "unsupported" and says so. A service that is not there is "not_found"; one
that does not start is "program_failed" with systemd's words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from stead.protocol.errors import SteadError
from stead.toolbox.place import Place
from stead.toolbox.programs import Finished
from stead.toolbox.system.contract import SERVICE_SECONDS, ControlService, OneService, Service, Services

BOOTED = "/run/systemd/system"
"""There when systemd runs as the first process, as its own programs find out."""
LIST_BYTES = 8 << 20
_PROPERTIES = (
    *("Id", "Description", "LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "MemoryCurrent"),
    *("ActiveEnterTimestampMonotonic", "Result", "ExecMainStatus"),
)
_SHOW = ["systemctl", "--no-pager", "show", f"--property={','.join(_PROPERTIES)}"]
_UNSET = (1 << 64) - 1


class Systemd:
    """That of one place."""

    def __init__(self, place: Place, booted: str = BOOTED) -> None:
        self._place = place
        self._booted = booted

    @property
    def runs(self) -> bool:
        return Path(self._booted).is_dir()

    async def services(self) -> Services:
        """Those that are loaded, by name."""
        done = await self._run([*_SHOW, "--", "*.service"])
        found = [_service(block) for block in done.stdout.decode(errors="replace").split("\n\n") if block.strip()]
        return Services(services=sorted(found, key=lambda service: service.name))

    async def service(self, asked: OneService) -> Service:
        """One of them."""
        name = unit_name(asked.name)
        done = await self._run([*_SHOW, "--", name])
        found = _service(done.stdout.decode(errors="replace"))
        if found.load == "not-found":
            raise SteadError("not_found", f"there is no service {name}")
        return found

    async def control(self, asked: ControlService) -> Service:
        """Waits until it is done; how it is then."""
        name = unit_name(asked.name)
        if asked.action not in {"start", "stop", "restart"}:
            raise SteadError("invalid", "action: start, stop or restart", field="action")
        await self._run(["systemctl", "--no-ask-password", "--no-pager", asked.action, "--", name])
        return await self.service(OneService(name=name))

    async def _run(self, argv: Sequence[str]) -> Finished:
        if not self.runs:
            raise SteadError("unsupported", "systemd does not run here, so there are no services of its kind")
        cwd = self._place.root.path
        done = await self._place.programs.run(argv, cwd=cwd, seconds=SERVICE_SECONDS, limit=LIST_BYTES)
        if done.ok:
            return done
        raise SteadError(refusal(done.complaint), f"systemctl: {done.complaint}", exit_code=done.code)


def unit_name(name: str) -> str:
    """A name of one service, with its ending; never a pattern or an option."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,250}", name):
        raise SteadError("invalid", f"{name[:100]!r} is no name of a unit", field="name")
    return name if re.search(r"\.(service|socket|timer|target|mount|path|slice|scope)$", name) else f"{name}.service"


def refusal(complaint: str) -> str:
    """The code for what systemctl says."""
    if re.search(r"[Aa]uthentication|Access denied|Permission denied|Operation not permitted", complaint):
        return "permission_denied"
    if re.search(r"not found|not loaded|could not be found", complaint):
        return "not_found"
    return "program_failed"


def _service(block: str) -> Service:
    facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    entered, active = _number(facts.get("ActiveEnterTimestampMonotonic")), facts.get("ActiveState", "")
    return Service(
        name=facts.get("Id", ""),
        description=facts.get("Description", ""),
        load=facts.get("LoadState", ""),
        active=active,
        sub=facts.get("SubState", ""),
        enabled=facts.get("UnitFileState", ""),
        pid=_number(facts.get("MainPID")) or 0,
        memory_bytes=_number(facts.get("MemoryCurrent")),
        since=time.time() - time.monotonic() + entered / 1e6 if entered else None,
        result=facts.get("Result", ""),
        exit_code=None if active == "active" else _number(facts.get("ExecMainStatus")),
    )


def _number(told: str | None) -> int | None:
    """None for what is not set, in words or as the largest number."""
    return int(told) if told and told.isdigit() and int(told) < _UNSET else None
