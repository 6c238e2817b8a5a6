"""What does the operations of the system area here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.system import disks, host, keys, logs, metrics, network, processes, users
from stead.toolbox.system.cloud import CloudInit
from stead.toolbox.system.packages import Installed
from stead.toolbox.system.power import Power
from stead.toolbox.system.services import Systemd

Does = Callable[[Any], Awaitable[Any]]


def work(place: Place) -> Work:
    """What waits for the kernel is done in threads."""
    systemd, installed = Systemd(place), Installed(place)
    cloud, power = CloudInit(place), Power(place, systemd)
    return {
        "system.info": _plain(place, host.info),
        "system.network": _plain(place, network.network),
        "system.disks": _plain(place, disks.disks),
        "system.metrics": _plain(place, metrics.metrics),
        "system.users": _plain(place, users.users),
        "system.processes": _asked(place, processes.processes),
        "system.kill_process": _asked(place, processes.kill),
        "system.keys": _asked(place, keys.listed),
        "system.add_key": _asked(place, keys.add),
        "system.remove_key": _asked(place, keys.remove),
        "system.services": lambda asked: systemd.services(),
        "system.service": systemd.service,
        "system.control_service": systemd.control,
        "system.packages": installed.packages,
        "system.install_packages": installed.install,
        "system.remove_packages": installed.remove,
        "system.cloud_init": cloud.run,
        "system.cloud_init_status": cloud.status,
        "system.log": partial(logs.log, place),
        "system.shutdown": power.shutdown,
        "system.reboot": power.reboot,
    }


def _plain(place: Place, does: Callable[[], Any]) -> Does:
    return lambda asked: place.in_thread(does)


def _asked(place: Place, does: Callable[[Any], Any]) -> Does:
    return lambda asked: place.in_thread(does, asked)
