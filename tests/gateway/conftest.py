"""What the gateway's tests share: a runner for both event loops, and a private certificate authority."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Run = Callable[[Coroutine[Any, Any, Any]], Any]
# Far more than any test takes; a test that hangs fails instead.
HANG_S = 30


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on a fresh loop of each kind; whatever the loop would only log fails the test."""
    complaints: list[str] = []

    def runner(coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def guarded() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(repr(context)))
            async with asyncio.timeout(HANG_S):
                return await coroutine

        with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop) as loop:
            return loop.run(guarded())

    yield runner
    assert not complaints


@dataclass(frozen=True)
class Authority:
    """A private certificate authority: the file of its certificate, and server contexts for names and addresses."""

    ca_file: Path
    folder: Path
    _key: ec.EllipticCurvePrivateKey
    _certificate: x509.Certificate

    def server_context(self, *names: str, expired: bool = False, self_signed: bool = False, with_authority: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for the names and addresses; the authority's may be sent with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        signing, issuer = (key, _name(names[0])) if self_signed else (self._key, self._certificate.subject)
        now = datetime.datetime.now(datetime.UTC)
        end = now - datetime.timedelta(days=1) if expired else now + datetime.timedelta(days=1)
        certificate = (
            _builder(names[0], issuer, key.public_key(), now - datetime.timedelta(days=2), end)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
            .sign(signing, hashes.SHA256())
        )
        path = self.folder / f"{names[0]}-{certificate.serial_number}.pem"
        path.write_bytes(_pem(certificate) + (_pem(self._certificate) if with_authority else b"") + _key_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody else trusts."""
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("A private authority")
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        _builder("A private authority", name, key.public_key(), now - datetime.timedelta(days=3), now + datetime.timedelta(days=3))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(_pem(certificate))
    return Authority(ca_file, folder, key, certificate)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, begin: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
