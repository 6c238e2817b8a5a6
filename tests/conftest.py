"""What every test may use: the event loop, real engines, a real PostgreSQL, a guard against processes left behind."""

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from support.engines import ENGINES, chromium, left_out, why_missing
from support.leaks import describe, mark_session, survivors
from support.postgres import Postgres

if TYPE_CHECKING:
    from stead.testing.cluster import Cluster

settings.register_profile("stead", deadline=None, derandomize=True)
settings.load_profile("stead")

LEAK_GRACE = 10.0

_mark = pytest.StashKey[str]()
_leaks = pytest.StashKey[list[str]]()
_missing = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """A background shell makes its children ignore SIGINT and SIGQUIT; programs under test must not inherit that."""
    for number, normal in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, normal)
    config.stash[_mark] = mark_session()
    config.stash[_leaks] = []
    config.stash[_missing] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose engine is missing, or fails it where STEAD_REQUIRE_ENGINES says that all must be there."""
    for marker in item.iter_markers("needs_engine"):
        for name in marker.args:
            _require_engine(item.config, name)


def _require_engine(config: pytest.Config, name: str) -> None:
    if name not in ENGINES:
        pytest.fail(f"needs_engine: no engine is called {name!r}; known: {', '.join(sorted(ENGINES))}", pytrace=False)
    reason = why_missing(name)
    if reason is None:
        return
    if os.environ.get("STEAD_REQUIRE_ENGINES") == "1" and not left_out(name):
        pytest.fail(f"engine required: {reason}", pytrace=False)
    config.stash[_missing][name] = reason
    pytest.skip(f"engine missing: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A session that leaves processes behind has failed; they are named and ended."""
    left = survivors(session.config.stash[_mark], LEAK_GRACE)
    session.config.stash[_leaks] = [describe(process) for process in left]
    for process in left:
        process.kill()
    if left and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Names the engines that were missing and the processes that were left behind."""
    if missing := config.stash[_missing]:
        terminalreporter.section("engines missing")
        for name, reason in sorted(missing.items()):
            terminalreporter.line(f"{name}: {reason}")
        terminalreporter.line("tests that need them were skipped; `make engines` gets them")
    if left := config.stash[_leaks]:
        terminalreporter.section("processes left behind", red=True)
        for line in left:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One real PostgreSQL for the whole session; mark the test with needs_engine("postgres")."""
    server = Postgres()
    try:
        server.create()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of a fresh, empty database."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is; mark the test with needs_engine("chromium")."""
    path = chromium()
    assert path is not None, "chromium is not installed"
    return path


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Cluster]":
    """One whole Stead for all tests that only use it; a test that breaks things starts its own."""
    from stead.testing.cluster import Cluster

    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
