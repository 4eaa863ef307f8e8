"""HTTPS with a certificate made here: who it speaks for, what it lets nobody do, and tunnels that end in it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.settings import Settings
from gateway.tls import certificate
from tests.support.gateway import GatewayProcess, serving_gateway, until


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with serving_gateway(GatewayProcess(tmp_path_factory.mktemp("secure"), ("--tls-port", "0"))) as gateway:
        until(lambda: "too" in gateway.log())
        yield gateway


def https_port(gateway: GatewayProcess) -> int:
    return int(gateway.log().partition("Serving at https://127.0.0.1:")[2].partition(" ")[0])


def trusting(bundle: Path) -> ssl.SSLContext:
    """A client as strict as Python knows how to be."""
    context = ssl.create_default_context(cafile=str(bundle))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_a_client_that_trusts_the_bundle_is_served(secure: GatewayProcess) -> None:
    context = trusting(secure.data / "tls" / "bundle.pem")
    for name in ("127.0.0.1", "localhost"):
        url = f"https://{name}:{https_port(secure)}"
        with httpx2.Client(verify=context, trust_env=False) as http:
            assert http.get(f"{url}/healthz").json() == {"status": "ok"}
            sent = http.post(f"{url}/queue/fal-ai/fooocus", json={}).json()
            told = http.post(f"{url}/rest/storage/upload/initiate", json={}).json()
        assert sent["status_url"].startswith(url), "the client follows it, and trusts us"
        assert told["file_url"].startswith(f"http://{name}:{secure.port}/"), "other programs open it, and do not"


def test_a_client_that_was_not_told_to_trust_it_does_not(secure: GatewayProcess) -> None:
    with httpx2.Client(trust_env=False) as http, pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        http.get(f"https://127.0.0.1:{https_port(secure)}/healthz")


@pytest.mark.parametrize("name", ["queue.fal.run", "fal.run", "rest.fal.ai", "v3.fal.media"])
def test_a_tunnel_to_fal_ends_here(secure: GatewayProcess, name: str) -> None:
    context = trusting(secure.data / "tls" / "bundle.pem")
    with httpx2.Client(verify=context, proxy=secure.url, trust_env=False) as http:
        reply = http.post(f"https://{name}/fal-ai/nothing")
    assert reply.status_code in (404, 405)
    assert reply.headers["x-fal-request-id"]


@pytest.mark.parametrize(
    "head",
    [b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", b"CONNECT notfal.run:443 HTTP/1.1\r\nhost: queue.fal.run\r\n\r\n",
     b"CONNECT queue.fal.run:22 HTTP/1.1\r\n\r\n", b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n",
     b"CONNECT queue.fal.run.example.com:443 HTTP/1.1\r\n\r\n", b"CONNECT \r\n\r\n", b"CONNECT queue.fal.run:443"],
)  # fmt: skip
def test_no_tunnel_leads_anywhere_else(secure: GatewayProcess, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), 10) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 403 ")
        assert connection.recv(1) == b""


def test_without_https_there_are_no_tunnels(tmp_path: Path) -> None:
    with (
        serving_gateway(GatewayProcess(tmp_path)) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), 10) as connection,
    ):
        connection.sendall(b"CONNECT queue.fal.run:443 HTTP/1.1\r\nhost: queue.fal.run:443\r\n\r\n")
        assert not connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_the_certificate_is_kept_and_its_authority_is_not(tmp_path: Path) -> None:
    made = certificate(Settings(data=tmp_path))
    again = certificate(Settings(data=tmp_path))
    assert made.bundle is not None
    first = made.chain.read_bytes()
    assert again.chain.read_bytes() == first
    leaf, authority = x509.load_pem_x509_certificates(first)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.key.stat().st_mode & 0o077 == 0
    names = {path.name for path in (tmp_path / "tls").iterdir()}
    assert names == {"cert.pem", "key.pem", "bundle.pem"}
    assert authority.public_bytes(Encoding.PEM) in made.bundle.read_bytes()
    assert b"PRIVATE" not in made.bundle.read_bytes() + first
    assert made.key.read_bytes().count(b"BEGIN PRIVATE KEY") == 1


def test_another_address_gets_another_certificate(tmp_path: Path) -> None:
    before = certificate(Settings(data=tmp_path)).chain.read_bytes()
    made = certificate(Settings(data=tmp_path, host="10.0.0.5"))
    assert made.chain.read_bytes() != before
    leaf = x509.load_pem_x509_certificate(made.chain.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.0.0.5" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert made.context()


def test_a_certificate_that_is_none_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    gateway = GatewayProcess(tmp_path, ("--tls-port", "0"), {"GATEWAY_TLS_CERT": str(tmp_path / "cert.pem")})
    with pytest.raises(AssertionError, match="The certificate cannot be used"):
        gateway.start()
    assert gateway.wait() == 1
