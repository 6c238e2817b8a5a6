"""The server's log: one line each on stderr, and no secrets, also not in tracebacks."""

import json
import os
import pty
import subprocess
import sys

CODE = """
import logging, structlog
from stead.control.logs import configure
configure("info")
def fail():
    secret = "top" + "secret"
    raise ValueError("broken")
for log in (structlog.get_logger("stead"), logging.getLogger("stead.x")):
    log.info("hello")
    log.debug("unseen")
    try:
        fail()
    except ValueError as error:
        log.error("bug", exc_info=error)
logging.getLogger("alembic").info("unseen")
"""


def test_lines_are_json_where_no_person_looks() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["hello", "bug", "hello", "bug"]
    assert all("ValueError: broken" in line["exception"] for line in lines if line["event"] == "bug")
    assert "topsecret" not in done.stderr
    assert done.stdout == ""


def test_people_see_text_without_the_values_of_variables() -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", CODE], stderr=theirs, stdout=subprocess.DEVNULL, check=True, timeout=60)
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert "ValueError: broken" in shown
    assert "topsecret" not in shown
    assert "UserWarning" not in shown
