"""HTTPS on a port beside the plain one: for clients that know no other scheme.

Without a certificate of the operator's, one is made for this machine. It is signed by an authority that exists for that
moment only: its key is never written down, so nothing else can be signed with what `bundle.pem` trusts.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.files.tokens import write_private
from gateway.hosts import CANONICAL
from gateway.settings import Settings

NAMES = ("localhost", *CANONICAL, *(f"*.{domain}" for domain in CANONICAL))
"""Whom the made certificate speaks for: this machine, and those whose clients were led here by name."""

ADDRESSES = ("127.0.0.1", "::1")

_DAYS = 397
_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files. chain and key: what we serve with. bundle: what a client may trust, public authorities and ours."""

    chain: Path
    key: Path
    bundle: Path | None

    def context(self) -> ssl.SSLContext:
        """Raises OSError and ssl.SSLError for files that are none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.chain, self.key)
        return context


def certificate(settings: Settings) -> Certificate:
    """The operator's certificate, or the one in the data folder, made anew when it is about to end."""
    if settings.tls_cert is not None:
        return Certificate(settings.tls_cert, settings.tls_key or settings.tls_cert, None)
    folder = settings.data / "tls"
    made = Certificate(folder / "cert.pem", folder / "key.pem", folder / "bundle.pem")
    wanted = _alternative_names(settings.host)
    if not _serves(made.chain, wanted):
        _make(made, wanted)
    return made


def _alternative_names(host: str) -> x509.SubjectAlternativeName:
    names, addresses = list(NAMES), [ipaddress.ip_address(address) for address in ADDRESSES]
    try:
        addresses.append(ipaddress.ip_address(host))
    except ValueError:
        names.append(host)
    found = [*map(x509.DNSName, dict.fromkeys(names)), *map(x509.IPAddress, dict.fromkeys(addresses))]
    return x509.SubjectAlternativeName(found)


def _serves(chain: Path, wanted: x509.SubjectAlternativeName) -> bool:
    """Whether the certificate on disk is for these names, and for a while yet."""
    try:
        found = x509.load_pem_x509_certificate(chain.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return names == wanted and found.not_valid_after_utc > _now() + datetime.timedelta(days=_RENEW_DAYS)


def _make(made: Certificate, names: x509.SubjectAlternativeName) -> None:
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = _name("fooocus-worker gateway, local authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        _builder(_name("fooocus-worker gateway"), name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    trusted = authority.public_bytes(Encoding.PEM)
    write_private(made.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert made.bundle is not None, "A made certificate has a bundle. This is a bug."
    write_private(made.bundle, Path(certifi.where()).read_bytes() + b"\n" + trusted)
    write_private(made.chain, leaf.public_bytes(Encoding.PEM) + trusted)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=_now() - datetime.timedelta(days=1),
        not_valid_after=_now() + datetime.timedelta(days=_DAYS),
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
