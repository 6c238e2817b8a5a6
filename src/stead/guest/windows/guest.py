"""The guest itself, of any system that has the face: what answers lines, and on which door.

Contract: `Guest(platform, configuration, powerful).rpc()` answers the JSON-RPC of one channel. `on_stdio` serves standard input
and output until the input ends, `on_port` a port until cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stead.guest.channel import Channel
from stead.guest.configuration import Configuration
from stead.guest.methods import Methods, ready
from stead.guest.rpc import Rpc
from stead.guest.windows import serving
from stead.guest.windows.face import Platform
from stead.guest.windows.machine import Machine
from stead.guest.windows.serving import Port
from stead.guest.windows.stdio import Stdio


class Guest:
    """One, on one door."""

    def __init__(self, platform: Platform, configuration: Configuration, *, powerful: bool = False) -> None:
        policy = configuration.policy()
        environment = configuration.environment
        powerful = powerful or configuration.machine
        machine = Machine(platform, policy, powerful=powerful, environment=environment)
        self._methods = Methods(machine, policy, upgrades=False).table()
        self._limits = configuration.limits()
        self._retry = configuration.connection_retry_seconds

    def rpc(self) -> Rpc:
        """What answers one channel."""
        return Rpc.within(self._methods, self._limits)

    async def on_stdio(self) -> None:
        """One channel."""
        port = Stdio()
        await port.write(ready() + b"\n")
        await Channel(port, self.rpc(), None).run()

    async def on_port(self, open: Callable[[], Awaitable[Port]]) -> None:
        """Whoever comes."""
        await serving.serve(open, self.rpc, self._retry)
