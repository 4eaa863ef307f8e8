"""Over https the connection goes to the checked address, but SNI, certificate and Host are those of the name."""

from __future__ import annotations

import dataclasses
import datetime
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handler.media.fetch import FetchPolicy, fetch
from schemas.errors import FileDownloadError

from .servers import answer, drip, raw, serve

LOC = ("body", "image_url")
POLICY = FetchPolicy(
    allow_private=True, allow_http=False, connect_s=0.7, total_s=2, resolver=lambda host, port: ["127.0.0.1"]
)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject: str, issuer: str, key, signer, days: int, names: list[x509.GeneralName]) -> x509.Certificate:
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=10)
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=days))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority of this test run, trusted through SSL_CERT_FILE."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path_factory.mktemp("authority") / "root.pem"
    root = certificate("Root", "Root", key, key, 3650, [])
    path.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield key


def server_context(folder: Path, signer, host: str = "pictures.test", days: int = 3650) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificate(host, "Root", key, signer or key, days, [x509.DNSName(host)])
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(secret + leaf.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def url(server, host: str = "pictures.test") -> str:
    return f"https://{host}:{server.port}/a.png"


def test_a_certificate_of_the_name_is_accepted_and_the_name_sent(authority, tmp_path):
    context = server_context(tmp_path, authority)
    names = []
    context.sni_callback = lambda sock, sent, ctx: names.append(sent)
    with serve(answer(200, b"secure" * 50_000), context) as server:
        assert fetch(url(server), LOC, POLICY) == b"secure" * 50_000
    assert names == ["pictures.test"]
    assert f"Host: pictures.test:{server.port}\r\n".encode() in server.seen[0]


@pytest.mark.parametrize("case", ["other name", "expired", "self-signed", "plain http", "address"])
def test_any_other_certificate_is_refused_before_a_request(authority, tmp_path, case):
    context = {
        "other name": lambda: server_context(tmp_path, authority, "other.test"),
        "expired": lambda: server_context(tmp_path, authority, days=5),
        "self-signed": lambda: server_context(tmp_path, None),
        "plain http": lambda: None,
        "address": lambda: server_context(tmp_path, authority),
    }[case]()
    with serve(answer(200, b"no"), context) as server, pytest.raises(FileDownloadError) as refusal:
        fetch(url(server, "127.0.0.1" if case == "address" else "pictures.test"), LOC, POLICY)
    assert not any(head.startswith(b"GET") for head in server.seen)
    assert str(refusal.value) == str(FileDownloadError(LOC))


@pytest.mark.parametrize("protocol", ["stalled handshake", "dripping body", "silent after headers"])
def test_slow_servers_are_left_in_time_under_tls_too(authority, tmp_path, protocol):
    policy = dataclasses.replace(POLICY, first_byte_s=0.5, total_s=1.2)
    head = b"HTTP/1.1 200 OK\r\n"
    script = {
        "stalled handshake": raw(100.0),
        "dripping body": drip(head + b"\r\n", b"x", 0.02),
        "silent after headers": raw(head + b"Content-Length: 9\r\n\r\n", 100.0),
    }[protocol]
    context = None if protocol == "stalled handshake" else server_context(tmp_path, authority)
    started = time.monotonic()
    with serve(script, context) as server, pytest.raises(FileDownloadError):
        fetch(url(server), LOC, policy)
    assert time.monotonic() - started < 30


def test_a_redirect_may_not_leave_https_where_http_is_not_allowed(authority, tmp_path):
    with serve(answer(200, b"plain")) as plain:
        leave = answer(302, b"", ("Location", plain.url()))
        with serve(leave, server_context(tmp_path, authority)) as server, pytest.raises(FileDownloadError):
            fetch(url(server), LOC, POLICY)
        assert plain.seen == []
