"""The sync face has the methods of the async one, and its stub says so."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

import stead.sdk.sync as module
from stead.sdk.audit import Audit
from stead.sdk.client import Stead
from stead.sdk.commands import Commands
from stead.sdk.events import Events
from stead.sdk.nodes import Nodes
from stead.sdk.remote import RemoteRunning, RemoteToolbox
from stead.sdk.sessions import Sessions
from stead.sdk.sync import SyncStead
from stead.sdk.tokens import Tokens
from stead.sdk.users import Users
from stead.sdk.workspaces import Workspace, Workspaces
from stead.toolbox.git.contract import Git
from stead.toolbox.language.contract import Language
from stead.toolbox.search.contract import Search
from stead.toolbox.sessions.contract import ShellSessions
from stead.toolbox.system.contract import System
from stead.toolbox.text.contract import Text
from stead.toolbox.transfer.contract import Transfer
from stead.toolbox.trees.contract import Trees
from stead.toolbox.watch.contract import Watch, Watching

FACES: dict[str, type[Any]] = {
    "SyncStead": Stead,
    "SyncWorkspace": Workspace,
    "SyncWorkspaces": Workspaces,
    "SyncToolbox": RemoteToolbox,
    "SyncRunning": RemoteRunning,
    "SyncGit": Git,
    "SyncLanguage": Language,
    "SyncShellSessions": ShellSessions,
    "SyncSystem": System,
    "SyncText": Text,
    "SyncTransfer": Transfer,
    "SyncTrees": Trees,
    "SyncSearch": Search,
    "SyncWatch": Watch,
    "SyncWatching": Watching,
    "SyncNodes": Nodes,
    "SyncCommands": Commands,
    "SyncUsers": Users,
    "SyncTokens": Tokens,
    "SyncSessions": Sessions,
    "SyncEvents": Events,
    "SyncAudit": Audit,
}
NOT_FOR_SYNC = {"ask", "attachment", "following", "opened", "watching", "SyncEvents.changes"}


def stub() -> dict[str, ast.ClassDef]:
    tree = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("name", FACES)
def test_the_stub_has_the_methods_of_the_async_face(name: str) -> None:
    shown = {
        node.name: [a.arg for a in [*node.args.args, *node.args.kwonlyargs]]
        for node in stub()[name].body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")
    }
    real = {
        key: list(inspect.signature(value).parameters) if inspect.isfunction(value) else ["self"]
        for key, value in vars(FACES[name]).items()
        if not key.startswith("_") and not {key, f"{name}.{key}"} & NOT_FOR_SYNC
    }
    trimmed = {key: [p for p in names if p not in {"options", "wanted"}] for key, names in real.items()}
    assert shown == trimmed


def test_every_class_of_the_stub_has_its_async_face() -> None:
    assert set(stub()) == set(FACES)


def test_errors_come_out_as_they_are(tmp_path: Path) -> None:
    from stead.protocol.errors import SteadError

    with (
        SyncStead("http://127.0.0.1:9", "stead_x", patience=0.0) as stead,
        pytest.raises(SteadError, match=r"127\.0\.0\.1:9"),
    ):
        stead.workspaces.get("x")


def test_outside_of_with_it_says_how() -> None:
    with pytest.raises(AttributeError, match="inside of"):
        SyncStead("http://127.0.0.1:9").workspaces.get("x")
