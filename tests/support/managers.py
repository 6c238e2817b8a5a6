"""Real package managers, each in a root of its own, with a repository of tiny packages that is made here: nothing of a network.

A `Kind` knows how its packages are built, signed where need be, and told to the manager. `Managed` is a root with such a
repository and a guest that runs in it, as its whole system.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support import machines
from support.repository import ROOT

ROOTS = ROOT / ".engines"
REPOSITORY = "srv/repository"
SCRIPT = "#!/bin/sh\nset -e\n"
SIGNED = ("--sign-key", "/etc/tiny.rsa")
APK_KEY = "etc/apk/keys/tiny.rsa.pub"


class Tiny(NamedTuple):
    """A package with one file, /opt/NAME, that holds the version. The scripts are lines of shell. `gives` is for rpm only."""

    name: str
    version: str = "1.0"
    needs: str = ""
    gives: str = ""
    before: str = ""
    after: str = ""


class Kind(NamedTuple):
    """One manager. `release` is what it adds to a version; `build` makes packages in the repository of a root, `refresh` tells
    of all that lie there; `locks` are the files by which others are kept out, `flock` how."""

    name: str
    engine: str
    release: str
    unpack: Callable[[Path], None]
    build: Callable[[Path, Sequence[Tiny]], None]
    refresh: Callable[[Path], None]
    locks: Sequence[str]
    architecture: str
    flock: bool = False
    also: Sequence[str] = ()

    def shown(self, version: str) -> str:
        """As the manager writes it."""
        return version + self.release


class Managed(NamedTuple):
    """A root in use."""

    kind: Kind
    root: Path
    socket: Path

    def publish(self, *packages: Tiny) -> None:
        """Adds these to the repository; the manager knows them when it looks again."""
        self.kind.build(self.root, packages)

    def add(self, package: Path) -> None:
        """So it does with one that is built already."""
        shutil.copy2(package, self.root / REPOSITORY)
        self.kind.refresh(self.root)


@contextmanager
def managed(kind: Kind, place: Path, guest: Path) -> Iterator[Managed]:
    """A fresh root in this folder, with this guest running in it."""
    root = place / "root"
    root.mkdir(parents=True)
    kind.unpack(root)
    (root / REPOSITORY).mkdir(parents=True)
    binds = ["--dir", machines.GUEST, "--ro-bind", str(guest), machines.GUEST]
    with serving(kind, root, place / "run", [*machines.command(), "serve"], binds) as socket:
        yield Managed(kind, root, socket)


@contextmanager
def serving(kind: Kind, root: Path, run: Path, command: Sequence[str], binds: Sequence[str] = ()) -> Iterator[Path]:
    """Runs a guest with this root as its whole system; gives its socket, which lies in the folder `run`."""
    run.mkdir()
    argv = [*machines.sandbox(root), *kind.also, *binds, "--bind", str(run), "/run/stead-guest", "--"]
    with machines.serving([*argv, *command, "--socket", "/run/stead-guest/door.sock"], run / "guest.sock") as socket:
        yield socket


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _program(file: Path, lines: str) -> None:
    file.write_text(f"{SCRIPT}{lines}\n")
    file.chmod(0o755)


# --- apt -----------------------------------------------------------------------------------------------------------------


def _debian(root: Path) -> None:
    root.rmdir()
    machines.debian_root(root)
    for file in (root / "etc/apt/sources.list.d").iterdir():
        file.unlink()
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] copy:/{REPOSITORY} ./\n")


def _debs(root: Path, packages: Sequence[Tiny]) -> None:
    for each in packages:
        folder = _folder(root, "var/tmp/deb")
        (folder / "opt").mkdir()
        (folder / "opt" / each.name).write_text(each.version)
        control = [f"Package: {each.name}", f"Version: {each.version}", "Architecture: all", "Installed-Size: 3"]
        control += [f"Depends: {each.needs}"] if each.needs else []
        (folder / "DEBIAN").mkdir()
        (folder / "DEBIAN/control").write_text(
            "\n".join([*control, "Maintainer: T <t@t.example>", "Description: t", ""])
        )
        for name, lines in (("preinst", each.before), ("postinst", each.after)):
            if lines:
                _program(folder / "DEBIAN" / name, lines)
        _run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(folder), str(root / REPOSITORY))
    _index_debs(root)


def _index_debs(root: Path) -> None:
    repository = root / REPOSITORY
    blocks = []
    for file in sorted(repository.glob("*.deb")):
        content = file.read_bytes()
        known = f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        blocks.append(f"{_run('dpkg-deb', '-f', str(file))}Filename: ./{file.name}\n{known}")
    (repository / "Packages").write_text("\n".join(blocks))


# --- dnf -----------------------------------------------------------------------------------------------------------------


def _fedora(version: int) -> Callable[[Path], None]:
    """Its folders are where Fedora has them, not where Debian does."""

    def unpack(root: Path) -> None:
        _run("tar", "-xpf", str(ROOTS / f"dnf{version}.tar"), "--numeric-owner", "--exclude=./dev/*", "-C", str(root))
        for name in ("etc/rpm", "etc/dnf/vars", "etc/yum.repos.d", "var/lib/rpm"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
        (root / "etc/dnf/vars/releasever").write_text("40\n")
        (root / "etc/dnf/dnf.conf").write_text("[main]\ngpgcheck=True\nclean_requirements_on_remove=True\nplugins=0\n")
        own = f"[own]\nname=own\nbaseurl=file:///{REPOSITORY}\ngpgcheck=0\n"
        (root / "etc/yum.repos.d/own.repo").write_text(own)
        if version == 5:
            (root / "usr/bin/dnf").symlink_to("dnf5")

    return unpack


def _rpms(root: Path, packages: Sequence[Tiny]) -> None:
    place = _folder(root, "var/tmp/rpm")
    for each in packages:
        spec = [f"Name: {each.name}", f"Version: {each.version}", "Release: 1", "Summary: t", "License: none"]
        spec += ["BuildArch: noarch", *([f"Requires: {each.needs}"] if each.needs else [])]
        spec += [f"Provides: {each.gives}"] if each.gives else []
        spec += ["%description", "t", "%install", "mkdir -p %{buildroot}/opt"]
        spec += [f"printf {each.version} > %{{buildroot}}/opt/{each.name}"]
        for name, lines in (("pre", each.before), ("post", each.after)):
            spec += [f"%{name}", "set -e", lines] if lines else []
        file = place / f"{each.name}.spec"
        file.write_text("\n".join([*spec, "%files", f"/opt/{each.name}", ""]))
        argv = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {place}/top", "--define", f"_dbpath {place}/none"]
        _run(*argv, "--define", f"_rpmdir {root / REPOSITORY}", str(file))
    _index_rpms(root)


def _index_rpms(root: Path) -> None:
    machines.inside(root, "createrepo_c", "--quiet", f"/{REPOSITORY}")


# --- apk -----------------------------------------------------------------------------------------------------------------


def _alpine(root: Path) -> None:
    names = ["etc/*", "usr/*", "bin", "sbin", "lib"]
    argv = ["cpio", "-idm", "--quiet", "--no-absolute-filenames", *names]
    packed = _run_bytes("gzip", "-dc", str(ROOTS / "alpine.cpio.gz"))
    subprocess.run(argv, cwd=root, input=packed, check=True, capture_output=True)
    for name in ("proc", "dev", "tmp", "run", "root", "lib/apk/db", "var/cache/apk", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in machines.inside(root, "busybox", "--list").stdout.split():
        if not (root / "bin" / name).exists() and not (root / "sbin" / name).exists():
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/apk/world").touch()
    (root / "etc/apk/arch").write_text("x86_64\n")
    (root / "etc/apk/repositories").write_text(f"ndx /{REPOSITORY}/Packages.adb\n")
    _run("openssl", "genrsa", "-out", str(root / "etc/tiny.rsa"), "2048")
    _run("openssl", "rsa", "-in", str(root / "etc/tiny.rsa"), "-pubout", "-out", str(root / APK_KEY))


def _run_bytes(*argv: str) -> bytes:
    return subprocess.run(argv, capture_output=True, check=True).stdout


def _apks(root: Path, packages: Sequence[Tiny]) -> None:
    for each in packages:
        folder = _folder(root, "var/tmp/apk")
        (folder / "files/opt").mkdir(parents=True)
        (folder / "files/opt" / each.name).write_text(each.version)
        version = f"{each.version}-r0"
        facts = [f"name:{each.name}", f"version:{version}", "arch:noarch", "license:none", "description:t"]
        facts += [f"depends:{each.needs}"] if each.needs else []
        argv = ["apk", "mkpkg", *SIGNED, "-F", "/var/tmp/apk/files", *(part for fact in facts for part in ("-I", fact))]
        for name, lines in (("pre-install", each.before), ("post-install", each.after)):
            if lines:
                _program(folder / name, lines)
                argv += ["-s", f"{name}:/var/tmp/apk/{name}"]
        machines.inside(root, *argv, "-o", f"/{REPOSITORY}/{each.name}-{version}.apk")
    _index_apks(root)


def _index_apks(root: Path) -> None:
    files = [f"/{REPOSITORY}/{file.name}" for file in sorted((root / REPOSITORY).glob("*.apk"))]
    machines.inside(root, "apk", "mkndx", *SIGNED, "-o", f"/{REPOSITORY}/Packages.adb", *files)


def _dnf(version: int) -> Kind:
    return Kind("dnf", f"dnf{version}", "-1", _fedora(version), _rpms, _index_rpms, ["var/lib/rpm/.rpm.lock"], "noarch")


KINDS = {
    "apt": Kind(
        *("apt", "debian", "", _debian, _debs, _index_debs),
        ["var/lib/apt/lists/lock", "var/cache/apt/archives/lock", "var/lib/dpkg/lock-frontend"],
        architecture="all",
    ),
    "dnf4": _dnf(4),
    "dnf5": _dnf(5),
    "apk": Kind(
        *("apk", "apk", "-r0", _alpine, _apks, _index_apks, ["lib/apk/db/lock"], "noarch"),
        flock=True,
        also=["--unshare-user", "--uid", "0", "--gid", "0"],
    ),
}
