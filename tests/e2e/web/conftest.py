"""A real Stead and a real Chromium for the tests of the web app. Both live as long as one module of tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright

from stead.testing.cluster import Cluster
from support.browser import FLAGS, PATIENCE_MS, Complaints, login_link


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with its node."""
    with Cluster(tmp_path_factory.mktemp("web")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """Chromium without a window."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def state(cluster: Cluster, browser: Browser) -> StorageState:
    """What a browser keeps of a login."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(login_link(cluster.server.run("user", "login", "admin").stdout))
    expect(page.get_by_role("heading", name="Workspaces", exact=True)).to_be_visible()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """There must be none at the end; a test that causes some takes them away."""
    complaints = Complaints()
    yield complaints
    assert complaints.said == []


@pytest.fixture
def context(browser: Browser, cluster: Cluster, state: StorageState) -> Iterator[BrowserContext]:
    """A browser that is logged in."""
    context = browser.new_context(base_url=cluster.url, storage_state=state)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints) -> Page:
    """A page of it."""
    return complaints.hear(context.new_page())
