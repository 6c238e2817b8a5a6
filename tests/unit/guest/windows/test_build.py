"""`make windows`: what the zip has, and, where a Python for Windows and wine are given, that it works there."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stead.protocol import guest as wire
from support.deadline import PATIENCE
from support.repository import ROOT

RUNTIME = os.environ.get("STEAD_WINDOWS_PYTHON", "")
WINE = shutil.which("wine")
needs_wine = pytest.mark.skipif(
    not RUNTIME or WINE is None, reason="STEAD_WINDOWS_PYTHON names no Python 3.12 for Windows, or there is no wine"
)
UV = ROOT / ".tools" / "bin" / "uv"
pytestmark = pytest.mark.skipif(not UV.exists(), reason="make setup brings uv")
OURS = {"guest", "protocol", "toolbox"}
UNIX = {"fcntl", "grp", "pty", "pwd", "resource", "select", "signal", "termios", "tty"}


def _build(to: Path, *more: str) -> Path:
    script = [sys.executable, str(ROOT / "scripts" / "windows.py"), "--to", str(to), *more]
    subprocess.run(script, check=True, capture_output=True, timeout=PATIENCE * 4)
    [folder] = [each for each in to.iterdir() if each.is_dir()]
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("windows"))


def test_the_zip_has_what_it_must_and_nothing_else(folder: Path) -> None:
    with zipfile.ZipFile(folder.with_name(f"{folder.name}.zip")) as bundle:
        names = {name.removeprefix(f"{folder.name}/") for name in bundle.namelist()}
    top = {name.split("/")[0] for name in names}
    assert top == {"LICENSE.txt", "guest.md", "install.cmd", "remove.cmd", "site"}
    site = {name.split("/")[1].partition("-")[0].removesuffix(".py") for name in names if name.startswith("site/")}
    assert site == {"anyio", "idna", "msgspec", "stead", "typing_extensions"}
    assert {name.split("/")[2] for name in names if name.startswith("site/stead/")} == OURS | {"__init__.py"}
    assert "site/stead/guest/windows/__main__.py" in names
    assert "site/stead/guest/rpc.py" in names
    assert "site/stead/toolbox/local.py" not in names
    assert [name for name in names if name.endswith(".pyd")] == ["site/msgspec/_core.cp312-win_amd64.pyd"]
    assert not [name for name in names if name.endswith((".pyc", ".so", ".exe"))]


def test_the_commands_are_of_windows(folder: Path) -> None:
    install = (folder / "install.cmd").read_bytes()
    assert install.count(b"\n") == install.count(b"\r\n")
    assert b"-m stead.guest.windows install" in install


def test_nothing_of_ours_imports_what_windows_has_not(folder: Path) -> None:
    found = set()
    for file in (folder / "site" / "stead").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    assert found & UNIX == set()


# --- under wine ----------------------------------------------------------------------------------------------------------


class Wine:
    """A prefix of its own, with the guest in it."""

    def __init__(self, place: Path) -> None:
        self.folder = _build(place / "built", "--runtime", RUNTIME)
        self.prefix = place / "prefix"
        self.drive = self.prefix / "drive_c"
        quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
        self.environment = {**os.environ, **quiet, "WINEPREFIX": str(self.prefix), "PYTHONDONTWRITEBYTECODE": "1"}
        self.run("wineboot", "-i")
        self.run("winecfg", "-v", "win10")

    def run(self, *argv: str) -> str:
        """To its end; it cannot do without pipes."""
        assert WINE is not None
        done = subprocess.run(
            [WINE, *argv],
            cwd=self.folder.parent,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE * 4,
            check=False,
        )
        return (done.stdout + done.stderr).decode(errors="replace")

    def ask(self, configuration: dict[str, Any], requests: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """The answers of a guest on standard input and output, in the requests' order."""
        (self.drive / "guest.json").write_text(json.dumps(configuration))
        serve = ["-m", "stead.guest.windows", "serve", "--config", "C:\\guest.json", "--stdio"]
        argv = [str(WINE), str(self.folder / "runtime" / "python.exe"), *serve]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, env=self.environment, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as guest:
            assert guest.stdin is not None
            assert guest.stdout is not None
            answers: dict[int, dict[str, Any]] = {}
            for number, (method, params) in enumerate(requests):
                asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                guest.stdin.write(json.dumps(asked).encode() + b"\n")
                guest.stdin.flush()
                while number not in answers and (line := guest.stdout.readline()):
                    answer = json.loads(line) if line.startswith(b"{") else {}
                    answers |= {answer["id"]: answer} if "id" in answer else {}
            guest.stdin.close()
        return [answers[number].get("result") or answers[number]["error"] for number in range(len(requests))]

    def close(self) -> None:
        subprocess.run(["wineserver", "-k"], env=self.environment, check=False, timeout=PATIENCE)


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    found = Wine(tmp_path_factory.mktemp("wine"))
    yield found
    found.close()


@needs_wine
@pytest.mark.timeout(600)
def test_the_methods_under_wine(wine: Wine) -> None:
    tree = ["/c", "ping -n 60 127.0.0.1"]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("ping", {}),
        ("get_agent_info", {}),
        ("get_system_info", {}),
        ("get_network_info", {}),
        ("get_disk_usage", {}),
        ("exec_command", {"command": "cmd", "args": ["/c", "echo out& echo err>&2& exit 3"]}),
        ("exec_command", {"command": "cmd", "args": tree, "timeout_seconds": 1}),
        ("file_write", {"path": "C:\\w\\a b\\f", "content": "aGk=", "encoding": "base64", "create_dirs": True}),
        ("file_write", {"path": "c:/w/a b/f", "content": "twice"}),
        ("file_read", {"path": "C:\\W\\a b\\F"}),
        ("file_read", {"path": "C:\\nothing"}),
        ("file_read", {"path": "C:\\windows"}),
        ("shutdown", {}),
        ("reboot", {"force": True}),
    ]
    found = wine.ask({"security": None}, asked)
    assert found[0]["pong"] is True
    assert found[1]["platform"] == found[2]["os_type"] == "windows"
    assert found[2]["total_memory_kb"] > 0
    assert "127.0.0.1/8" in [address for each in found[3]["interfaces"] for address in each["ipv4_addresses"]]
    assert "C:\\" in [each["mount_point"] for each in found[4]["filesystems"]]
    assert (found[5]["exit_code"], found[5]["stdout"], found[5]["stderr"]) == (3, "out\r\n", "err\r\n")
    assert found[6]["code"] == wire.TIMED_OUT
    assert found[7]["bytes_written"] == 2
    assert found[9]["content"] == "twice"
    assert [each["code"] for each in found[10:]] == [wire.NOT_FOUND, wire.COMMAND_FAILED, *[wire.PERMISSION_DENIED] * 2]
    assert "ping.exe" not in wine.run("tasklist").lower()


@needs_wine
@pytest.mark.timeout(600)
def test_places_under_wine(wine: Wine) -> None:
    inside = wine.drive / "in"
    inside.mkdir()
    (inside / "f").write_text("inside")
    (wine.drive / "secret").mkdir()
    (wine.drive / "secret" / "f").write_text("outside")
    (inside / "way").symlink_to("../secret")
    (inside / "link").symlink_to("../secret/f")
    security = {"allowed_read_paths": ["C:\\in"], "allowed_write_paths": ["C:\\in\\w"], "command_whitelist": ["cmd"]}
    found = wine.ask(
        {"security": security},
        [
            ("file_read", {"path": "C:\\IN\\f"}),
            ("file_write", {"path": "C:\\in\\w\\deep\\f", "content": "x", "create_dirs": True}),
            ("exec_command", {"command": "C:\\windows\\system32\\cmd.exe", "args": ["/c", "echo x"]}),
            ("file_read", {"path": "C:\\secret\\f"}),
            ("file_read", {"path": "C:\\in\\way\\f"}),
            ("file_read", {"path": "C:\\in\\link"}),
            ("file_read", {"path": "C:\\in\\..\\secret\\f"}),
            ("file_write", {"path": "C:\\in\\f", "content": "x"}),
            ("exec_command", {"command": "ping"}),
        ],
    )
    assert found[0]["content"] == "inside"
    assert found[1]["bytes_written"] == 1
    assert found[2]["stdout"] == "x\r\n"
    assert [each.get("code") for each in found[3:]] == [wire.PERMISSION_DENIED] * 6
    assert (wine.drive / "in" / "w" / "deep" / "f").read_text() == "x"


@needs_wine
@pytest.mark.timeout(600)
def test_the_service_under_wine(wine: Wine) -> None:
    settings = {"security": None, "channel_name": "\\\\.\\pipe\\nobody", "log_file": "C:\\guest.log"}
    (wine.drive / "service.json").write_text(json.dumps(settings))
    guest = f'"Z:{wine.folder}\\runtime\\python.exe" -m stead.guest.windows'.replace("/", "\\")
    install = f"Z:{wine.folder}\\install.cmd".replace("/", "\\")
    lines = [
        "@echo off",
        f'call "{install}" --config C:\\service.json',
        "sc query stead-guest",
        f"{guest} stop",
        "echo code %errorlevel%",
        "sc query stead-guest",
        f"{guest} stop",
        "echo code %errorlevel%",
        f"{guest} start",
        "echo code %errorlevel%",
        f"{guest} remove",
        "echo code %errorlevel%",
        f"{guest} start",
        "echo code %errorlevel%",
    ]
    (wine.drive / "try.cmd").write_text("\r\n".join([*lines, ""]), newline="")
    said = wine.run("cmd", "/c", "C:\\try.cmd")
    marks = re.findall(r"^(?:\s+STATE\s+:|code) (\d+)", said, re.MULTILINE)
    assert marks == ["4", "0", "1", "1", "0", "0", "1"], said
    assert "nobody" in (wine.drive / "guest.log").read_text()
