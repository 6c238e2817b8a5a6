"""The server with TLS of its own: clients and the embedded node come over https, cookies are for https only."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration.server.program import Program
from support.deadline import eventually


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed one for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stead test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_everything_over_https(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    program = Program(tmp_path, mode="scripted", tls_certificate=str(chain), tls_key=str(key))
    program.verify = ssl.create_default_context(cafile=str(chain))
    with program, program.client() as client:
        assert program.url.startswith("https://")
        eventually(lambda: "online" in client.get("/nodes").text, "the node is online", within=90)
        login = client.post("/users", json={"name": "mia"})
        assert "strict-transport-security" in login.headers
        with program.client("") as browser:
            entered = browser.post("/login", json={"code": login.json()["login"]})
            assert "secure" in entered.headers["set-cookie"].lower()
            assert browser.get("/whoami").json()["user"]["name"] == "mia"
