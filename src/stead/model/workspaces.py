"""The nouns of a workspace: states, isolation, limits. The state machine that moves between them is `lifecycle`."""

from __future__ import annotations

from enum import StrEnum


class Desired(StrEnum):
    """What the user asked for."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Observed(StrEnum):
    """What is."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETED = "deleted"


class Isolation(StrEnum):
    """How far a workspace is kept apart, weakest first."""

    NONE = "none"
    NAMESPACES = "namespaces"
    CONTAINER = "container"
    VM = "vm"

    @property
    def rank(self) -> int:
        return list(Isolation).index(self)


class Limit(StrEnum):
    """What is really limited."""

    CPU = "cpu"
    MEMORY = "memory"
    PROCESSES = "processes"


class CommandKind(StrEnum):
    """Orders to a node."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"
