"""The web app as a person uses it: log in, make a workspace, run commands, lose the server, go on."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, StorageState, expect

from stead.testing.cluster import Cluster
from support.browser import PATIENCE_MS, Complaints, printed_link

pytestmark = pytest.mark.needs_engine("chromium")

COUNTING = "n=0; while true; do n=$((n+1)); echo line $n; sleep 0.05; done"
PHONE = {"width": 375, "height": 812}


def create(page: Page, name: str) -> None:
    """By the keyboard alone."""
    page.goto("/workspaces")
    expect(page.get_by_role("button", name="New workspace")).to_be_visible()
    page.keyboard.press("c")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page.get_by_label("Command", exact=True)).to_be_visible()


def run(page: Page, line: str) -> Locator:
    """Types a command; its output panel."""
    prompt = page.get_by_label("Command", exact=True)
    prompt.fill(line)
    prompt.press("Enter")
    panel = page.get_by_role("region", name="Output")
    expect(panel.get_by_text(line[:40]).first).to_be_visible()
    return panel


def delete(page: Page) -> None:
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete workspace").click()
    expect(page).to_have_url(re.compile(r"/workspaces$"))


def last_line(page: Page) -> int:
    """The number of the last line of COUNTING that is shown."""
    numbers = [
        int(number) for number in re.findall(r"line (\d+)\n", (page.get_by_role("log").text_content() or "") + "\n")
    ]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "lines are missing or doubled"
    return numbers[-1]


def wait_past(page: Page, line: int) -> None:
    """Until more lines are shown than this many."""
    expect(page.get_by_role("log")).to_contain_text(re.compile(rf"line ({line + 3}|{line + 4}|{line + 5})\b"))


def test_the_printed_link_logs_in_once(cluster: Cluster, browser: Browser, complaints: Complaints) -> None:
    link = printed_link(cluster.server.log)
    context = browser.new_context()
    page = complaints.hear(context.new_page())
    page.goto(link)
    expect(page.get_by_role("heading", name="Workspaces", exact=True)).to_be_visible()
    assert "#" not in page.url
    assert complaints.said == []
    page.get_by_role("button", name="admin, menu").click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_label("Login link or code").fill(link)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("unauthenticated")
    page.goto(f"{cluster.url}/nodes")
    expect(page.get_by_role("heading", name="Log in to Stead")).to_be_visible()
    context.close()
    assert all("401" in complaint for complaint in complaints.said)
    complaints.said.clear()


def test_create_run_and_delete(page: Page) -> None:
    create(page, "first")
    panel = run(page, "echo to-out; echo to-err >&2; exit 3")
    expect(panel.locator("[data-channel=stdout]")).to_contain_text("to-out")
    expect(panel.locator("[data-channel=stderr]")).to_contain_text("to-err")
    expect(panel.get_by_text("Exit 3", exact=True)).to_be_visible()
    delete(page)
    expect(page.get_by_role("link", name="first", exact=True)).to_have_count(0)


def test_changes_made_elsewhere_appear(page: Page, cluster: Cluster) -> None:
    page.goto("/workspaces")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    cluster.server.run("ws", "create", "elsewhere", "--label", "team=far")
    expect(page.get_by_role("link", name="elsewhere")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="elsewhere").get_by_text("Running")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("nothing-like-it")
    expect(page.get_by_text("No workspace matches.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="elsewhere")).to_be_visible()
    cluster.server.run("ws", "rm", "elsewhere")
    expect(page.get_by_role("link", name="elsewhere")).to_have_count(0)


def test_output_goes_on_after_a_reload_and_stops_when_asked(page: Page) -> None:
    create(page, "reloaded")
    panel = run(page, COUNTING)
    wait_past(page, 5)
    page.reload()
    wait_past(page, last_line_after_reload(page))
    last_line(page)
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_text("SIGTERM")).to_be_visible()
    delete(page)


def last_line_after_reload(page: Page) -> int:
    expect(page.get_by_role("log")).to_contain_text("line ")
    return last_line(page)


def test_the_page_survives_the_control_plane(page: Page, cluster: Cluster, complaints: Complaints) -> None:
    create(page, "survivor")
    panel = run(page, COUNTING)
    wait_past(page, 5)
    assert complaints.said == []
    cluster.kill("control")
    outage = page.get_by_role("status").filter(has_text="The control plane does not answer")
    expect(outage).to_be_visible()
    expect(page.get_by_role("heading", name="survivor", exact=True)).to_be_visible()
    seen = last_line(page)
    cluster.start_control()
    expect(outage).to_have_count(0)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    complaints.said.clear()
    wait_past(page, seen)
    last_line(page)
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_text("SIGTERM")).to_be_visible()
    delete(page)


def test_long_output_stays_bounded_on_a_phone(
    browser: Browser, cluster: Cluster, state: StorageState, complaints: Complaints
) -> None:
    context = browser.new_context(base_url=cluster.url, storage_state=state, viewport=PHONE, color_scheme="dark")
    context.set_default_timeout(PATIENCE_MS)
    page = complaints.hear(context.new_page())
    create(page, "narrow")
    panel = run(page, "seq 1 400000")
    expect(panel.get_by_text("Exit 0", exact=True)).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("400000")
    expect(panel.get_by_text("Earlier output")).to_be_visible()
    assert len(page.get_by_role("log").text_content() or "") < 1_200_000
    for path in ("/workspaces", "/nodes", "/activity", "/settings", page.url):
        page.goto(path)
        expect(page.get_by_role("navigation", name="Main").first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    delete(page)
    context.close()


def test_files_go_in_and_out_and_tokens_are_shown_once(page: Page, tmp_path: Path) -> None:
    create(page, "files")
    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_text("This directory is empty")).to_be_visible()
    note = tmp_path / "note é.txt"
    note.write_text("first line\nzweite Zeile ✓\n")
    page.get_by_label("Files to upload").set_input_files(note)
    page.get_by_role("button", name=note.name, exact=True).click()
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_text("zweite Zeile ✓")).to_be_visible()
    with page.expect_download() as fetched:
        viewer.get_by_role("link", name="Download").click()
    assert fetched.value.path().read_bytes() == note.read_bytes()
    page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    delete(page)
    page.goto("/settings")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("robot")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_text(re.compile(r"^stead_\S{20}"))).to_be_visible()
    page.get_by_role("button", name="Done").click()
    token = page.get_by_role("listitem").filter(has_text="robot")
    token.get_by_role("button", name="Revoke").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Revoke token").click()
    expect(token).to_have_count(0)
