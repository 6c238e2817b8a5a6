"""cloud-init: the directives of a `#cloud-config`, run now by the machine's own cloud-init; and what it did at the boot.

Contract: without cloud-init, "program_missing"; its status says that it is not installed. The user data is read by
cloud-init's own Python and checked by its `schema`; what is wrong is "invalid" with its words, what is not for a machine in
use "refused", and nothing was run then. The modules that the directives need run in cloud-init's order, `runcmd` at its end:
a failure is a result. A run is apart from the boot: its files, user data and scripts too, lie in a folder that only root
reads, gone at its end, also when its caller gives up or the guest is killed; then the run is killed with all it started. Runs
wait for each other; while the boot's cloud-init or another guest's runs, "conflict". What is not asked for comes from the
machine's configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.confine import typed
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.place import Place
from stead.toolbox.programs import Programs, python
from stead.toolbox.system.contract import (
    CLOUD_SECONDS,
    USER_DATA_BYTES,
    AskCloudInit,
    CloudInitModule,
    CloudInitRun,
    CloudInitStatus,
    RunCloudInit,
)
from stead.toolbox.system.leash import swept

STATE = "/var/lib/stead-cloud-init"
"""Where a run has its folder: not in /run, where often nothing may be executed."""
BOOT = "/run/cloud-init"
"""Where cloud-init notes how far the boot has come."""
OUTPUT_CHARACTERS = 8192
"""The end of a module's output that is answered; less of many."""
ERRORS = 10
ERROR_CHARACTERS = 1000
LOG_BYTES = 1 << 20
END_SECONDS = 10.0
"""A run that is to end has so long."""
STATUS_SECONDS = 60.0
_READER = Path(__file__).with_name("cloud_reader.py")
_WELCOME = re.compile(r"^Cloud-init v\. \S+ running 'single' at .*\n?", re.MULTILINE)
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ - \S+?\[([A-Z]+)\]: ", re.MULTILINE)
_COMPLAINTS = frozenset({"WARNING", "ERROR", "CRITICAL"})
_MODULE = re.compile(r" \(<module '.*?'>\)")
_AGAIN = re.compile(r"Ran \S+ but it failed!")
_EXIT = re.compile(r"^Exit code: (-?\d+)$", re.MULTILINE)
_UNKNOWN = re.compile(r"unrecognized arguments|invalid choice")


class CloudInit:
    """That of one place."""

    def __init__(self, place: Place, state: str = STATE, boot: str = BOOT) -> None:
        self._place = place
        self._boot = Path(boot)
        self._state = state
        self._turn = asyncio.Lock()
        _sweep(Path(state))

    async def run(self, asked: RunCloudInit) -> CloudInitRun:
        """All modules that the directives need."""
        _check(asked)
        program = self._place.programs.find("cloud-init")
        if program is None:
            raise SteadError("program_missing", "cloud-init is not installed in the workspace", program="cloud-init")
        if os.geteuid() != 0:
            raise SteadError("permission_denied", "cloud-init changes the system, which only root may do")
        async with self._turn:
            if await self._booting():
                raise SteadError("conflict", "the boot's cloud-init is still running; its status can be waited for")
            done: list[CloudInitModule] = []
            try:
                async with asyncio.timeout(asked.timeout), leashed(self._place.programs, self._state) as leash:
                    await self._modules(leash, program, asked.user_data, done)
            except TimeoutError:
                words = f"cloud-init took longer than {asked.timeout:g} s and was ended"
                raise SteadError("timeout", words, modules=msgspec.to_builtins(done)) from None
        return CloudInitRun(ok=all(module.ok for module in done), modules=done)

    async def status(self, asked: AskCloudInit) -> CloudInitStatus:
        """What the boot's cloud-init says of itself."""
        if not 0 <= asked.wait <= CLOUD_SECONDS:
            raise SteadError("invalid", f"wait: from 0 to {CLOUD_SECONDS:g} seconds", field="wait")
        if self._place.programs.find("cloud-init") is None:
            return CloudInitStatus(installed=False)
        if asked.wait:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(asked.wait):
                    return await self._told("--wait")
        return await self._told()

    async def _booting(self) -> bool:
        """One that has had an error is told as such by older versions, though it still runs."""
        boot = await self.status(AskCloudInit())
        begun, ended = self._boot / "status.json", self._boot / "result.json"
        unfinished = boot.status == "error" and begun.exists() and not ended.exists()
        return unfinished or "running" in boot.status + boot.extended

    async def _told(self, *options: str) -> CloudInitStatus:
        """Its exit code tells errors, not whether it answered."""
        cwd = self._place.root.path
        argv, most = ["cloud-init", "status", *options], CLOUD_SECONDS if options else STATUS_SECONDS
        done = await self._place.programs.run([*argv, "--format", "json"], cwd=cwd, seconds=most)
        if _UNKNOWN.search(done.complaint):
            done = await self._place.programs.run([*argv, "--long"], cwd=cwd, seconds=most)
            return _of_text(done.stdout.decode(errors="replace"), done.complaint)
        try:
            return _of_json(json.loads(done.stdout))
        except (ValueError, TypeError, AttributeError, KeyError):
            raise SteadError("program_failed", f"cloud-init status: {done.complaint}", exit_code=done.code) from None

    async def _modules(self, leash: Leash, program: str, user_data: str, done: list[CloudInitModule]) -> None:
        """Those before one that runs too long are told all the same."""
        await self._place.in_thread(_kept, leash.folder / "user-data", user_data)
        plan = await self._plan(leash, program)
        log = Path(plan["log"]) if plan["log"] else None
        most = min(OUTPUT_CHARACTERS, (CALL_BYTES >> 3) // len(plan["modules"]))
        configuration = {"CLOUD_CFG": str(leash.folder / "config")}
        for name in plan["modules"]:
            size = await self._place.in_thread(_size, log)
            argv = [program, "single", "--name", name, "--frequency", "always"]
            step = await leash.run(argv, configuration)
            logged = await self._place.in_thread(_logged, log, size)
            done.append(_module(name, step, logged or step.output, most))

    async def _plan(self, leash: Leash, program: str) -> Mapping[str, Any]:
        """Which modules, once all is well with the user data."""
        interpreter = await self._place.in_thread(_interpreter, program)
        read = await leash.run([*interpreter, "-I", str(_READER), str(leash.folder)])
        if read.code != 0:
            code = "disk_full" if os.strerror(errno.ENOSPC) in read.output else "program_failed"
            raise SteadError(code, f"cloud-init: {read.output[-2000:].strip()}", exit_code=read.code)
        plan: Mapping[str, Any] = json.loads(await self._place.in_thread((leash.folder / "plan").read_bytes))
        if plan.get("code") == "invalid" and plan["unread"]:
            raise SteadError(plan["code"], plan["message"], field="user_data")
        schema = await leash.run([program, "schema", "--config-file", str(leash.folder / "user-data")])
        if schema.code != 0 and not _UNKNOWN.search(schema.output):
            words = schema.output.replace(f"{leash.folder}/", "").strip()
            raise SteadError("invalid", f"user_data: {words[-2000:]}", field="user_data")
        if "code" in plan:
            raise SteadError(plan["code"], plan["message"], field="user_data")
        return plan


class Step(NamedTuple):
    """A program on the leash, ended."""

    code: int
    output: str
    seconds: float


class Leash:
    """Runs programs in turn; see `stead.toolbox.system.leash`."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.folder = folder
        self._process = process

    async def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Step:
        """To its end, whatever that is."""
        assert self._process.stdin is not None
        asked = {"argv": list(argv), "environment": dict(environment or {})}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            await self._process.stdin.drain()
        return Step(**await _heard(self._process))


@contextlib.asynccontextmanager
async def leashed(programs: Programs, state: str) -> AsyncIterator[Leash]:
    """On leaving, all that still runs is ended and the folder is gone."""
    argv = python("-I", "-m", "stead.toolbox.system.leash", state)
    async with programs.started(argv, cwd="/") as process:
        try:
            told = await _heard(process)
            if "errno" in told:
                _no_folder(state, told["errno"], told["words"])
            yield Leash(process, Path(told["folder"]))
        finally:
            await asyncio.shield(_let_go(process))


async def _let_go(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await process.wait()


async def _heard(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise SteadError("unavailable", "what runs cloud-init was killed")
    told: dict[str, Any] = json.loads(line)
    return told


def _no_folder(state: str, number: int, words: str) -> NoReturn:
    if number == 0:
        raise SteadError("conflict", "another guest runs cloud-init on this machine")
    raise typed(OSError(number, words), state)


def _sweep(state: Path) -> None:
    """What a machine left that was switched off, or whose guest was killed with all that it had started."""
    with contextlib.suppress(OSError):
        if (lock := swept(state)) is not None:
            os.close(lock)


def _check(asked: RunCloudInit) -> None:
    """As far as can be told without cloud-init."""
    if not 0 < asked.timeout <= CLOUD_SECONDS:
        raise SteadError("invalid", f"timeout: up to {CLOUD_SECONDS:g} seconds", field="timeout")
    if len(asked.user_data.encode(errors="surrogatepass")) > USER_DATA_BYTES:
        raise SteadError("too_large", f"user_data: at most {USER_DATA_BYTES} bytes", field="user_data")
    if asked.user_data.startswith("#!"):
        raise SteadError("invalid", "user_data: this is a script; run it with exec", field="user_data")
    if asked.user_data.partition("\n")[0].rstrip() != "#cloud-config":
        raise SteadError("invalid", "user_data: the first line must be `#cloud-config`", field="user_data")
    if re.search(r"[\x00\ud800-\udfff]", asked.user_data):
        raise SteadError("invalid", "user_data: this is no text", field="user_data")


def _kept(file: Path, user_data: str) -> None:
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(user_data.encode())
    except OSError as error:
        raise typed(error, file.name) from error


def _interpreter(program: str) -> list[str]:
    """The Python that runs this cloud-init, as its first line says."""
    with Path(program).open("rb") as file:
        line = file.readline(1000).decode(errors="replace")
    if not line.startswith("#!") or "python" not in line:
        raise SteadError("unsupported", f"{program} is no program of Python's, as cloud-init is")
    return shlex.split(line[2:])


# --- what cloud-init says ------------------------------------------------------------------------------------------------


def _size(log: Path | None) -> int:
    try:
        return log.stat().st_size if log else 0
    except OSError:
        return 0


def _logged(log: Path | None, size: int) -> str:
    """What was added to the log since it had this size."""
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(size, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _module(name: str, step: Step, logged: str, most: int) -> CloudInitModule:
    errors, failed = complaints(logged, name)
    output = _WELCOME.sub("", step.output).strip()
    shown = [error[:ERROR_CHARACTERS] for error in errors][-ERRORS:]
    ok = step.code == 0 and not failed
    return CloudInitModule(name, ok, step.seconds, output[-most:], shown)


def complaints(logged: str, module: str) -> tuple[list[str], bool]:
    """What a log says was wrong, and whether something failed: an exception that was only logged is a failure, too."""
    _first, *parts = _ENTRY.split(logged)
    found: dict[str, str] = {}
    failed = False
    for level, text in zip(parts[::2], parts[1::2], strict=True):
        message, _, rest = text.strip().partition("\n")
        if level in _COMPLAINTS and not _AGAIN.fullmatch(message):
            found[message] = _MODULE.sub("", message)
            failed = failed or level != "WARNING"
        elif message in found and rest:
            found[message] = f"{_MODULE.sub('', message)}: {rest.splitlines()[-1]}"
            failed = True
        elif module == "scripts_user" and (ended := _EXIT.search(rest)):
            found[text] = f"runcmd: exit code {ended[1]}"
    return list(found.values()), failed


def _of_json(told: Mapping[str, Any]) -> CloudInitStatus:
    softer = told.get("recoverable_errors") or {}
    return CloudInitStatus(
        installed=True,
        status=told["status"],
        extended=told.get("extended_status") or "",
        detail=told.get("detail") or "",
        source=told.get("datasource") or "",
        updated=told.get("last_update") or "",
        errors=[str(each) for each in told.get("errors") or []],
        warnings=[str(each) for level in softer.values() for each in level],
    )


def _of_text(told: str, complaint: str) -> CloudInitStatus:
    """As versions before 22 tell it: `key: value`, and the detail below its own line."""
    facts, _, detail = told.partition("detail:\n")
    found = dict(line.split(": ", 1) for line in facts.splitlines() if ": " in line)
    if "status" not in found:
        raise SteadError("program_failed", f"cloud-init status: {complaint}")
    status, detail = found["status"], detail.strip()
    errors = [detail] if status == "error" else []
    return CloudInitStatus(installed=True, status=status, detail=detail, updated=found.get("time", ""), errors=errors)
