"""Connections go only to addresses that were checked, under the name's own certificate, and retries re-check."""

from __future__ import annotations

import dataclasses
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handler.media.urls import parse
from handler.storage.delivery import ForbiddenAddress, NoAnswer, Reach, deliver
from handler.storage.exchange import Request
from tests.handler.media.servers import Server, answer, serve

from .conftest import QUICK

NAME = "storage.test"
SHORT = dataclasses.replace(QUICK, connect_s=0.3)
BODY = b"picture" * 100


def put(server: Server, scheme: str = "http") -> Request:
    return Request(
        "PUT", parse(f"{scheme}://{NAME}:{server.port}/k?X-Amz-Signature=s"), {"Content-Type": "image/png"}, BODY
    )


def resolving_to(*answers: list[str]):
    """A resolver that gives the next of `answers` each time, the last one for ever."""
    left = list(answers)
    return lambda host, port: left.pop(0) if len(left) > 1 else left[0]


def test_the_request_is_complete_and_carries_nothing_else():
    with serve(answer(200, b"ok")) as server:
        reply = deliver(put(server), Reach.ANY, QUICK, resolving_to(["127.0.0.1"]))
    assert (reply.status, reply.body) == (200, b"ok")
    head = server.seen[0].partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head == [
        "PUT /k?X-Amz-Signature=s HTTP/1.1",
        f"Host: {NAME}:{server.port}",
        "User-Agent: fooocus-worker",
        "Accept-Encoding: identity",
        "Connection: close",
        f"Content-Length: {len(BODY)}",
        "Content-Type: image/png",
    ]


@pytest.mark.parametrize("reach", [Reach.PUBLIC, Reach.PUBLIC_AND_PRIVATE])
@pytest.mark.parametrize(
    "addresses", [["169.254.169.254"], ["192.0.78.9", "169.254.169.254"], ["::ffff:169.254.169.254"], ["0.0.0.0"]]
)
def test_one_closed_address_is_enough_to_refuse(reach, addresses):
    with serve(answer(200)) as server:
        with pytest.raises(ForbiddenAddress):
            deliver(put(server), reach, QUICK, resolving_to(addresses))
        assert server.seen == []


def test_private_addresses_need_leave():
    with serve(answer(200)) as server:
        with pytest.raises(ForbiddenAddress):
            deliver(put(server), Reach.PUBLIC, QUICK, resolving_to(["127.0.0.1"]))
        assert server.seen == []
        assert deliver(put(server), Reach.PUBLIC_AND_PRIVATE, QUICK, resolving_to(["127.0.0.1"])).ok


def test_a_name_that_moves_between_tries_is_checked_again():
    """DNS rebinding: allowed while the first try fails, forbidden afterwards."""
    with serve(answer(500)) as server:
        with pytest.raises(ForbiddenAddress):
            deliver(put(server), Reach.PUBLIC_AND_PRIVATE, QUICK, resolving_to(["127.0.0.1"], ["169.254.169.254"]))
        assert len(server.seen) == 1


def test_the_next_address_is_tried_when_one_is_dead():
    with serve(answer(200)) as server:
        assert deliver(put(server), Reach.ANY, QUICK, resolving_to(["127.0.0.255", "127.0.0.1"])).ok


def test_a_redirect_is_an_answer_and_not_followed():
    with serve(answer(200)) as elsewhere, serve(answer(307, b"", ("Location", elsewhere.url()))) as server:
        assert deliver(put(server), Reach.ANY, QUICK, resolving_to(["127.0.0.1"])).status == 307
        assert elsewhere.seen == []


def test_a_resolver_that_fails_is_tried_again():
    calls = []

    def resolver(host: str, port: int) -> list[str]:
        calls.append(host)
        if len(calls) < 3:
            raise OSError("no such host")
        return ["127.0.0.1"]

    with serve(answer(200)) as server:
        assert deliver(put(server), Reach.ANY, QUICK, resolver).ok
    assert len(calls) == QUICK.attempts


def tls(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server context and the file of its self-signed certificate for `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public_file, pair = folder / f"{name}.pem", folder / f"{name}.pair.pem"
    public_file.write_bytes(certificate)
    pair.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private) + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context, public_file


def test_tls_checks_the_name_at_the_address_that_was_checked(tmp_path, monkeypatch):
    context, trusted = tls(tmp_path, NAME)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    names = []
    context.sni_callback = lambda sock, sent, ctx: names.append(sent)
    with serve(answer(200, b"ok"), context) as server:
        assert deliver(put(server, "https"), Reach.ANY, QUICK, resolving_to(["127.0.0.1"])).body == b"ok"
    assert names == [NAME]


@pytest.mark.parametrize("case", ["untrusted", "other name", "plain http"])
def test_a_certificate_that_does_not_fit_gets_no_request(tmp_path, monkeypatch, case):
    context, certificate = tls(tmp_path, "other.test" if case == "other name" else NAME)
    if case != "untrusted":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serve(answer(200), None if case == "plain http" else context) as server:
        with pytest.raises(NoAnswer):
            deliver(put(server, "https"), Reach.ANY, SHORT, resolving_to(["127.0.0.1"]))
        assert not any(head.startswith(b"PUT") for head in server.seen)
