"""Nodes in the web app: one is changed, and given up with its workspaces when its machine is gone."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from stead.testing.cluster import Cluster
from support.cli import PROGRAM, Cli
from support.deadline import eventually

pytestmark = pytest.mark.needs_engine("chromium")


@pytest.fixture
def gone(cluster: Cluster, tmp_path: Path) -> Iterator[Cli]:
    """The command line, and a node `far` whose machine is gone while it had the workspace `lost`."""
    cli = Cli(cluster.environment).at(STEAD_NODE_DRIVERS="scripted")
    data = str(tmp_path / "far")
    cli.ok("node", "join", cluster.url, "--name", "far", "--data", data, input=cli.ok("node", "token").encode())
    with (tmp_path / "log").open("wb") as log:
        node = subprocess.Popen([PROGRAM, "node", "run", "--data", data], env=cli.environment, stdout=log, stderr=log)
        try:
            eventually(lambda: cli.json("node", "show", "far")["status"] == "online", "the node is online")
            cli.ok("ws", "create", "lost", "--driver", "scripted", "--node", "far")
        finally:
            node.kill()
            node.wait(60)
    yield cli
    for left in cli.json("node", "ls")["items"]:
        if left["name"].startswith("far"):
            cli.ok("node", "rm", left["id"], "--force")


def test_a_node_is_changed_and_given_up_with_its_workspaces(page: Page, gone: Cli) -> None:
    page.goto("/nodes")
    page.get_by_role("link", name="far", exact=True).click()
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("farther")
    dialog.get_by_label("Most workspaces").fill("3")
    dialog.get_by_label("Labels").fill("site=moon")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="farther", exact=True)).to_be_visible()
    expect(page.get_by_text("1 of at most 3")).to_be_visible()
    expect(page.get_by_role("list", name="Labels").get_by_text("site=moon")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    asked = page.get_by_role("alertdialog")
    expect(asked.get_by_text("It has one workspace")).to_be_visible()
    remove = asked.get_by_role("button", name="Give up and remove")
    expect(remove).to_be_disabled()
    asked.get_by_label("Type “farther” to confirm").fill("farther")
    remove.click()
    expect(page).to_have_url(re.compile(r"/nodes$"))
    expect(page.get_by_role("link", name="farther")).to_have_count(0)
    assert gone("node", "show", "farther").returncode == 1
    assert gone("ws", "show", "lost").returncode == 1
