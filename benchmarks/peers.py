"""The programs we compare with, started on loopback for one run: a private sshd and SWE-ReX's remote runtime."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE = 30.0
USER = f"stead-bench-{os.getpid()}"


@dataclass(frozen=True)
class Sshd:
    """Where the private sshd listens, and the key that opens it."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    home: Path


@contextlib.contextmanager
def sshd() -> Iterator[Sshd]:
    """A private sshd. As root it serves a user of its own with a plain shell and no start-up files."""
    with tempfile.TemporaryDirectory(prefix="stead-sshd-") as name, _user(Path(name)) as (user, home):
        folder = Path(name)
        folder.chmod(0o755)
        for key in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        shutil.copy(folder / "client.pub", folder / "authorized")
        (folder / "authorized").chmod(0o644)
        port = free_port()
        host_key = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
        (folder / "config").write_text(_sshd_config(folder, port))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        server = subprocess.Popen([program, "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port, server)
            yield Sshd(port, user, folder / "client", folder / "known_hosts", home)
        finally:
            stop(server)


def _sshd_config(folder: Path, port: int) -> str:
    return f"""ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
MaxSessions 100
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
"""


@contextlib.contextmanager
def _user(folder: Path) -> Iterator[tuple[str, Path]]:
    """Root makes a user for the run and removes it again; anybody else is that user."""
    if os.getuid() != 0:
        yield pwd.getpwuid(os.getuid()).pw_name, Path.home()
        return
    home = folder / "home"
    subprocess.run(["useradd", "--no-log-init", "-M", "-d", home, "-s", "/bin/sh", "-p", "*", USER], check=True)
    try:
        home.mkdir()
        shutil.chown(home, USER)
        yield USER, home
    finally:
        for process in psutil.process_iter(["username"]):
            if process.info["username"] == USER:
                process.kill()
        subprocess.run(["userdel", "--force", USER], check=False, stderr=subprocess.DEVNULL)


@dataclass(frozen=True)
class Swerex:
    """Where SWE-ReX's remote runtime listens."""

    port: int
    token: str


@contextlib.contextmanager
def swerex() -> Iterator[Swerex]:
    """SWE-ReX's own server."""
    port, token = free_port(), secrets.token_hex(16)
    argv = [str(Path(sys.executable).parent / "swerex-remote"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*argv, "--auth-token", token], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, server)
        yield Swerex(port, token)
    finally:
        stop(server)


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    """Returns when the port takes connections."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until or server.poll() is not None:
                raise
            time.sleep(0.05)


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ends one process that we started."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(10)
