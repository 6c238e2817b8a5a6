"""Builds the guest for Windows (x86-64) as a folder and a zip: `make windows`, or `make windows RUNTIME=PATH`.

The runtime is CPython for Windows as its embeddable package has it: a zip or a folder with `python.exe` beside `python3XY.dll`.
None is fetched. Without one the folder has no `runtime`, and the place where it belongs is told; the wheels are then those for
Python 3.12. Of ours only what the guest for Windows imports is taken, of others the locked wheels, checked by their hashes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import grimp

from guest import LEFT_OUT
from stead import __version__

ROOT = Path(__file__).resolve().parent.parent
WING = "stead.guest.windows"
LIBRARIES = ("anyio", "idna", "msgspec", "typing-extensions")
"""Of others, as the lock names them."""
PYTHON = "3.12"
RUNTIME_FILES = ("python.exe", "*.dll", "*.pyd", "python3*.zip", "LICENSE.txt")
EARLIEST = (1980, 1, 1, 0, 0, 0)
INSTALL = r"""@echo off
rem Makes the service and starts it, as an administrator. install.cmd --config FILE names another configuration
rem than %ProgramData%\stead\guest.json.
"%~dp0runtime\python.exe" -m stead.guest.windows install %*
if errorlevel 1 exit /b 1
"%~dp0runtime\python.exe" -m stead.guest.windows start
"""
REMOVE = r"""@echo off
"%~dp0runtime\python.exe" -m stead.guest.windows remove
"""


def main() -> int:
    """Builds both, and says where they are and what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runtime", type=Path, help="CPython for Windows: a zip or a folder")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="where folder and zip are made")
    asked = parser.parse_args()
    folder = asked.to.absolute() / f"stead-guest-windows-{__version__}-x86_64"
    shutil.rmtree(folder, ignore_errors=True)
    build(folder, asked.runtime)
    print(f"windows: {folder}, {pack(folder)}")
    if asked.runtime is None:
        print(f"windows: it has no Python: build with RUNTIME=PATH to CPython {PYTHON} for Windows, embeddable")
    return 0


def build(folder: Path, runtime: Path | None) -> None:
    """Fills the folder."""
    site = folder / "site"
    site.mkdir(parents=True)
    version = PYTHON
    if runtime is not None:
        version = _runtime(runtime, folder / "runtime")
    for module in modules():
        _copy(module, site)
    _libraries(site, version)
    for name, text in {"install.cmd": INSTALL, "remove.cmd": REMOVE}.items():
        (folder / name).write_bytes(text.replace("\n", "\r\n").encode())
    shutil.copy2(ROOT / "LICENSE", folder / "LICENSE.txt")
    shutil.copy2(ROOT / "docs" / "guest.md", folder / "guest.md")


def modules() -> list[str]:
    """Ours that the guest for Windows imports, with the packages that they are in."""
    graph = grimp.build_graph("stead", exclude_type_checking_imports=True, cache_dir=None)
    wing = {WING, *graph.find_descendants(WING)}
    found = wing | {one for module in wing for one in graph.find_upstream_modules(module)}
    parents = {name.rsplit(".", count)[0] for name in found for count in range(1, name.count(".") + 1)}
    return sorted(found | parents)


def _copy(module: str, site: Path) -> None:
    place = Path(*module.split("."))
    source = ROOT / "src" / place
    file = place / "__init__.py" if source.is_dir() else place.with_suffix(".py")
    (site / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "src" / file, site / file)


def _libraries(site: Path, version: str) -> None:
    """The locked wheels; nothing is built, and nothing comes that the lock does not have."""
    lock = (ROOT / "requirements" / "base.txt").read_text()
    entries = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", lock, re.MULTILINE | re.DOTALL)
    wanted = "".join(entry for entry in entries if entry.partition("==")[0] in LIBRARIES)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(wanted)
        file.flush()
        uv = [str(ROOT / ".tools" / "bin" / "uv"), "pip", "install", "--quiet", "--target", str(site)]
        target = ["--python-platform", "x86_64-pc-windows-msvc", "--python-version", version, "--no-python-downloads"]
        exact = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", file.name]
        subprocess.run([*uv, *target, *exact], check=True)
    for left in [site / "bin", site / ".lock", *site.rglob("__pycache__")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _runtime(given: Path, target: Path) -> str:
    """Copies what runs, and writes where Python looks for modules; the version it is."""
    with tempfile.TemporaryDirectory() as place:
        if given.is_file():
            with zipfile.ZipFile(given) as bundle:
                bundle.extractall(place)
        root = Path(place) if given.is_file() else given
        found = [file.parent for file in root.rglob("python.exe") if list(file.parent.glob("python3??.dll"))]
        if not found:
            raise SystemExit(f"windows: {given} has no python.exe with a python3XY.dll beside it")
        return _copy_runtime(found[0], target)


def _copy_runtime(source: Path, target: Path) -> str:
    [library] = source.glob("python3??.dll")
    target.mkdir(parents=True)
    for pattern in RUNTIME_FILES:
        for file in source.glob(pattern):
            shutil.copy2(file, target)
    lines = [f"{library.stem}.zip", ".", "..\\site"]
    stdlib = [folder for folder in source.iterdir() if folder.name.lower() == "lib"]
    if stdlib:
        shutil.copytree(stdlib[0], target / "Lib", ignore=shutil.ignore_patterns(*LEFT_OUT))
        lines.insert(1, "Lib")
    (target / f"{library.stem}._pth").write_text("\r\n".join([*lines, ""]), newline="")
    return f"3.{library.stem.removeprefix('python3')}"


def pack(folder: Path) -> Path:
    """The folder as one file, the same bytes for the same content."""
    bundle = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
                file.writestr(zipfile.ZipInfo(name, EARLIEST), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return bundle


if __name__ == "__main__":
    os.environ.pop("VIRTUAL_ENV", None)
    sys.exit(main())
