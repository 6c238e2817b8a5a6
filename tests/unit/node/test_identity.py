"""The key stays, is private, and proves itself."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stead.node.identity import Enrolled, Identity, enrol
from stead.node.settings import NodeSettings
from stead.protocol.errors import SteadError

pytestmark = pytest.mark.anyio


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = Identity.open(tmp_path / "node")
    again = Identity.open(tmp_path / "node")
    assert first.public_key == again.public_key
    assert (tmp_path / "node" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o700


def test_the_signature_is_over_nonce_and_node(tmp_path: Path) -> None:
    identity = Identity.open(tmp_path)
    with pytest.raises(SteadError) as caught:
        identity.hello_signature("n")
    assert caught.value.code == "unauthenticated"
    identity.remember(Enrolled("nd_1", "http://x"))
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(identity.public_key))
    public.verify(base64.b64decode(identity.hello_signature("n")), b"stead-node-hello:n:nd_1")
    assert Identity.open(tmp_path).node_id == "nd_1"


def test_damaged_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(SteadError) as caught:
        Identity.open(tmp_path)
    assert caught.value.code == "invalid"


async def test_an_absent_control_plane_may_be_tried_again(tmp_path: Path) -> None:
    identity = Identity.open(tmp_path)
    with pytest.raises(SteadError) as caught:
        await enrol(identity, NodeSettings(url="http://127.0.0.1:9"), "token")
    assert (caught.value.code, caught.value.retry) == ("unavailable", True)
    assert "token" not in caught.value.message
