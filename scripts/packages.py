"""Builds the guest as a Debian package and an RPM, from the standalone build: `make packages`.

Both hold the same files: the folder of `scripts/guest.py` in /usr/lib/stead-guest, a systemd unit that starts it without
anything of the system's Python, a configuration that restricts nothing and shows how to, `/usr/bin/stead-guest`, and a page of
documentation. The times of all files are fixed, so that the same content makes the same package.
"""

import argparse
import gzip
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import guest
from stead import __version__

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy" / "guest"
DIST = ROOT / "dist"
NAME = "stead-guest"
AT = f"usr/lib/{NAME}"
SUMMARY = "the program in a machine through which Stead works in it"
LONG = "Serves files, commands, git, search and more over a virtio-serial port, a socket or HTTP. Needs nothing of the system."
HOME = "https://stead.example"
MAINTAINER = "Stead developers <developers@stead.example>"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SCRIPTS = {
    "postinst": """#!/bin/sh
set -e
# Once, also where an image is made and systemd does not run; an upgrade leaves what the administrator decided.
if [ "$1" = 1 ] || { [ "$1" = configure ] && [ -z "$2" ]; }; then
  mkdir -p /etc/systemd/system/multi-user.target.wants
  ln -sf /usr/lib/systemd/system/stead-guest.service /etc/systemd/system/multi-user.target.wants/stead-guest.service
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if [ -L /etc/systemd/system/multi-user.target.wants/stead-guest.service ]; then
    systemctl start stead-guest.service
  fi
fi
""",
    "prerm": """#!/bin/sh
set -e
if [ -d /run/systemd/system ] && { [ "$1" = remove ] || [ "$1" = 0 ]; }; then
  systemctl stop stead-guest.service
fi
""",
    "postrm": """#!/bin/sh
set -e
if [ "$1" = purge ] || [ "$1" = 0 ]; then
  rm -f /etc/systemd/system/multi-user.target.wants/stead-guest.service
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
""",
}
LINK = """#!/bin/sh
exec /usr/lib/stead-guest/stead-guest "$@"
"""


def main() -> int:
    """Builds what this machine has the tools for; says what it has not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kinds", nargs="*", choices=("deb", "rpm", []), help="only these")
    kinds = parser.parse_args().kinds or ["deb", "rpm"]
    tools = {"deb": "dpkg-deb", "rpm": "rpmbuild"}
    missing = [tools[kind] for kind in kinds if shutil.which(tools[kind]) is None]
    if missing:
        print(f"packages: not installed: {', '.join(missing)} (Debian: apt-get install dpkg rpm)", file=sys.stderr)
        return 1
    makers = {"deb": deb, "rpm": rpm}
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packages-", dir=ROOT / "build") as folder:
        place = Path(folder)
        root = tree(place / "root")
        for kind in kinds:
            print(f"packages: {makers[kind](root, place, DIST).relative_to(ROOT)}")
    return 0


def tree(root: Path) -> Path:
    """All files of the package where they will lie."""
    guest.build(root / AT)
    _put(root / "usr/lib/systemd/system" / f"{NAME}.service", (DEPLOY / f"{NAME}.service").read_bytes())
    _put(root / "etc/stead/guest.json", (DEPLOY / "guest.json").read_bytes())
    _put(root / "usr/bin" / NAME, LINK.encode(), 0o755)
    documents = root / "usr/share/doc" / NAME
    _put(documents / "guest.md", (ROOT / "docs" / "guest.md").read_bytes())
    _put(documents / "copyright", (ROOT / "LICENSE").read_bytes())
    _put(documents / "changelog.gz", gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), 9, mtime=0))
    _timeless(root)
    return root


def _timeless(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (0, 0), follow_symlinks=False)


def _put(file: Path, content: bytes, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)


def deb(root: Path, place: Path, into: Path, version: str = __version__) -> Path:
    """The Debian package, in the folder `into` once it is whole."""
    architecture = ARCHITECTURES[platform.machine()]
    folder = place / "deb"
    shutil.copytree(root, folder, symlinks=True)
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) // 1024
    control = [
        f"Package: {NAME}",
        f"Version: {version}",
        f"Architecture: {architecture}",
        f"Maintainer: {MAINTAINER}",
        f"Installed-Size: {size}",
        "Section: admin",
        "Priority: optional",
        f"Homepage: {HOME}",
        f"Description: {SUMMARY}",
        f" {LONG}",
        "",
    ]
    _put(folder / "DEBIAN/control", "\n".join(control).encode())
    _put(folder / "DEBIAN/conffiles", b"/etc/stead/guest.json\n")
    for name, script in SCRIPTS.items():
        _put(folder / "DEBIAN" / name, script.encode(), 0o755)
    _timeless(folder)
    made = place / f"{NAME}_{version}_{architecture}.deb"
    argv = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", str(folder), str(made)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    into.mkdir(exist_ok=True)
    return made.replace(into / made.name)


def rpm(root: Path, place: Path, into: Path, version: str = __version__) -> Path:
    """The RPM. The files are ready: nothing is compiled, stripped or looked through for what they need."""
    machine = platform.machine()
    top = place / "rpm"
    spec = top / f"{NAME}.spec"
    _put(spec, _spec(root, version).encode())
    argv = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", "--target", machine, str(spec)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, "SOURCE_DATE_EPOCH": "0"}
    )
    if done.returncode:
        raise SystemExit(f"packages: rpmbuild: {done.stderr.strip()}")
    [made] = top.glob("RPMS/*/*.rpm")
    into.mkdir(exist_ok=True)
    return made.replace(into / f"{NAME}-{version}-1.{machine}.rpm")


def _spec(root: Path, version: str) -> str:
    scripts = {"post": SCRIPTS["postinst"], "preun": SCRIPTS["prerm"], "postun": SCRIPTS["postrm"]}
    lines = [
        "%define __os_install_post %{nil}",
        "%define _build_id_links none",
        "%define _binary_payload w6.gzdio",
        f"Name: {NAME}",
        f"Version: {version}",
        "Release: 1",
        f"Summary: {SUMMARY}",
        "License: Apache-2.0",
        f"URL: {HOME}",
        "AutoReqProv: no",
        "%description",
        LONG,
        "%install",
        f"mkdir -p %{{buildroot}} && cp -a {root}/. %{{buildroot}}/",
        *(line for name, script in scripts.items() for line in (f"%{name}", script.partition("\n")[2])),
        "%files",
        f"/{AT}",
        f"/usr/bin/{NAME}",
        f"/usr/lib/systemd/system/{NAME}.service",
        f"/usr/share/doc/{NAME}",
        "%config(noreplace) /etc/stead/guest.json",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
