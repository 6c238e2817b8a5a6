"""`stead guest serve`: its doors, its configuration in both of the original's shapes, and its limits as a client meets them."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from stead.guest import configuration
from stead.guest.limiter import Limiter, Limits, Rate
from stead.guest.rpc import Rpc
from stead.guest.serving import WRONG
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.sdk.guest.client import RpcGuest
from stead.sdk.guest.lines import Lines
from stead.transport import unix
from support.deadline import PATIENCE, eventually
from support.repository import ROOT

pytestmark = pytest.mark.anyio

SERVE = (sys.executable, "-P", "-m", "stead.guest", "serve")


def _write(place: Path, **fields: Any) -> Path:
    file = place / "guest.json"
    file.write_text(json.dumps({"run": str(place / "run"), "name": "machine"} | fields))
    return file


@asynccontextmanager
async def _served(place: Path, **fields: Any) -> AsyncIterator[Lines]:
    """A guest that serves one socket, and a client of it."""
    path = place / "door.sock"
    process = subprocess.Popen([*SERVE, "--config", str(_write(place, **fields)), "--socket", str(path)])
    try:
        eventually(path.exists, "the guest listens")
        async with Lines(path) as lines:
            with anyio.fail_after(PATIENCE * 2):
                yield lines
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def _code(lines: Lines, method: str, **params: Any) -> tuple[int, str]:
    """The code of the protocol and of ours with which it is refused."""
    with pytest.raises(SteadError) as caught:
        await lines.call(method, params)
    return caught.value.details["rpc_code"], caught.value.code


def _security(place: Path) -> dict[str, Any]:
    (place / "in").mkdir()
    (place / "in" / "f").write_text("inside")
    (place / "out").write_text("outside")
    return {
        "allowed_read_paths": [str(place / "in")],
        "allowed_write_paths": [str(place / "in" / "w")],
        "command_whitelist": ["echo"],
        "max_file_size_mb": 0.001,
        "max_command_timeout_seconds": 5,
    }


async def test_a_configuration_holds(tmp_path: Path) -> None:
    async with _served(tmp_path, security=_security(tmp_path)) as lines:
        guest = RpcGuest(lines)
        assert await guest.read(f"{tmp_path}/in/f") == b"inside"
        assert await _code(lines, "file_read", path=f"{tmp_path}/out") == (-32001, "refused")
        assert await _code(lines, "file_read", path=f"{tmp_path}/nothing") == (-32001, "refused")
        assert await _code(lines, "file_write", path=f"{tmp_path}/in/f", content="x") == (-32001, "refused")
        await guest.write(f"{tmp_path}/in/w/f", b"x", parents=True)
        assert await _code(lines, "file_write", path=f"{tmp_path}/in/w/f", content="x" * 2000) == (-32000, "too_large")


async def test_programs_and_times_are_those_of_the_configuration(tmp_path: Path) -> None:
    async with _served(tmp_path, security=_security(tmp_path)) as lines:
        assert (await RpcGuest(lines).exec("echo", ["hello"], seconds=5)).stdout == "hello\n"
        assert (await lines.call("exec_command", {"command": "echo", "args": ["x"]}))["stdout"] == "x\n"
        assert await _code(lines, "exec_command", command="cat", timeout_seconds=1) == (-32001, "refused")
        assert await _code(lines, "exec_command", command="echo", timeout_seconds=6) == (-32602, "invalid")


async def test_without_a_configuration_the_system_user_is_the_limit(tmp_path: Path) -> None:
    async with _served(tmp_path, security=None) as lines:
        guest = RpcGuest(lines)
        (tmp_path / "f").write_text("x")
        assert await guest.read(str(tmp_path / "f")) == b"x"
        assert (await guest.exec("sh", ["-c", "pwd"])).stdout == "/\n"
        async with guest.linked() as link:
            assert (await link.toolbox.info()).workspace_id == "machine"


async def test_concurrency_and_a_ping_beside_it(tmp_path: Path) -> None:
    async with _served(tmp_path, security=None, max_concurrent_requests=2) as lines:
        codes: list[str] = []

        async def one() -> None:
            try:
                await lines.call("exec_command", {"command": "sleep", "args": ["2"]})
            except SteadError as error:
                codes.append(error.code)

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            assert (await lines.call("ping"))["pong"] is True
        assert codes == ["too_many"] * 2


async def test_the_rate_and_a_ping_beside_it(tmp_path: Path) -> None:
    async with _served(tmp_path, security=None, max_requests_per_second=3) as lines:
        codes = []
        for _ in range(40):
            await lines.call("ping")
            try:
                await lines.call("get_agent_info")
                codes.append("ok")
            except SteadError as error:
                codes.append(error.code)
        assert codes[:3] == ["ok"] * 3
        assert "rate_limited" in codes


async def test_a_line_is_as_long_as_the_configuration_says(tmp_path: Path) -> None:
    async with _served(tmp_path, security=None, max_message_size_kb=1) as lines:
        assert await _code(lines, "file_read", path="x" * 900) == (-32602, "path_invalid")
        stream = await unix.connect(lines.way.where)
        await stream.write(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 1100 + b'"}\n')
        answer = msgspec.json.decode((await stream.read(1 << 16)).partition(b"\n")[0])
        assert (answer["id"], answer["error"]["code"]) == (None, wire.INVALID_REQUEST)
        await stream.close()


async def test_what_has_no_time_limit_of_its_own_has_the_configured_one() -> None:
    async def slow(params: wire.Nothing) -> None:
        await anyio.sleep_forever()

    rpc = Rpc({"slow": (wire.Nothing, slow)}, Limiter(Limits(seconds=0.05)))
    answer = msgspec.json.decode(await rpc.answer(b'{"jsonrpc":"2.0","id":1,"method":"slow"}') or b"{}")
    assert answer["error"]["code"] == wire.TIMED_OUT
    assert rpc.running == 0


def test_a_bucket_fills_with_time() -> None:
    rate = Rate(2.0, 0.0)
    assert [rate.take(0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert [rate.take(0.5), rate.take(0.5)] == [0.0, 0.5]
    assert [rate.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert not any(Rate(0.0, 0.0).take(0.0) for _ in range(100))
    assert [Rate(0.5, 0.0).take(0.0), Rate(0.5, 0.0).take(9.0)] == [0.0, 0.0]


def test_standard_input_and_output(tmp_path: Path) -> None:
    file = _write(tmp_path, security=None)
    line = b'{"jsonrpc":"2.0","id":1,"method":"exec_command","params":{"command":"echo","args":["there"]}}\n'
    argv = [*SERVE, "--config", str(file), "--stdio"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        assert msgspec.json.decode(process.stdout.readline())["result"]["stdout"] == "there\n"
        holder = json.loads((tmp_path / "run" / "holder.json").read_text())["pid"]
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    assert not Path(f"/proc/{holder}/exe").is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the death of a parent")
def test_standard_input_and_output_whose_process_is_killed(tmp_path: Path) -> None:
    argv = [*SERVE, "--config", str(_write(tmp_path, security=None)), "--stdio"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        assert (tmp_path / "run" / "guest.sock").exists()
        process.kill()
    eventually(lambda: not (tmp_path / "run" / "guest.sock").exists(), "holder and guest have ended with it")


async def test_a_second_guest_in_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with _served(tmp_path, security=None) as lines:
        argv = [*SERVE, "--config", str(tmp_path / "guest.json"), "--socket", str(tmp_path / "other.sock")]
        second = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (second.returncode, "another guest is at work" in second.stderr) == (1, True)
        assert (await RpcGuest(lines).exec("echo", ["here"])).stdout == "here\n"
        assert (tmp_path / "run" / "guest.sock").exists()
    async with _served(tmp_path, security=None) as lines:
        assert (await lines.call("ping"))["pong"] is True, "the folder is free again"


def test_systemd_does_not_start_again_what_stays_wrong() -> None:
    unit = (ROOT / "deploy" / "guest" / "stead-guest.service").read_text()
    assert f"RestartPreventExitStatus={WRONG}\n" in unit


ORIGINAL = {
    "version": "1.0.0",
    "log_level": "info",
    "log_file": "/var/log/agent.log",
    "channel_name": "org.kvmmanager.agent.0",
    "max_message_size_kb": 64,
    "connection_retry_seconds": 5,
    "request_timeout_seconds": 30,
    "max_concurrent_requests": 10,
}


def _read(place: Path, fields: dict[str, Any]) -> configuration.Configuration:
    file = place / "c.json"
    file.write_text(json.dumps(fields))
    return configuration.read(file)


def test_the_nested_shape(tmp_path: Path) -> None:
    security = {
        "allowed_read_paths": ["/var/log"],
        "allowed_write_paths": ["/tmp/x"],
        "command_whitelist": None,
        "max_file_size_mb": 10,
        "max_command_timeout_seconds": 300,
    }
    policy = _read(tmp_path, ORIGINAL | {"security": security}).policy()
    assert policy is not None
    assert policy.read_paths == ("/var/log",)
    assert policy.write_paths == ("/tmp/x",)
    assert policy.programs is None
    assert (policy.max_file_bytes, policy.max_exec_seconds) == (10 << 20, 300)


def test_the_flat_shape(tmp_path: Path) -> None:
    flat = {
        "allowed_read_paths": ["/etc", "/proc"],
        "allowed_write_paths": ["/tmp"],
        "command_whitelist_enabled": False,
        "command_whitelist": ["ls"],
        "max_file_size_bytes": 1 << 20,
        "command_timeout_seconds": 60,
    }
    policy = _read(tmp_path, ORIGINAL | flat).policy()
    assert policy is not None
    assert (policy.read_paths, policy.write_paths, policy.programs) == (("/etc", "/proc"), ("/tmp",), None)
    assert (policy.max_file_bytes, policy.max_exec_seconds) == (1 << 20, 60)
    listed = _read(tmp_path, ORIGINAL | flat | {"command_whitelist_enabled": True}).policy()
    assert listed is not None
    assert listed.programs == ("ls",)
    for nothing in ({"command_whitelist": None}, {}):
        enabled = _read(tmp_path, ORIGINAL | {"command_whitelist_enabled": True} | nothing).policy()
        assert enabled is not None
        assert enabled.programs == (), "a list that is in force and empty permits nothing"


def test_a_file_that_says_nothing_of_security_permits_what_the_protocol_does(tmp_path: Path) -> None:
    policy = _read(tmp_path, ORIGINAL).policy()
    assert policy is not None
    assert policy.read_paths is not None
    assert "/etc/os-release" in policy.read_paths


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("trace", "DEBUG"),
        ("debug", "DEBUG"),
        ("Info", "INFO"),
        ("warn", "WARNING"),
        ("WARNING", "WARNING"),
        ("error", "ERROR"),
    ],
)
def test_the_level_of_the_log(tmp_path: Path, said: str, level: str) -> None:
    assert configuration.read(_write(tmp_path, log_level=said)).level == level


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"unknown": 1}, "unknown"),
        ({"security": {"unknown": 1}}, "unknown"),
        ({"max_concurrent_requests": "many"}, "max_concurrent_requests"),
        ({"max_concurrent_requests": 0}, "max_concurrent_requests"),
        ({"max_message_size_kb": 65}, "max_message_size_kb"),
        ({"request_timeout_seconds": -1}, "request_timeout_seconds"),
        ({"log_level": "loud"}, "log_level"),
        ({"version": 2}, "version"),
        ({"version": "2.0.0"}, "version"),
        ({"root": "/srv", "security": {"allowed_read_paths": ["/srv"]}}, "exclude each other"),
        ({"security": {"allowed_read_paths": ["relative"]}}, "relative"),
        ({"security": {"allowed_write_paths": ["/a/../b"]}}, "/a/../b"),
        ({"allowed_read_paths": "text"}, "allowed_read_paths"),
        ({"max_file_size_bytes": "big"}, "float"),
        ({"command_whitelist_enabled": "yes"}, "bool"),
    ],
)
def test_a_file_that_is_wrong_stops_the_start_with_the_reason(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    file = _write(tmp_path, **fields)
    done = subprocess.run(
        [*SERVE, "--config", str(file)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == WRONG
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"nonsense"])
def test_a_file_that_is_no_json_object_stops_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(content)
    done = subprocess.run(
        [*SERVE, "--config", str(file)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == WRONG
    assert str(file) in done.stderr
    missing = subprocess.run([*SERVE, "--config", "/no/file"], capture_output=True, timeout=PATIENCE, check=False)
    assert missing.returncode == WRONG


@pytest.mark.needs_engine("bwrap")
def test_where_nothing_can_be_written_but_one_folder(tmp_path: Path) -> None:
    """No folder for temporary files is usable: that is none of its business, and where its own cannot be made it says so."""
    system = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--chdir", "/"]
    (tmp_path / "home").mkdir()
    bare = {"XDG_RUNTIME_DIR": "", "TMPDIR": ""}
    file = _write(tmp_path, run=str(tmp_path / "home" / "run"), security=None)
    argv = [*system, "--bind", str(tmp_path / "home"), str(tmp_path / "home"), "--", *SERVE, "--config", str(file)]
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    with subprocess.Popen(
        [*argv, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | bare
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(ping)
        process.stdin.flush()
        assert msgspec.json.decode(process.stdout.readline())["result"]["pong"] is True
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    file = _write(tmp_path, run="", security=None)
    argv = [*system, "--", *SERVE, "--config", str(file), "--stdio"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False, env=os.environ | bare)
    assert done.returncode == WRONG
    assert "name a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_folder_for_temporary_files_is_the_one_that_is_named_and_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert configuration.temporary() == "/tmp"
    monkeypatch.setenv("TEMP", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nothing"))
    assert configuration.temporary() == str(tmp_path)
    monkeypatch.setenv("TEMP", "relative")
    assert configuration.temporary() == "/tmp"
