"""Who this node is: an Ed25519 key that never leaves the machine, and the id the control plane gave it.

Contract: `Identity.open(folder)` makes the key (0600) at first. `enrol(identity, settings, token)` trades a single-use
token for a node id and remembers it; `hello_signature` proves the key. `rotate(identity, settings)` replaces the key; the new
one is on disk before it is told, and a rotation cut short anywhere is finished by the next.
"""

from __future__ import annotations

import base64
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stead.node.settings import NodeSettings
from stead.protocol.errors import Fault, SteadError
from stead.transport.tcp import loopback

TIMEOUT = 30.0
_RAW = serialization.Encoding.Raw


class Enrolled(msgspec.Struct, frozen=True):
    """What the control plane answered; `url` is where."""

    node_id: str
    url: str


class _Answer(msgspec.Struct):
    node_id: str


class _Refusal(msgspec.Struct):
    error: Fault


class Identity:
    """The key and the id."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey, enrolled: Enrolled | None) -> None:
        self._folder = folder
        self._key = key
        self.enrolled = enrolled

    @classmethod
    def open(cls, folder: Path) -> Identity:
        """The identity kept in this folder; a key is made when there is none."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder, _open_key(folder / "key"), _read_enrolled(folder / "node.json"))

    @property
    def public_key(self) -> str:
        """The public half, base64."""
        return _public(self._key)

    @property
    def node_id(self) -> str:
        if self.enrolled is None:
            raise SteadError("unauthenticated", "this node is not enrolled: `stead node join URL --token-file FILE`")
        return self.enrolled.node_id

    def hello_signature(self, nonce: str) -> str:
        """Proves the key to the control plane that sent this nonce."""
        text = f"stead-node-hello:{nonce}:{self.node_id}"
        return base64.b64encode(self._key.sign(text.encode())).decode()

    def candidate(self) -> Ed25519PrivateKey:
        """The key that is to replace ours; the same one until it has."""
        return _open_key(self._folder / "key.next")

    def promote(self) -> None:
        """The candidate is our key from now on."""
        self._key = self.candidate()
        (self._folder / "key.next").replace(self._folder / "key")

    def signers(self) -> list[Ed25519PrivateKey]:
        """The keys that the control plane may know."""
        return [self._key, self.candidate()]

    def remember(self, enrolled: Enrolled) -> None:
        """Keeps what the control plane answered."""
        _write_private(self._folder / "node.json", msgspec.json.encode(enrolled))
        self.enrolled = enrolled


async def enrol(identity: Identity, settings: NodeSettings, token: str) -> str:
    """Trades the token for a node id. Safe to repeat with the same key until it succeeds."""
    body = {
        "token": token,
        "name": settings.display_name,
        "public_key": identity.public_key,
        "labels": settings.labels,
    }
    content = await _post(settings, settings.enrol_url, body)
    try:
        node_id = msgspec.json.decode(content, type=_Answer).node_id
    except msgspec.DecodeError:
        raise SteadError("malformed", "the enrolment was answered with something else") from None
    identity.remember(Enrolled(node_id, settings.url))
    return node_id


async def rotate(identity: Identity, settings: NodeSettings) -> None:
    """Replaces the key. Signed by the present one, or by the new one when an earlier attempt was taken but not heard."""
    new = _public(identity.candidate())
    url = f"{settings.url.rstrip('/')}/api/v1/nodes/{identity.node_id}/key"
    refused: SteadError | None = None
    for signer in identity.signers():
        signature = signer.sign(f"rotate:{identity.node_id}:{new}".encode())
        try:
            await _post(settings, url, {"public_key": new, "signature": base64.b64encode(signature).decode()})
        except SteadError as error:
            if error.retry:
                raise
            refused = refused or error
        else:
            identity.promote()
            return
    assert refused is not None
    raise refused


async def _post(settings: NodeSettings, url: str, body: dict[str, Any]) -> bytes:
    import httpx2

    try:
        proxies = not loopback(urlsplit(url).hostname or "")
        tls = tls_context(settings) or True
        async with httpx2.AsyncClient(timeout=TIMEOUT, verify=tls, trust_env=proxies) as client:
            answer = await client.post(url, json=body)
    except httpx2.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise SteadError("unavailable", f"the control plane cannot be reached: {reason}") from error
    if answer.status_code >= 300:
        raise _refusal(answer.status_code, answer.content)
    return answer.content


def _public(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(_RAW, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def tls_context(settings: NodeSettings) -> ssl.SSLContext | None:
    """Trusts the system's authorities and what the settings name, authority or not; None where there is no TLS."""
    if not settings.url.startswith("https"):
        return None
    context = ssl.create_default_context()
    if settings.tls_ca:
        try:
            context.load_verify_locations(Path(settings.tls_ca).expanduser())
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        except (OSError, ssl.SSLError) as error:
            raise SteadError("invalid", f"tls_ca: {error}") from error
    return context


def _refusal(status: int, content: bytes) -> SteadError:
    try:
        return SteadError.of(msgspec.json.decode(content, type=_Refusal).error)
    except msgspec.DecodeError:
        return SteadError("unavailable", f"the control plane answered with HTTP status {status}")


def _open_key(path: Path) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except FileNotFoundError:
        pass
    except ValueError:
        raise SteadError("invalid", "the node's key file is damaged; move it away and enrol again") from None
    key = Ed25519PrivateKey.generate()
    _write_private(path, key.private_bytes(_RAW, serialization.PrivateFormat.Raw, serialization.NoEncryption()))
    return key


def _read_enrolled(path: Path) -> Enrolled | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolled)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise SteadError("invalid", "node.json is damaged; move it away and enrol again") from None


def _write_private(path: Path, content: bytes) -> None:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
