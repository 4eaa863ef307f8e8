"""What happens around every request: ids, CORS, names that lead here, headers within bounds, who may look at health."""

from __future__ import annotations

import socket

import httpx2
import pytest
from starlette.requests import Request

from gateway import server
from gateway.health import check_may_look
from gateway.settings import Settings
from schemas.errors import NotFound
from tests.support.gateway_thread import ServedGateway

CLIENT = httpx2.Client(trust_env=False, timeout=60)
FILE = "/files/00000000000000000000000000000000/a.png"


def raw(served: ServedGateway, request: bytes, wait_s: float = 60) -> bytes:
    """What comes back for these bytes, until the connection ends, which it must."""
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), wait_s) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while data := connection.recv(65536):
                answer += data
        except ConnectionError:
            pass
        return answer


def test_every_answer_has_an_id(served: ServedGateway) -> None:
    first, second = (CLIENT.get(served.url + FILE).headers["x-request-id"] for _ in range(2))
    assert first != second
    given = CLIENT.get(served.url + FILE, headers={"x-request-id": "my.id-1"})
    assert given.headers["x-request-id"] == "my.id-1"
    odd = CLIENT.get(served.url + FILE, headers={"x-request-id": 'a"b\\c d'})
    assert odd.headers["x-request-id"] != 'a"b\\c d'


def test_pages_of_any_origin_may_read_but_bring_no_cookies(served: ServedGateway) -> None:
    answer = CLIENT.get(served.url + FILE, headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"x-fal-request-id", "retry-after", "x-request-id"} <= exposed


def test_preflights_allow_what_clients_send(served: ServedGateway) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,x-fal-target-url,x-fal-queue-priority,content-type",
    }
    answer = CLIENT.options(served.url + "/queue/fal-ai/fooocus", headers=asked)
    assert answer.status_code == 200
    assert "x-fal-target-url" in answer.headers["access-control-allow-headers"]
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8888", "[::1]:8888", "queue.fal.run", "v3.fal.media"])
def test_names_that_lead_here_are_answered(served: ServedGateway, host: str) -> None:
    assert CLIENT.get(served.url + "/healthz", headers={"Host": host}).status_code != 421


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "fal.run.evil.example", "evilfal.run", ""])
def test_foreign_names_are_not_while_no_key_is_needed(served: ServedGateway, host: str) -> None:
    """A page of evil.example whose name was pointed at 127.0.0.1 could read every answer otherwise."""
    answer = raw(served, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 421")


def test_headers_beyond_the_bound_are_refused(served: ServedGateway) -> None:
    bound = Settings().max_header_bytes
    filler = b"X-Fill: " + b"a" * bound + b"\r\n"
    assert raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + filler + b"\r\n").startswith(b"HTTP/1.1 431")
    many = b"".join(b"X-%d: a\r\n" % number for number in range(bound // 6))
    assert raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431")
    assert raw(served, b"GET /" + b"a" * bound + b" HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 431")


def test_endless_headers_are_refused_before_they_end(served: ServedGateway) -> None:
    bound = Settings().max_header_bytes
    endless = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Fill: aaaaaaaaaaaaaaa\r\n" * (bound // 10)
    assert raw(served, endless).startswith(b"HTTP/1.1 431")


def test_headers_that_never_end_are_hung_up_on(served: ServedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEADERS_S", 0.3)
    assert raw(served, b"GET /healthz HTTP/1.1\r\nHost: local") == b""


def test_requests_of_one_connection_are_counted_apart(served: ServedGateway) -> None:
    bound = Settings().max_header_bytes
    half = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Fill: " + b"a" * (bound // 2) + b"\r\n"
    answer = raw(served, (half + b"\r\n") * 3 + half + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_is_nobody_elses_business(served: ServedGateway, path: str) -> None:
    """A proxy on this machine speaks for others."""
    assert CLIENT.get(served.url + path).status_code in (200, 503)
    assert CLIENT.get(served.url + path, headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 404


def test_who_may_look_from_afar_sees_no_words_of_workers() -> None:
    """They may hold paths."""
    near = Request({"type": "http", "client": ("127.0.0.1", 1), "headers": []})
    afar = Request({"type": "http", "client": ("10.0.0.1", 1), "headers": []})
    settings = Settings(open_status=True)
    assert [check_may_look(near, settings), check_may_look(afar, settings)] == [True, False]
    with pytest.raises(NotFound):
        check_may_look(afar, Settings())


def test_metrics_name_what_an_operator_asks_for(served: ServedGateway) -> None:
    waiting = served.submit({"prompt": "a canary prompt"})
    text = CLIENT.get(served.url + "/metrics").text
    assert 'fooocus_jobs{state="queued"} 1.0' in text
    assert 'fooocus_workers{state="idle"} 0.0' in text
    ended = 'fooocus_jobs_ended_total{outcome="cancelled"}'
    assert ended not in text
    served.run(served.gateway.jobs.cancel(waiting.id))
    text = CLIENT.get(served.url + "/metrics").text
    assert f"{ended} 1.0" in text
    assert 'fooocus_jobs{state="queued"} 0.0' in text
    assert text.count("\nfooocus_webhooks_pending 0.0\n") == 1
    assert "canary" not in text


def test_unknown_paths_are_404(served: ServedGateway) -> None:
    assert CLIENT.get(served.url + "/worker/v2/other/job-take/x").status_code == 404
