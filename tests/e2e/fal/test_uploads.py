"""Uploads of fal's real clients: small, inside an input, by name and in parts; what comes back is what was sent."""

from __future__ import annotations

import base64
import hashlib
import io
import sqlite3
import time
import urllib.request
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.fal.conftest import Clients
from tests.support.fal.clients import KINDS
from tests.support.gateway import GatewayProcess

APP = "fal-ai/fooocus"
MIB = 2**20
FILL = 7
"""What both bridges fill a file with."""

UPLOADING = [name for name, kind in KINDS.items() if kind.uploads and kind.way != "tunnel"]


def read(url: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers, without a key."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read(), {name.lower(): value for name, value in response.headers.items()}


def digest(url: str) -> tuple[int, str]:
    """Size and SHA-256 of what is there."""
    found, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=60) as response:
        while data := response.read(MIB):
            found.update(data)
            size += len(data)
    return size, found.hexdigest()


def filled(size: int, fill: int = FILL) -> tuple[int, str]:
    return size, hashlib.sha256(bytes([fill]) * size).hexdigest()


@pytest.mark.parametrize("kind", UPLOADING)
def test_a_small_file(kind: str, clients: Clients, empty: GatewayProcess) -> None:
    url = clients(kind).upload(5000, name="a b/ä.png")
    assert url.startswith(empty.url)
    body, headers = read(url)
    assert body == bytes([FILL]) * 5000
    assert headers["content-type"] == "application/octet-stream", "the type is the content's, not the sender's word"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["js-proxy", "py-module"])
def test_a_file_without_a_name(kind: str, clients: Clients) -> None:
    assert digest(clients(kind).upload(10, name=None)) == filled(10)


@pytest.mark.parametrize("kind", ["py-module", "py-module-oldest"])
def test_pythons_other_ways(kind: str, clients: Clients) -> None:
    client = clients(kind)
    assert digest(client.upload(3000, call="upload_async")) == filled(3000)
    assert digest(client.upload(3000, call="upload_file")) == filled(3000, 0)


@pytest.mark.parametrize("kind", ["py-tunnel", "py-tunnel-oldest"])
def test_through_a_tunnel_files_are_at_fals_own_address(kind: str, clients: Clients, empty: GatewayProcess) -> None:
    url = clients(kind).upload(4000)
    assert url.startswith("https://v3.fal.media/files/")
    assert digest(url.replace("https://v3.fal.media", f"{empty.url}/cdn")) == filled(4000)


@pytest.mark.parametrize("kind", ["js-proxy", "js-middleware", "js-fetch", "js-page", "js-oldest"])
def test_a_file_anywhere_in_the_input_is_uploaded(kind: str, clients: Clients, empty: GatewayProcess) -> None:
    """The URL takes the file's place: as a picture it is good, so the request waits instead of failing."""
    client = clients(kind)
    picture = {"$file": {"base64": base64.b64encode(png()).decode(), "type": "image/png", "name": "in.png"}}
    request_id = client.submit(f"{APP}/image-prompt", {"image_prompt_1": {"image_url": picture, "type": "CPDS"}})
    assert client.status(APP, request_id)["status"] == "IN_QUEUE"
    client.cancel(APP, request_id)
    url = client.call("upload", file=picture["$file"])
    body, headers = read(url)
    assert (body, headers["content-type"]) == (png(), "image/png")


LIFETIME = 4321
KEPT = {
    "py-cdn": ("py-module", {"call": "upload_kept", "expires_in": LIFETIME}),
    "py-storage": ("py-module", {"call": "upload_kept", "expires_in": LIFETIME, "repository": "fal"}),
    "py-oldest-storage": ("py-module-oldest", {"call": "upload_kept", "expires_in": LIFETIME, "repository": "fal"}),
    "py-tunnel-storage": ("py-tunnel", {"call": "upload_kept", "expires_in": LIFETIME, "repository": "fal"}),
    "js": ("js-proxy", {"lifecycle": {"expiresIn": LIFETIME}}),
}
"""Clients and what each is told: Python's two places for uploads, and JavaScript's one."""


@pytest.mark.parametrize(("kind", "options"), KEPT.values(), ids=KEPT)
def test_an_upload_is_kept_as_long_as_its_sender_says(
    kind: str, options: dict[str, Any], clients: Clients, empty: GatewayProcess
) -> None:
    before = time.time()
    url = clients(kind).upload(2000, **options)
    after = time.time()
    file_id = url.split("/")[-2]
    with closing(sqlite3.connect(f"file:{empty.data}/gateway.sqlite3?mode=ro", uri=True)) as store:
        ((expires_at,),) = store.execute("SELECT expires_at FROM files WHERE id = ?", (file_id,)).fetchall()
    assert before <= expires_at - LIFETIME <= after
    assert digest(f"{empty.url}/files/{file_id}/a.png") == filled(2000)


def png() -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["js-proxy", "js-middleware", "js-oldest"])
def test_javascripts_parts(kind: str, clients: Clients) -> None:
    size = 90 * MIB + 12_345
    assert digest(clients(kind).upload(size, name="large.bin")) == filled(size)


@pytest.mark.parametrize(("kind", "call"), [("py-module", "upload"), ("py-module-oldest", "upload_file")])
def test_pythons_parts(kind: str, call: str, clients: Clients) -> None:
    """In any order, ten at a time. (1.0.0 spoils its parts itself when they are not read from a file.)"""
    size = 100 * MIB + 12_345
    url = clients(kind).upload(size, name="large.bin", call=call)
    assert digest(url) == filled(size, 0 if call == "upload_file" else FILL)
