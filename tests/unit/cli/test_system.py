"""What cloud-init did, as it is printed."""

import json

import pytest

from stead.cli.output import Output
from stead.cli.system import show_run, show_status
from stead.toolbox.system.contract import CloudInitModule, CloudInitRun, CloudInitStatus

DONE = CloudInitRun(
    ok=False,
    modules=[
        CloudInitModule("write_files", ok=True, seconds=0.25),
        CloudInitModule("scripts_user", ok=False, seconds=61.0, output="one\ntwo", errors=["runcmd: exit code 3"]),
    ],
)
SHOWN = """MODULE        STATE   TOOK
write_files   ok      0.2 s
scripts_user  failed  61.0 s

output of scripts_user:
one
two

complaints of scripts_user:
runcmd: exit code 3
"""


def test_a_run_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_run(Output(), DONE)
    assert capsys.readouterr().out == SHOWN
    show_run(Output(json=True), DONE)
    assert json.loads(capsys.readouterr().out)["modules"][1]["errors"] == ["runcmd: exit code 3"]


def test_a_status_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(Output(), CloudInitStatus(installed=False))
    assert capsys.readouterr().out.split() == ["cloud-init", "not", "installed"]
    show_status(Output(), CloudInitStatus(installed=True, status="done", extended="degraded done", warnings=["a", "b"]))
    assert capsys.readouterr().out.split() == [
        "cloud-init",
        "installed",
        "boot",
        "degraded",
        "done",
        "warnings",
        "a",
        "b",
    ]
