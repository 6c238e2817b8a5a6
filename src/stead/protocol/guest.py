"""The types of the guest protocol 1.0.0: JSON-RPC 2.0, one object a line, over virtio-serial or a unix socket.

Contract: `METHODS` has the params and the result of each method, and whether asking twice is the same as asking once. Params
refuse unknown fields; results ignore them. A line has at most `LINE_BYTES` with its end. After `link.upgrade` the same
channel carries `protocol.messages` and frames.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

VERSION = "1.0.0"
CHANNEL = "org.kvmmanager.agent.0"
"""The name of the virtio-serial port, as the protocol has it."""
UPGRADE = "link.upgrade"
"""The request after which the channel carries the framed link; the channel itself answers it."""
READY = "agent_ready"
"""The notification that a guest is there, and has forgotten what it was asked before."""
LINK_PATH = "/link"
LINK_PROTOCOL = "stead-guest"
"""What `GET /link` of a guest that serves HTTP makes of its connection: a channel."""
LINE_BYTES = 1 << 16
EXEC_SECONDS = 30.0
MAX_EXEC_SECONDS = 300.0
POWER_SECONDS = 60.0
RETRY_SECONDS = 5.0
"""How soon a guest looks again for a device that went away."""

PARSE = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603
COMMAND_FAILED = -32000
PERMISSION_DENIED = -32001
NOT_FOUND = -32002
TIMED_OUT = -32003

Encoding = Literal["utf8", "base64"]


class Nothing(msgspec.Struct):
    """No params; what is given is ignored."""


class ExecCommand(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """exec_command: a program and its arguments, without a shell."""

    command: str
    args: list[str] = []
    timeout_seconds: float = EXEC_SECONDS
    capture_output: bool = True
    working_directory: str | None = None


class FileRead(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """file_read: a whole file that fits one line."""

    path: str
    encoding: Encoding = "utf8"


class FileWrite(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """file_write: replaces the file; `permissions` are octal digits."""

    path: str
    content: str
    encoding: Encoding = "utf8"
    create_dirs: bool = False
    permissions: str | None = None


class Power(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """shutdown and reboot: after so many seconds; when forced, without asking any program to end first."""

    timeout_seconds: float = POWER_SECONDS
    force: bool = False


class Upgrade(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """link.upgrade: the version of the framed link that the caller speaks; a guest that does not speak it refuses."""

    protocol: str = ""


class Pong(msgspec.Struct):
    """ping."""

    pong: bool
    timestamp: int


class AgentInfo(msgspec.Struct):
    """get_agent_info."""

    version: str
    protocol_version: str
    platform: str
    capabilities: list[str]


class SystemInfo(msgspec.Struct):
    """get_system_info; memory in KiB, as its name says."""

    os_type: str
    os_name: str
    os_version: str
    kernel_version: str
    hostname: str
    architecture: str
    cpu_count: int
    total_memory_kb: int
    uptime_seconds: int


class Interface(msgspec.Struct):
    """One network interface; addresses with their prefix length."""

    name: str
    mac_address: str
    ipv4_addresses: list[str]
    ipv6_addresses: list[str]
    state: str
    mtu: int


class NetworkInfo(msgspec.Struct):
    """get_network_info."""

    interfaces: list[Interface]


class Filesystem(msgspec.Struct):
    """One mounted file system."""

    mount_point: str
    device: str
    fs_type: str
    total_bytes: int
    used_bytes: int
    available_bytes: int
    used_percent: float


class DiskUsage(msgspec.Struct):
    """get_disk_usage."""

    filesystems: list[Filesystem]


class Executed(msgspec.Struct, omit_defaults=True):
    """exec_command's end; the exit code is -1 when a signal ended it. `truncated`: one line does not carry all output."""

    exit_code: int
    stdout: str
    stderr: str
    execution_time_ms: int
    truncated: bool = False


class Content(msgspec.Struct):
    """file_read's answer."""

    content: str
    size_bytes: int
    encoding: Encoding


class Wrote(msgspec.Struct):
    """file_write's answer; the path is as it was given."""

    bytes_written: int
    path: str


class PowerStarted(msgspec.Struct):
    """shutdown's and reboot's answer."""

    initiated: bool
    message: str


class Upgraded(msgspec.Struct):
    """link.upgrade's answer; what follows its line is the framed link."""

    protocol: str
    boot_id: str


class AgentReady(msgspec.Struct):
    """The notification that a guest sends when it has opened its channel."""

    version: str
    platform: str


class Method(NamedTuple):
    """One method. `repeat`: asking twice is the same as asking once."""

    params: type
    result: type
    repeat: bool


METHODS: dict[str, Method] = {
    "ping": Method(Nothing, Pong, repeat=True),
    "get_agent_info": Method(Nothing, AgentInfo, repeat=True),
    "get_system_info": Method(Nothing, SystemInfo, repeat=True),
    "get_network_info": Method(Nothing, NetworkInfo, repeat=True),
    "get_disk_usage": Method(Nothing, DiskUsage, repeat=True),
    "exec_command": Method(ExecCommand, Executed, repeat=False),
    "file_read": Method(FileRead, Content, repeat=True),
    "file_write": Method(FileWrite, Wrote, repeat=True),
    "shutdown": Method(Power, PowerStarted, repeat=False),
    "reboot": Method(Power, PowerStarted, repeat=False),
    UPGRADE: Method(Upgrade, Upgraded, repeat=False),
}
