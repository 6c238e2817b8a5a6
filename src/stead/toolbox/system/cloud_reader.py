"""Reads user data with cloud-init's own Python: what it says, which modules do it, and a place of its own for them.

Contract: `PYTHON cloud_reader.py FOLDER`, for the interpreter of the machine's cloud-init, be it an old one. It reads
FOLDER/user-data and writes FOLDER/plan as JSON: `{"modules", "log"}` in cloud-init's order, or `{"code", "message", "unread"}`
where it is refused, unread where it is no user data at all. FOLDER/config has the directives and what keeps this run apart:
named in CLOUD_CFG, it goes before the machine's own configuration, and cloud-init's files of this run lie below FOLDER. Nothing
else is touched.
"""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

LISTS = ("cloud_init_modules", "cloud_config_modules", "cloud_final_modules")
SCRIPTS = ("cc_runcmd", "cc_scripts_user")
DISKS = "it changes the disks of a machine that is in use"
HOST_KEYS = "it changes the host keys of a machine that is in use"
BOOT = "it is about the boot"
REBOOTS = "use the operations shutdown and reboot"
REFUSED = {
    "power_state": REBOOTS,
    "package_reboot_if_required": REBOOTS,
    "apt_reboot_if_required": REBOOTS,
    "disk_setup": DISKS,
    "fs_setup": DISKS,
    "device_aliases": DISKS,
    "ssh_keys": HOST_KEYS,
    "ssh_deletekeys": HOST_KEYS,
    "ssh_genkeytypes": HOST_KEYS,
    "autoinstall": BOOT,
    "vendor_data": BOOT,
    "updates": BOOT,
    "migrate": BOOT,
}
"""Directives that are not for a living machine; those that say no are harmless."""
QUIET: Any = {
    "cc_ssh": {"ssh_deletekeys": False, "ssh_genkeytypes": []},
    "cc_users_groups": {"users": []},
    "cc_package_update_upgrade_install": {
        "package_update": False,
        "package_upgrade": False,
        "package_reboot_if_required": False,
    },
}
"""What the modules would do besides, from the machine's own configuration or by default."""


class RefusedError(Exception):
    """With the code and the message of the answer."""

    unread = False


class UnreadError(RefusedError):
    """It could not even be read."""

    unread = True


def main(folder: Path) -> None:
    try:
        plan = planned(folder)
    except RefusedError as error:
        plan = {"code": error.args[0], "message": error.args[1], "unread": error.unread}
    (folder / "plan").write_text(json.dumps(plan))


def planned(folder: Path) -> Any:
    try:
        stages: Any = importlib.import_module("cloudinit.stages")
        schemas = importlib.import_module("cloudinit.config.schema").get_schema()["$defs"]
    except (ImportError, AttributeError, KeyError) as error:
        raise RefusedError("unsupported", "cloud-init 22.2 or later is needed: " + str(error)) from None
    asked = directives(folder / "user-data")
    machine = stages.Init(ds_deps=[])
    machine.read_cfg()
    order = in_order(machine.cfg)
    wanted = set()
    for name in asked:
        if name in REFUSED and asked[name] is not False:
            raise RefusedError("refused", "the directive " + name + " is not for a running machine: " + REFUSED[name])
        wanted.update(handling(name, asked, schemas, order, machine.cfg))
    modules = [module for module in order if module in wanted]
    write_config(folder, asked, modules)
    own_place(folder, Path(machine.paths.get_ipath_cur("obj_pkl")), stages)
    return {"modules": [module[3:] for module in modules], "log": machine.cfg.get("def_log_file") or ""}


def directives(file: Path) -> Any:
    yaml: Any = importlib.import_module("yaml")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadError("invalid", "user_data: " + str(error)) from None
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found):
        raise UnreadError("invalid", "user_data: directives with their names are needed, such as `runcmd: [...]`")
    return found


def in_order(cfg: Any) -> Any:
    """Every module that the machine's configuration lists; what the lines of runcmd need is there anyway."""
    found: Any = []
    for key in LISTS:
        for item in cfg.get(key) or []:
            name = item["name"] if isinstance(item, dict) else item[0] if isinstance(item, list) else item
            found.append("cc_" + name.strip().replace("-", "_"))
    return found + [name for name in SCRIPTS if name not in found]


def handling(name: str, asked: Any, schemas: Any, order: Any, cfg: Any) -> Any:
    """The modules that do something for this directive on this machine."""
    known = [module for module in schemas if module.startswith("cc_") and name in schemas[module].get("properties", {})]
    if not known:
        raise RefusedError("invalid", "user_data: no module of cloud-init knows the directive " + name)
    found = [module for module in known if module in order and for_this(module, cfg)]
    if not found:
        raise RefusedError("invalid", "user_data: " + name + ": this machine's cloud-init has no " + known[0][3:])
    if name == "runcmd":
        found.append("cc_scripts_user")
    if name == "write_files" and any(isinstance(each, dict) and each.get("defer") for each in asked[name] or []):
        found.append("cc_write_files_deferred")
    return found


def for_this(module: str, cfg: Any) -> bool:
    """Whether the module is for this distribution."""
    meta = importlib.import_module("cloudinit.config." + module).meta
    mine = (cfg.get("system_info") or {}).get("distro")
    unverified = ["cc_" + name.replace("-", "_") for name in cfg.get("unverified_modules") or []]
    return not meta["distros"] or "all" in meta["distros"] or mine in meta["distros"] or module in unverified


def write_config(folder: Path, asked: Any, modules: Any) -> None:
    paths = {"cloud_dir": str(folder / "cloud"), "run_dir": str(folder / "run")}
    ours: Any = {"system_info": {"paths": paths}, "output": {"all": ["", ""]}, "datasource_list": ["None"]}
    for module in modules:
        ours.update(QUIET.get(module, {}))
    if "user" in asked:
        ours.pop("users", None)
    ours.update(asked)
    file = folder / "config"
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(importlib.import_module("yaml").safe_dump(ours))


def own_place(folder: Path, known: Path, stages: Any) -> None:
    """An instance with the machine's own source of data, if it has one; nothing is told of it elsewhere."""
    first = folder / "cloud" / "instances" / "first"
    first.mkdir(parents=True)
    (folder / "run").mkdir()
    (folder / "run" / "instance-data.json").write_text("{}")
    if known.exists():
        shutil.copy(str(known), str(first))
        (folder / "cloud" / "instance").symlink_to(first)
    os.environ["CLOUD_CFG"] = str(folder / "config")
    init = stages.Init(ds_deps=[])
    init.read_cfg()
    init.fetch(existing="trust")
    init.instancify()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
