"""What can be asked of the system: params, results, operations, and the face `toolbox.system`.

Contract: sizes are bytes, times are seconds, moments are seconds since 1970. What is read needs the right to read; killing,
services, packages, cloud-init, keys and power need the right to execute. "unsupported": this system has no such thing (no
systemd, no package manager, not Linux); the message says which. A sandbox tells of itself what its kernel tells it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from stead.toolbox.contract import LIST_ENTRIES, Params, Result
from stead.toolbox.operations import ASK_SECONDS, Asking, Operation, by_name

PACKAGE_SECONDS = 1800.0
"""How long installing may take."""
PACKAGE_LOCK_SECONDS = 60.0
"""How long another program that changes packages is waited for."""
SERVICE_SECONDS = 120.0
"""How long a service may take to start or stop."""
CLOUD_SECONDS = 1800.0
"""How long the directives of cloud-init may take, or be waited for."""
USER_DATA_BYTES = 256 << 10
"""The longest user data."""
LOG_LINES = 10_000
"""The most lines of a log that are answered, or told before following it."""
DELAY_SECONDS = 86_400.0
"""The longest delay of a shutdown."""

Order = Literal["cpu", "memory", "pid"]
Action = Literal["start", "stop", "restart"]

# --- params --------------------------------------------------------------------------------------------------------------


class ListProcesses(Params):
    """system.processes, the busiest first (`cpu`, `memory`), or by number (`pid`)."""

    order: Order = "cpu"
    limit: int = 1000


class KillProcess(Params):
    """system.kill_process: the one with this `identity`, as a list of processes told it; another with its number is safe."""

    identity: str
    signal: int = 15


class OneService(Params):
    """system.service."""

    name: str


class ControlService(Params):
    """system.control_service."""

    name: str
    action: Action


class ListPackages(Params):
    """system.packages: those installed whose name has `name` in it."""

    name: str = ""
    limit: int = LIST_ENTRIES


class InstallPackages(Params):
    """system.install_packages: by `name` the newest known, or `name=version`; with `refresh` the lists are fetched first."""

    names: list[str]
    refresh: bool = False


class RemovePackages(Params):
    """system.remove_packages; what is not there is gone already."""

    names: list[str]


class RunCloudInit(Params):
    """system.cloud_init: a `#cloud-config`, run now. Over its `timeout`, all that runs is killed: "timeout"."""

    user_data: str
    timeout: float = CLOUD_SECONDS


class AskCloudInit(Params):
    """system.cloud_init_status: at once, or when the boot is done, after `wait` seconds at the latest."""

    wait: float = 0.0


class OfUser(Params):
    """system.keys: those that may log in as the user (empty: the workspace's own)."""

    user: str = ""


class AddKey(Params):
    """system.add_key: one line as in `id_ed25519.pub`; one that is there already is not added again."""

    key: str
    user: str = ""


class RemoveKey(Params):
    """system.remove_key, by its fingerprint (`SHA256:...`) or its line."""

    key: str
    user: str = ""


class ReadLog(Params):
    """system.log and the stream "log.follow": the last lines of a file in the workspace, or of a systemd unit's journal."""

    path: str = ""
    unit: str = ""
    lines: int = 100


class ChangePower(Params):
    """system.shutdown, system.reboot. `force`: nothing is asked to end first. `message` goes to whoever is logged in."""

    delay: float = 0.0
    force: bool = False
    message: str = ""


# --- results -------------------------------------------------------------------------------------------------------------


class SystemInfo(Result, frozen=True):
    """What runs here, and on what. `load`: of the last 1, 5 and 15 minutes."""

    os_id: str
    os_name: str
    os_version: str
    kernel: str
    hostname: str
    architecture: str
    cpu_count: int
    cpu_model: str
    memory_total_bytes: int
    memory_available_bytes: int
    uptime_seconds: float
    boot_time: float
    load: list[float]


class Interface(Result, frozen=True):
    """A network interface. `state`: up, down, dormant, lowerlayerdown, ...; addresses with their prefix."""

    name: str
    state: str
    mtu: int
    mac: str = ""
    ipv4: list[str] = []
    ipv6: list[str] = []
    loopback: bool = False


class Network(Result, frozen=True):
    """As the kernel numbers them."""

    interfaces: list[Interface]


class Filesystem(Result, frozen=True):
    """A mounted filesystem with a size; `used_percent` as `df` shows it. Of a remote one nothing is measured."""

    mount_point: str
    device: str
    type: str
    total_bytes: int
    used_bytes: int
    available_bytes: int
    used_percent: int
    read_only: bool = False
    remote: bool = False


class Disks(Result, frozen=True):
    """By mount point; what is mounted several times is told once."""

    filesystems: list[Filesystem]


class Process(Result, frozen=True):
    """One process. `cpu_percent` is since it started, as `ps` tells it; `state` as the kernel letters it (R, S, D, T, Z, I)."""

    pid: int
    parent: int
    identity: str
    user: str
    state: str
    name: str
    command: list[str]
    cpu_percent: float
    cpu_seconds: float
    memory_bytes: int
    threads: int
    started: float


class Processes(Result, frozen=True):
    """Those seen; `total` counts all."""

    processes: list[Process]
    total: int
    truncated: bool = False


class Killed(Result, frozen=True):
    """`signalled` is false when it was gone already."""

    pid: int
    signalled: bool


class Account(Result, frozen=True):
    """A user of this system; `system` for those of programs."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    full_name: str = ""
    system: bool = False


class Session(Result, frozen=True):
    """Somebody who is logged in."""

    user: str
    terminal: str = ""
    host: str = ""
    since: float = 0.0
    pid: int = 0


class Users(Result, frozen=True):
    """Accounts by number, sessions as the system keeps them."""

    accounts: list[Account]
    sessions: list[Session]


class Service(Result, frozen=True):
    """A systemd service; the words are systemd's own."""

    name: str
    description: str
    load: str
    active: str
    sub: str
    enabled: str = ""
    pid: int = 0
    memory_bytes: int | None = None
    since: float | None = None
    result: str = ""
    exit_code: int | None = None


class Services(Result, frozen=True):
    """Those that are loaded."""

    services: list[Service]


class Package(Result, frozen=True):
    """One that is installed."""

    name: str
    version: str
    architecture: str = ""
    size_bytes: int = 0


class Packages(Result, frozen=True):
    """By name."""

    manager: str
    packages: list[Package]
    total: int
    truncated: bool = False


class PackagesChanged(Result, frozen=True):
    """What the manager said at last, and what came, went or changed: name and version, of several with architectures."""

    manager: str
    output: str
    before: dict[str, str] = {}
    after: dict[str, str] = {}


class CloudInitModule(Result, frozen=True):
    """What a module of cloud-init did. `ok`: it did not fail. `errors` are its complaints, harmless ones, too; `output` is the
    end of what was printed."""

    name: str
    ok: bool
    seconds: float
    output: str = ""
    errors: list[str] = []


class CloudInitRun(Result, frozen=True):
    """The modules that the directives needed, in cloud-init's order; each was run, whatever became of those before it."""

    ok: bool
    modules: list[CloudInitModule]


class CloudInitStatus(Result, frozen=True):
    """What became of the boot, in cloud-init's own words: not run, running, done, error, disabled, ...; `extended` in those of
    newer versions, such as degraded done. `source`: where the machine had its user data from. Our runs are no part of it."""

    installed: bool
    status: str = ""
    extended: str = ""
    detail: str = ""
    source: str = ""
    updated: str = ""
    errors: list[str] = []
    warnings: list[str] = []


class Key(Result, frozen=True):
    """A public key that may log in."""

    type: str
    fingerprint: str
    comment: str = ""
    options: str = ""


class Keys(Result, frozen=True):
    """Those of a user; `changed` tells whether the call changed the file. `other_lines`: lines that are no keys."""

    user: str
    keys: list[Key]
    changed: bool = False
    other_lines: int = 0


class LogLines(Result, frozen=True):
    """The last lines as they are; `truncated` when they are less than asked for because they are long."""

    content: bytes
    truncated: bool = False


class DiskCounters(Result, frozen=True):
    """Since the start of the system."""

    name: str
    reads: int
    read_bytes: int
    writes: int
    written_bytes: int
    busy_seconds: float


class NetworkCounters(Result, frozen=True):
    """Since the start of the system."""

    name: str
    received_bytes: int
    received_packets: int
    receive_errors: int
    receive_drops: int
    sent_bytes: int
    sent_packets: int
    send_errors: int
    send_drops: int


class Metrics(Result, frozen=True):
    """Numbers of one instant. `cpu_seconds` of all processors, by kind: user, nice, system, idle, iowait, irq, ..."""

    time: float
    uptime_seconds: float
    load: list[float]
    cpu_count: int
    cpu_seconds: dict[str, float]
    memory_total_bytes: int
    memory_available_bytes: int
    memory_free_bytes: int
    memory_cached_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    processes: int
    disks: list[DiskCounters]
    networks: list[NetworkCounters]


class PowerChange(Result, frozen=True):
    """What was set going, and when it happens."""

    action: str
    at: float
    message: str


# --- operations ----------------------------------------------------------------------------------------------------------

INFO = Operation("system.info", Params, SystemInfo)
NETWORK = Operation("system.network", Params, Network)
DISKS = Operation("system.disks", Params, Disks)
PROCESSES = Operation("system.processes", ListProcesses, Processes)
KILL_PROCESS = Operation("system.kill_process", KillProcess, Killed)

USERS = Operation("system.users", Params, Users)
METRICS = Operation("system.metrics", Params, Metrics)
SERVICES = Operation("system.services", Params, Services)
SERVICE = Operation("system.service", OneService, Service)
CONTROL_SERVICE = Operation("system.control_service", ControlService, Service, seconds=SERVICE_SECONDS + ASK_SECONDS)
PACKAGES = Operation("system.packages", ListPackages, Packages)
INSTALL_PACKAGES = Operation("system.install_packages", InstallPackages, PackagesChanged, seconds=PACKAGE_SECONDS)
REMOVE_PACKAGES = Operation("system.remove_packages", RemovePackages, PackagesChanged, seconds=PACKAGE_SECONDS)
CLOUD_INIT = Operation("system.cloud_init", RunCloudInit, CloudInitRun, seconds=CLOUD_SECONDS + ASK_SECONDS)
CLOUD_INIT_STATUS = Operation(
    "system.cloud_init_status", AskCloudInit, CloudInitStatus, seconds=CLOUD_SECONDS + ASK_SECONDS
)
KEYS = Operation("system.keys", OfUser, Keys)
ADD_KEY = Operation("system.add_key", AddKey, Keys)
REMOVE_KEY = Operation("system.remove_key", RemoveKey, Keys)
LOG = Operation("system.log", ReadLog, LogLines)
SHUTDOWN = Operation("system.shutdown", ChangePower, PowerChange)
REBOOT = Operation("system.reboot", ChangePower, PowerChange)

OPERATIONS = by_name(
    [
        *(INFO, NETWORK, DISKS, METRICS, USERS, PROCESSES, KILL_PROCESS, SERVICES, SERVICE, CONTROL_SERVICE, LOG),
        *(PACKAGES, INSTALL_PACKAGES, REMOVE_PACKAGES, CLOUD_INIT, CLOUD_INIT_STATUS, KEYS, ADD_KEY, REMOVE_KEY),
        *(SHUTDOWN, REBOOT),
    ]
)

Strings = list[str]


class Followable(Asking, Protocol):
    """What the face needs of a toolbox."""

    def following(self, asked: ReadLog) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...


class System:
    """The face."""

    def __init__(self, toolbox: Followable) -> None:
        self._toolbox = toolbox

    # --- what there is ---------------------------------------------------------------------------------------------------

    async def info(self) -> SystemInfo:
        """What runs here, and on what."""
        return await self._toolbox.ask(INFO, Params())

    async def network(self) -> Network:
        """Interfaces and their addresses."""
        return await self._toolbox.ask(NETWORK, Params())

    async def disks(self) -> Disks:
        """Filesystems and what is free on them."""
        return await self._toolbox.ask(DISKS, Params())

    async def metrics(self) -> Metrics:
        """Counters of processors, memory, disks and networks."""
        return await self._toolbox.ask(METRICS, Params())

    async def users(self) -> Users:
        """Accounts, and who is logged in."""
        return await self._toolbox.ask(USERS, Params())

    # --- processes and services ------------------------------------------------------------------------------------------

    async def processes(self, *, order: Order = "cpu", limit: int = 1000) -> Processes:
        """What runs."""
        return await self._toolbox.ask(PROCESSES, ListProcesses(order=order, limit=limit))

    async def kill_process(self, identity: str, signal: int = 15) -> Killed:
        """A signal to one process, never to another that has its number by now."""
        return await self._toolbox.ask(KILL_PROCESS, KillProcess(identity=identity, signal=signal))

    async def services(self) -> Services:
        """Services of systemd that are loaded."""
        return await self._toolbox.ask(SERVICES, Params())

    async def service(self, name: str) -> Service:
        """One of them."""
        return await self._toolbox.ask(SERVICE, OneService(name=name))

    async def control_service(self, name: str, action: Action) -> Service:
        """Starts, stops or restarts it; how it is afterwards."""
        return await self._toolbox.ask(CONTROL_SERVICE, ControlService(name=name, action=action))

    # --- packages and keys -----------------------------------------------------------------------------------------------

    async def packages(self, name: str = "", *, limit: int = LIST_ENTRIES) -> Packages:
        """Those installed."""
        return await self._toolbox.ask(PACKAGES, ListPackages(name=name, limit=limit))

    async def install_packages(self, names: Strings, *, refresh: bool = False) -> PackagesChanged:
        """With what they need; what is there already comes to the newest version known, or to the one named."""
        return await self._toolbox.ask(INSTALL_PACKAGES, InstallPackages(names=names, refresh=refresh))

    async def remove_packages(self, names: Strings) -> PackagesChanged:
        """And what cannot be without them."""
        return await self._toolbox.ask(REMOVE_PACKAGES, RemovePackages(names=names))

    async def cloud_init(self, user_data: str, *, timeout: float = CLOUD_SECONDS) -> CloudInitRun:
        """Runs directives by the machine's own cloud-init, as at its boot."""
        return await self._toolbox.ask(CLOUD_INIT, RunCloudInit(user_data=user_data, timeout=timeout))

    async def cloud_init_status(self, *, wait: float = 0.0) -> CloudInitStatus:
        """Whether there is a cloud-init, and what it did at the boot."""
        return await self._toolbox.ask(CLOUD_INIT_STATUS, AskCloudInit(wait=wait))

    async def keys(self, user: str = "") -> Keys:
        """Public keys that may log in as a user."""
        return await self._toolbox.ask(KEYS, OfUser(user=user))

    async def add_key(self, key: str, user: str = "") -> Keys:
        """Lets a public key in."""
        return await self._toolbox.ask(ADD_KEY, AddKey(key=key, user=user))

    async def remove_key(self, key: str, user: str = "") -> Keys:
        """By fingerprint or line."""
        return await self._toolbox.ask(REMOVE_KEY, RemoveKey(key=key, user=user))

    # --- logs ------------------------------------------------------------------------------------------------------------

    async def log(self, path: str = "", *, unit: str = "", lines: int = 100) -> LogLines:
        """The last lines."""
        return await self._toolbox.ask(LOG, ReadLog(path=path, unit=unit, lines=lines))

    async def follow(self, path: str = "", *, unit: str = "", lines: int = 100) -> AsyncIterator[bytes]:
        """The last lines, and what is written from then on."""
        async with self._toolbox.following(ReadLog(path=path, unit=unit, lines=lines)) as pieces:
            async for piece in pieces:
                yield piece

    # --- power -----------------------------------------------------------------------------------------------------------

    async def shutdown(self, *, delay: float = 0.0, force: bool = False, message: str = "") -> PowerChange:
        """Off, after so many seconds."""
        return await self._toolbox.ask(SHUTDOWN, ChangePower(delay=delay, force=force, message=message))

    async def reboot(self, *, delay: float = 0.0, force: bool = False, message: str = "") -> PowerChange:
        """Off and on again."""
        return await self._toolbox.ask(REBOOT, ChangePower(delay=delay, force=force, message=message))
