"""One real PostgreSQL server for a test session, from the machine's own package, in a folder of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stead.testing.server import free_port
from support.engines import postgres_bin

USER = "stead"
DEADLINE = 60.0
LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"


class Postgres:
    """A private server on loopback. It runs as the `postgres` user when the tests run as root."""

    def __init__(self) -> None:
        programs = postgres_bin()
        assert programs is not None, "postgres is not installed"
        self._programs = programs
        self._as: dict[str, object] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        )
        self.folder = Path(tempfile.mkdtemp(prefix="stead-pg-"))
        if self._as:
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = self.folder / "data"
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._count = 0

    def create(self) -> None:
        """Makes the data folder and starts the server."""
        self._run(
            "initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", f"--locale={LOCALE}"
        )
        self.start()

    def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }
        argv = [str(self._programs / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder, env=_ENV, **self._as)  # type: ignore[call-overload]
        until = time.monotonic() + DEADLINE
        while self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q", check=False) != 0:
            if time.monotonic() > until or self._server.poll() is not None:
                raise RuntimeError(f"postgres did not start:\n{self.log()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops the server: SIGINT closes connections and shuts down, SIGKILL is a crash."""
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(how)
        try:
            server.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(DEADLINE)

    def restart(self) -> None:
        """Stops the server as an administrator would, and starts it again on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """Creates an empty database and answers its name."""
        self._count += 1
        name = f"stead_{os.getpid()}_{self._count}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drops a database, also under open connections; a server that is down keeps it."""
        if self._server is not None and self._server.poll() is None:
            self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Runs one statement as the owner and answers what it prints."""
        argv = [str(self._programs / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        argv += ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return subprocess.run(
            argv, check=True, capture_output=True, text=True, timeout=DEADLINE, env=_ENV
        ).stdout.strip()

    def url(self, database: str) -> str:
        """The address of a database as STEAD_DATABASE_URL takes it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def log(self) -> str:
        """What the server wrote."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "server.log").read_text(errors="replace")
        return ""

    def _run(self, program: str, *args: str, check: bool = True) -> int:
        argv = [str(self._programs / program), *args]
        done = subprocess.run(  # type: ignore[call-overload]
            argv, capture_output=True, text=True, timeout=DEADLINE, cwd=self.folder, env=_ENV, check=False, **self._as
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr}")
        return int(done.returncode)


_ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": LOCALE, "TZ": "UTC"}
