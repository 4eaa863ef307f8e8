"""Files over HTTP: the right bytes and type, in part or whole, harmless in a browser; what is no file is not found."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import httpx2
import pytest

from gateway.files.model import Kind, StoredFile
from tests.gateway.files.pictures import content, picture
from tests.support.gateway_thread import ServedGateway, threaded_gateway
from tests.support.worker import wait_for

KEY = "a key for the tests"
HARMLESS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "cross-origin",
}
DATA = content(1, 700_001)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    with threaded_gateway(tmp_path_factory.mktemp("gateway") / "data", apikey=KEY) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(served: ServedGateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=served.url, timeout=60) as client:
        yield client


def add(served: ServedGateway, data: bytes, name: str = "a.bin", **more: object) -> StoredFile:
    return served.run(served.gateway.files.add(data, name=name, owner="apikey", **more))


def path(file: StoredFile) -> str:
    return f"/files/{file.id}/{file.name}"


@pytest.fixture(scope="module")
def file(served: ServedGateway) -> StoredFile:
    return add(served, DATA)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_shown(served: ServedGateway, client: httpx2.Client, form: str) -> None:
    data = picture(form)
    stored = add(served, data, f"a.{form.lower()}")
    answer = client.get(path(stored))
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == f"image/{form.lower()}"
    assert answer.headers["content-disposition"] == f'inline; filename="{stored.name}"'
    assert answer.headers["access-control-allow-origin"] == "*"
    assert HARMLESS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.html", b"<script>alert(1)</script>"), ("drawing.svg", b"<svg onload='alert(1)'/>"),
        ("a.png", b"<html><script>alert(1)</script>"), ("a.xml", b"<?xml-stylesheet href='x'?><a/>"),
        ("a.pdf", b"%PDF-1.7"), ("a.gif", b"GIF89a/*"), ("a.js", b"alert(1)"), ("sw.js", b"self.onfetch=1"),
        ("weights.safetensors", b"\x08\0\0\0\0\0\0\0{}      "),
    ],
)  # fmt: skip
def test_everything_else_is_downloaded(served: ServedGateway, client: httpx2.Client, name: str, data: bytes) -> None:
    answer = client.get(path(add(served, data, name)))
    assert answer.content == data
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert HARMLESS.items() <= dict(answer.headers).items()


def test_a_picture_with_a_page_in_it_stays_a_picture(served: ServedGateway, client: httpx2.Client) -> None:
    stored = add(served, picture() + b"<html><script>alert(1)</script>", "page.html")
    answer = client.get(path(stored))
    assert answer.headers["content-type"] == "image/png"
    assert HARMLESS.items() <= dict(answer.headers).items()


def test_head_is_get_without_the_body(client: httpx2.Client, file: StoredFile) -> None:
    got, headed = client.get(path(file)), client.head(path(file))
    ignored = {"date", "x-request-id"}
    assert headed.content == b""
    assert {k: v for k, v in headed.headers.items() if k not in ignored} == {
        k: v for k, v in got.headers.items() if k not in ignored
    }
    assert headed.headers["content-length"] == str(len(DATA))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1), ("bytes=0-99", 0, 100), ("bytes=100-", 100, None), ("bytes=-100", len(DATA) - 100, None),
        ("bytes=262143-262145", 262143, 262146), ("bytes=0-99999999999", 0, None), ("bytes=-99999999999", 0, None),
        ("BYTES= 5-6", 5, 7), (f"bytes={len(DATA) - 1}-", len(DATA) - 1, None),
    ],
)  # fmt: skip
def test_a_range_is_served(client: httpx2.Client, file: StoredFile, asked: str, start: int, stop: int | None) -> None:
    answer = client.get(path(file), headers={"range": asked})
    end = len(DATA) if stop is None else stop
    assert (answer.status_code, answer.content) == (206, DATA[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert HARMLESS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-4", "bytes=-", "bytes=", "items=0-1", "bytes=0-1,5-6", "bytes=a-b", "bytes=0x1-2", "bytes=1-2-3",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(2000)), "bytes=٠-٩",
    ],
)  # fmt: skip
def test_what_is_not_one_range_gets_the_whole(client: httpx2.Client, file: StoredFile, asked: str) -> None:
    answer = client.get(path(file), headers={"range": asked.encode()})
    assert (answer.status_code, len(answer.content)) == (200, len(DATA))


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=99999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(client: httpx2.Client, file: StoredFile, asked: str) -> None:
    answer = client.get(path(file), headers={"range": asked})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"


def test_what_is_known_is_not_sent_again(client: httpx2.Client, file: StoredFile) -> None:
    tag = client.head(path(file)).headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = client.get(path(file), headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    assert client.get(path(file), headers={"if-none-match": '"x"'}).status_code == 200


def test_the_rest_of_another_version_is_not_sent(client: httpx2.Client, file: StoredFile) -> None:
    headers = client.head(path(file)).headers
    same, other = (headers["etag"], headers["last-modified"]), ('"x"', formatdate(1, usegmt=True))
    for version, status in [*((text, 206) for text in same), *((text, 200) for text in other)]:
        answer = client.get(path(file), headers={"range": "bytes=0-9", "if-range": version})
        assert answer.status_code == status


def test_an_empty_file_is_a_file(served: ServedGateway, client: httpx2.Client) -> None:
    answer = client.get(path(add(served, b"")))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert client.get(path(add(served, b"")), headers={"range": "bytes=0-"}).status_code == 416


def test_caches_keep_a_file_as_long_as_it_lives(served: ServedGateway, client: httpx2.Client) -> None:
    control = client.get(path(add(served, b"x", ttl_s=100))).headers["cache-control"]
    public, age, immutable = control.split(", ")
    assert (public, immutable) == ("public", "immutable")
    assert 90 <= int(age.removeprefix("max-age=")) <= 100


@pytest.mark.parametrize(
    "wrong",
    [
        "", "..", "../secret", "..%2fsecret", "%2e%2e/secret", "....//secret", "%2fetc%2fpasswd", "blobs", "secret",
        "0" * 32, "0" * 31, "g" * 32, "0" * 32 + "%00", "..%5csecret", "%c0%ae%c0%ae/secret", "A" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_file_is_not_found(served: ServedGateway, wrong: str) -> None:
    """Sent as they stand: clients that tidy up paths would hide them."""
    secret = (served.gateway.settings.data / "files" / "secret").read_bytes()
    for url in (f"/files/{wrong}/a.bin", f"/files/{wrong}/../../secret", f"/files/{wrong}/..%2f..%2fsecret"):
        connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
        connection.request("GET", url)
        answer = connection.getresponse()
        assert answer.status == 404
        assert secret not in answer.read()
        connection.close()


def test_a_file_answers_to_its_own_name_only(client: httpx2.Client, file: StoredFile) -> None:
    for name in ("b.bin", "a.bin%00", "A.bin", "..", "a.html"):
        assert client.get(f"/files/{file.id}/{name}").status_code == 404


def test_a_link_on_disk_is_not_followed(served: ServedGateway, client: httpx2.Client, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    stored = add(served, b"inside!")
    blob = served.gateway.settings.data / "files" / "blobs" / stored.blob
    blob.unlink()
    blob.symlink_to(outside)
    answer = client.get(path(stored))
    assert answer.status_code == 404
    assert b"outside" not in answer.content


def test_readers_who_leave_leave_nothing_open(served: ServedGateway, client: httpx2.Client) -> None:
    stored = add(served, content(2, 3 * 2**20))
    root = str(served.gateway.settings.data / "files" / "blobs")

    def open_blobs() -> int:
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(link.readlink())
        return sum(str(link).startswith(root) for link in links)

    host, port = served.url.removeprefix("http://").split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.sendall(f"GET {path(stored)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert client.get(path(stored)).status_code == 200
    wait_for(lambda: open_blobs() == 0, 60, "the closing of what was opened")


def test_a_private_file_is_its_owners(served: ServedGateway, client: httpx2.Client) -> None:
    stored = add(served, picture(), "a.png", public=False, kind=Kind.INPUT)
    nobody, wrong = client.get(path(stored)), client.get(path(stored), headers={"authorization": "Key wrong"})
    assert {nobody.status_code, wrong.status_code} == {401}
    answer = client.get(path(stored), headers={"authorization": f"Key {KEY}"})
    assert (answer.status_code, answer.content) == (200, picture())
    assert answer.headers["cache-control"].startswith("private, ")
    assert "access-control-allow-origin" not in answer.headers


def test_a_private_file_of_another_is_not_there(served: ServedGateway, client: httpx2.Client) -> None:
    theirs = served.run(served.gateway.files.add(b"x", name="a", owner="bob", public=False))
    answer = client.get(path(theirs), headers={"authorization": f"Key {KEY}"})
    assert answer.status_code == 404
