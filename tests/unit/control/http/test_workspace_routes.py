"""Execs and files over HTTP, through the relay to a node."""

import base64
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from support.deadline import PATIENCE
from unit.control.face import Face, WorkNode, face

pytestmark = pytest.mark.anyio

STATUS = {"exec_id": "ex_1", "state": "exited", "exit_code": 3}


async def ready(it: Face) -> tuple[WorkNode, str]:
    node = await it.node()
    return node, f"/workspaces/{await it.workspace()}"


async def test_an_exec_runs_and_answers_with_its_end(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        output = base64.b64encode(b"out\xff").decode()
        node.answers["exec.run"] = {"status": STATUS, "stdout": output, "clipped": True}
        answer = await it.admin.post(f"{box}/exec", json={"argv": ["ls"], "environment": {"A": "b"}, "timeout": 5})
        assert answer.status_code == 200
        body = answer.json()
        assert (body["exit_code"], body["stdout"], body["clipped"]) == (3, "out�", True)
        assert base64.b64decode(body["stdout_base64"]) == b"out\xff"
        params = msgspec.json.decode(node.calls[-1].params)
        assert (params["argv"], params["environment"], params["timeout"]) == (["ls"], {"A": "b"}, 5)
        assert params["exec_id"].startswith("ex_")
        assert 3600.0 - PATIENCE < node.calls[-1].timeout <= 3600.0


async def test_an_idempotency_key_names_the_exec(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        node.answers["exec.run"] = SteadError("workspace_unreachable", "away")
        for _ in range(2):
            answer = await it.admin.post(f"{box}/exec", json={"argv": ["x"]}, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
        asked = {msgspec.json.decode(call.params)["exec_id"] for call in node.calls}
        assert len(asked) == 1


async def test_what_can_be_asked_of_execs(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        node.answers |= {"exec.list": {"execs": [STATUS]}, "exec.show": STATUS, "exec.kill": STATUS}
        assert (await it.admin.get(f"{box}/execs")).json()["items"][0]["exec_id"] == "ex_1"
        assert (await it.admin.get(f"{box}/execs/ex_1")).json()["state"] == "exited"
        assert (await it.admin.post(f"{box}/execs/ex_1/kill", json={"signal": 9})).json()["exit_code"] == 3
        assert msgspec.json.decode(node.calls[-1].params) == {"exec_id": "ex_1", "signal": 9, "grace": 2.0}


async def test_files_go_up_and_down_whole(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        content = bytes(range(256)) * 6_000
        put = await it.admin.put(f"{box}/files?path=a/b.bin", content=content)
        assert put.json() == {"path": "a/b.bin", "size": len(content), "created": True}
        assert node.files["a/b.bin"] == content
        got = await it.admin.get(f"{box}/files?path=a/b.bin")
        assert got.content == content
        assert got.headers["content-length"] == str(len(content))
        assert got.headers["etag"] == put.headers["etag"]
        assert "attachment" in got.headers["content-disposition"]
        assert "sandbox" in got.headers["content-security-policy"]


async def test_parts_of_files(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        node.files["f"] = b"0123456789"
        part = await it.admin.get(f"{box}/files?path=f", headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
        beyond = await it.admin.get(f"{box}/files?path=f", headers={"Range": "bytes=20-"})
        assert beyond.json()["error"]["code"] == "range_unsatisfiable"


async def test_etags_of_files(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        node.files["f"] = b"one"
        etag = (await it.admin.get(f"{box}/files?path=f")).headers["etag"]
        same = await it.admin.get(f"{box}/files?path=f", headers={"If-None-Match": etag})
        assert (same.status_code, same.content) == (304, b"")
        assert (
            await it.admin.put(f"{box}/files?path=f", content=b"two!", headers={"If-Match": etag})
        ).status_code == 200
        late = await it.admin.put(f"{box}/files?path=f", content=b"three", headers={"If-Match": etag})
        assert late.json()["error"]["code"] == "precondition_failed"
        assert node.files["f"] == b"two!"
        await it.admin.put(f"{box}/files?path=new", content=b"", headers={"If-None-Match": "*"})
        assert msgspec.json.decode(node.opened[-1].params)["exclusive"] is True


async def test_uploads_are_bounded(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"upload_bytes": 100_000}) as it:
        node, box = await ready(it)

        async def pieces() -> Any:
            for _ in range(3):
                yield b"x" * 50_000

        for content in (b"x" * 100_001, pieces()):
            answer = await it.admin.put(f"{box}/files?path=f", content=content)
            assert answer.json()["error"]["code"] == "too_large"
        assert node.files == {}


async def test_the_other_calls_about_files(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        stat = {"path": "d", "kind": "directory", "size": 0, "mode": 493, "modified": 1.0}
        node.answers |= {
            "files.list": {"entries": [stat]},
            "files.mkdir": stat,
            "files.move": stat,
            "files.delete": {"path": "d", "existed": True},
        }
        assert (await it.admin.get(f"{box}/files/list?path=.&depth=2")).json()["entries"][0]["path"] == "d"
        assert (await it.admin.get(f"{box}/files/stat?path=.")).json()["kind"] == "directory"
        assert (await it.admin.post(f"{box}/files/mkdir", json={"path": "d"})).status_code == 200
        assert (await it.admin.post(f"{box}/files/move", json={"source": "d", "target": "e"})).status_code == 200
        assert (await it.admin.delete(f"{box}/files?path=d&recursive=true")).json()["existed"] is True
        directory = await it.admin.get(f"{box}/files?path=.")
        assert directory.json()["error"]["code"] == "is_directory"
        assert (await it.admin.get(f"{box}/files?path=none")).json()["error"]["code"] == "not_found"
        assert (await it.admin.get(f"{box}/files")).json()["error"]["code"] == "invalid"


async def test_a_workspace_that_does_not_run(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        _, box = await ready(it)
        await it.admin.post(f"{box}/stop")
        with anyio.fail_after(30):
            while (await it.admin.get(box)).json()["state"] != "stopped":
                await anyio.sleep(0.01)
        answer = await it.admin.post(f"{box}/exec", json={"argv": ["true"]})
        assert answer.json()["error"]["code"] == "workspace_not_running"


async def test_a_node_that_is_away(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        assert node.peer is not None
        await node.peer.close()
        with anyio.fail_after(30):
            while it.app.core.registry.connected():
                await anyio.sleep(0.01)
        answer = await it.admin.post(f"{box}/exec", json={"argv": ["true"]})
        assert answer.json()["error"]["code"] == "node_unreachable"


async def test_stdin_goes_in_and_output_comes_out(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, box = await ready(it)
        records = "".join(f"\x01\0\0\0{chr(len(word))}{word}" for word in ("hello", "you"))
        answer = await it.admin.post(f"{box}/exec", json={"argv": ["cat"], "stdin": records})
        assert (answer.json()["stdout"], answer.json()["state"]) == ("helloyou", "exited")
        assert msgspec.json.decode(node.opened[0].params)["stdin"] is True


async def test_a_request_waits_only_so_long_for_an_exec(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"exec_wait_seconds": 0.05}) as it:
        node, box = await ready(it)
        node.answers["exec.run"] = SteadError("timeout", "it took longer")
        answer = await it.admin.post(f"{box}/exec", json={"argv": ["cat"]})
        assert (answer.json()["error"]["code"], node.calls[-1].timeout) == ("timeout", 0.05)
        node.deaf = True
        with anyio.fail_after(30):
            answer = await it.admin.post(f"{box}/exec", json={"argv": ["cat"], "stdin": "x"})
        assert answer.json()["error"]["code"] == "timeout"
