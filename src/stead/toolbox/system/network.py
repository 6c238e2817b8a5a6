"""Network interfaces as the kernel knows them in this namespace, asked over netlink; /sys may show another namespace's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.system import kernel
from stead.toolbox.system.contract import Interface, Network

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_NEWLINK, _GETLINK, _NEWADDR, _GETADDR = 16, 18, 20, 22
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_LINK_ADDRESS, _LINK_NAME, _LINK_MTU, _LINK_STATE = 1, 3, 4, 16
_OWN_ADDRESS, _LOCAL_ADDRESS = 1, 2
_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40
_STATES = ("unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up")
_PIECE = 1 << 17


class _Message(NamedTuple):
    kind: int
    body: bytes


def network() -> Network:
    """All of them, also those that are down."""
    kernel.needs_linux("network interfaces")
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as kernel_socket:
            kernel_socket.settimeout(10.0)
            links = list(_dump(kernel_socket, _GETLINK, _LINK.pack(0, 0, 0, 0, 0)))
            addresses = list(_dump(kernel_socket, _GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)))
    except OSError as error:
        raise SteadError("unsupported", f"the kernel tells nothing about the network: {error}") from error
    found = _addresses(addresses)
    return Network(interfaces=[_interface(body, found) for kind, body in links if kind == _NEWLINK])


def _dump(kernel_socket: socket.socket, kind: int, request: bytes) -> Iterator[_Message]:
    size = _HEADER.size + len(request)
    kernel_socket.send(_HEADER.pack(size, kind, _REQUEST_DUMP, kind, 0) + request)
    while True:
        data = kernel_socket.recv(_PIECE)
        while len(data) >= _HEADER.size:
            length, kind, _, _, _ = _HEADER.unpack_from(data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data, _HEADER.size)[0]
                raise OSError(number, "the kernel refused")
            yield _Message(kind, data[_HEADER.size : length])
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found


def _addresses(messages: list[_Message]) -> dict[tuple[int, int], list[str]]:
    """By interface and family, in the kernel's order; of a point-to-point link the own end."""
    found: dict[tuple[int, int], list[str]] = {}
    for kind, body in messages:
        if kind != _NEWADDR:
            continue
        family, prefix, _, _, index = _ADDRESS.unpack_from(body)
        attributes = _attributes(body[_ADDRESS.size :])
        raw = attributes.get(_LOCAL_ADDRESS) or attributes.get(_OWN_ADDRESS)
        if raw and family in {socket.AF_INET, socket.AF_INET6}:
            found.setdefault((index, family), []).append(f"{socket.inet_ntop(family, raw)}/{prefix}")
    return found


def _interface(body: bytes, addresses: dict[tuple[int, int], list[str]]) -> Interface:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    attributes = _attributes(body[_LINK.size :])
    mac = attributes.get(_LINK_ADDRESS, b"")
    return Interface(
        name=attributes.get(_LINK_NAME, b"").rstrip(b"\0").decode(errors="replace"),
        state=_state(flags, attributes.get(_LINK_STATE, b"\0")[0]),
        mtu=struct.unpack("=I", attributes.get(_LINK_MTU, bytes(4)))[0],
        mac=mac.hex(":") if len(mac) == 6 and not flags & _LOOPBACK else "",
        ipv4=addresses.get((index, socket.AF_INET), []),
        ipv6=addresses.get((index, socket.AF_INET6), []),
        loopback=bool(flags & _LOOPBACK),
    )


def _state(flags: int, told: int) -> str:
    """What the driver tells; of one that tells nothing, such as the loopback, whether it runs."""
    if not flags & _UP:
        return "down"
    state = _STATES[told] if told < len(_STATES) else "unknown"
    if state == "unknown":
        return "up" if flags & _RUNNING else "down"
    return state
