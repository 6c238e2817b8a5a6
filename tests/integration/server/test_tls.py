"""The server with TLS of its own: clients and nodes come over https, also where a private authority signed; cookies are for
https only."""

import datetime as dt
import ipaddress
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration.server.program import Program
from stead.testing.server import free_port
from support.cli import PROGRAM
from support.deadline import eventually

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
LOCALHOST = x509.DNSName("localhost")


class Certificate:
    """A key and a certificate for it: self-signed, or by another that is an authority."""

    def __init__(self, folder: Path, name: str, place: x509.GeneralName, issuer: "Certificate | None" = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = issuer or self
        now = dt.datetime.now(dt.UTC)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        of = x509.AuthorityKeyIdentifier.from_issuer_public_key(by._key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(by._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([place]), critical=False)
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(_usage(signs=issuer is None), critical=True)
            .add_extension(key_id, critical=False)
            .add_extension(of, critical=False)
            .sign(by._key, hashes.SHA256())
        )
        self.file, self.key_file = folder / f"{name}.pem", folder / f"{name}.key"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.key_file.write_bytes(self._key.private_bytes(serialization.Encoding.PEM, *plain))

    @property
    def flags(self) -> dict[str, str]:
        """For a server."""
        return {"tls_certificate": str(self.file), "tls_key": str(self.key_file)}

    @property
    def trusting(self) -> ssl.SSLContext:
        """For its clients."""
        return ssl.create_default_context(cafile=str(self.file))


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Handshakes; where it signs, certificates too: strict clients ask for it."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture
def authority(tmp_path: Path) -> Certificate:
    """A private one."""
    return Certificate(tmp_path, "authority", LOCALHOST)


@pytest.fixture
def signed(tmp_path: Path, authority: Certificate) -> Iterator[Program]:
    """A server whose certificate is for its name alone, and signed by the private authority."""
    certificate = Certificate(tmp_path, "server", LOCALHOST, authority)
    port = free_port()
    program = Program(tmp_path, port=port, public_url=f"https://localhost:{port}", **certificate.flags)
    program.verify = authority.trusting
    yield program
    program.__exit__()


def node(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([PROGRAM, "node", *words], capture_output=True, timeout=60, check=False, **options)


def test_everything_over_https(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path, "server", LOOPBACK)
    program = Program(tmp_path, mode="scripted", **certificate.flags)
    program.verify = certificate.trusting
    with program, program.client() as client:
        assert program.url.startswith("https://")
        eventually(lambda: "online" in client.get("/nodes").text, "the node is online", within=90)
        login = client.post("/users", json={"name": "mia"})
        assert "strict-transport-security" in login.headers
        with program.client("") as browser:
            entered = browser.post("/login", json={"code": login.json()["login"]})
            assert "secure" in entered.headers["set-cookie"].lower()
            assert browser.get("/whoami").json()["user"]["name"] == "mia"


def test_a_node_joins_and_works_under_a_private_authority(
    tmp_path: Path, signed: Program, authority: Certificate
) -> None:
    signed.start()
    data = str(tmp_path / "far")
    with signed.client() as client:
        token = client.post("/nodes/tokens", json={}).json()["token"].encode()
        join = ("join", signed.url, "--name", "far", "--data", data)
        strange = node(*join, input=token)
        assert (strange.returncode, b"certificate" in strange.stderr) == (1, True), strange.stderr
        joined = node(*join, "--tls-ca", str(authority.file), input=token)
        assert joined.returncode == 0, joined.stderr
        argv = [sys.executable, "-m", "stead.node", "--config", str(tmp_path / "far" / "node.toml")]
        with (tmp_path / "node.log").open("wb") as log:
            running = subprocess.Popen(
                argv, stdout=log, stderr=log, env={**os.environ, "STEAD_NODE_DRIVERS": "process"}
            )
        try:
            eventually(lambda: client.get("/nodes/far").json()["status"] == "online", "the node is online", within=90)
            made = client.post("/workspaces", json={"name": "box", "node": "far"})
            assert made.status_code == 201, made.text
            eventually(lambda: client.get("/workspaces/box").json()["state"] == "running", "it runs", within=90)
            answer = client.post("/workspaces/box/exec", json={"argv": ["echo", "over", "tls"]}).json()
            assert (answer["stdout"], answer["exit_code"]) == ("over tls\n", 0)
            client.delete("/workspaces/box")
            eventually(lambda: client.get("/workspaces/box").status_code == 404, "it is gone", within=90)
        finally:
            running.terminate()
            running.wait(60)


def test_this_machine_comes_by_the_name_that_the_certificate_is_for(signed: Program) -> None:
    signed.flags["mode"] = "scripted"
    signed.start()
    assert signed.url == signed.flags["public_url"]
    with signed.client() as client:
        eventually(lambda: "online" in client.get("/nodes").text, "the node is online", within=90)
