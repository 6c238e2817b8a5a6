"""Finds processes that a test session started and left behind, also those that became their own session."""

import os
import time
import uuid

import psutil

VARIABLE = "STEAD_TEST_SESSION"


def mark_session() -> str:
    """Marks this process, so that everything started from here carries the mark in its environment."""
    mark = uuid.uuid4().hex
    os.environ[VARIABLE] = mark
    return mark


def survivors(mark: str, grace: float) -> list[psutil.Process]:
    """The processes of this session that still live after the grace time."""
    until = time.monotonic() + grace
    while (found := _living(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def describe(process: psutil.Process) -> str:
    """One line that names a process."""
    try:
        return f"pid {process.pid}: {' '.join(process.cmdline())[:200] or process.name()}"
    except psutil.Error:
        return f"pid {process.pid}: gone while it was named"


def _living(mark: str) -> list[psutil.Process]:
    me = psutil.Process()
    mine = {p.pid: p for p in me.children(recursive=True)}
    for process in psutil.process_iter():
        if process.pid != me.pid and _has_mark(process, mark):
            mine[process.pid] = process
    return [p for p in mine.values() if _is_alive(p)]


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(VARIABLE) == mark
    except (psutil.Error, OSError):
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
