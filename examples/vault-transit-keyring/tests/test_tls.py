"""Over TLS: the server's certificate is checked, and its name too."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from transit_server import TOKEN, TransitServer, running
from vault_transit_keyring import VaultTransitKeyring

from envelope_sdk import Client
from envelope_sdk.errors import KmsUnavailableError


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for 127.0.0.1 that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vault of the tests")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * 100))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "vault.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


@pytest.fixture(scope="module")
def vault(ca_file: Path) -> Iterator[TransitServer]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca_file)
    with running(tls) as server:
        server.rotate("backups")
        yield server


def test_a_certificate_that_is_trusted_is_taken(vault: TransitServer, ca_file: Path) -> None:
    client = Client(VaultTransitKeyring(vault.address, "backups", token=TOKEN, ca_file=str(ca_file)))

    assert client.decrypt(client.encrypt(b"plaintext").ciphertext).plaintext == b"plaintext"


def test_a_certificate_that_nobody_trusts_is_refused(vault: TransitServer) -> None:
    with pytest.raises(KmsUnavailableError, match="SSLCertVerificationError"):
        Client(VaultTransitKeyring(vault.address, "backups", token=TOKEN)).encrypt(b"")


def test_a_certificate_for_another_host_is_refused(vault: TransitServer, ca_file: Path) -> None:
    address = vault.address.replace("127.0.0.1", "localhost")

    with pytest.raises(KmsUnavailableError, match="SSLCertVerificationError"):
        Client(VaultTransitKeyring(address, "backups", token=TOKEN, ca_file=str(ca_file))).encrypt(b"")
