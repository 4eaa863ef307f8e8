"""LoRAs by name, by catalogue URL and by any URL: resolved, fetched once, verified, cached within a quota."""

from __future__ import annotations

import http.server
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from handler.engine.weights import WeightsFile, reported_at
from handler.library import LoraLibrary
from handler.media.fetch import FetchPolicy
from schemas.errors import FileDownloadError, FileTooLarge, InvalidInput, Location, ModelLoadError
from schemas.request import OFFSET_LORA

LOC = ("body", "loras", 0, "path")
LORA = save({"lora_unet_x.lora_up.weight": torch.ones(4, 4)})


class Files(http.server.BaseHTTPRequestHandler):
    """GET /NAME answers the server's `files[NAME]`; requests are counted."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        body = self.server.files.get(self.path.split("?")[0])  # type: ignore[attr-defined]
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.files = {"/lora.safetensors": LORA, "/page.safetensors": b"<html>not a model</html>" * 10}  # type: ignore
        server.requests = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def verify(path: Path, loc: Location) -> None:
    with reported_at(loc), WeightsFile(path):
        pass


@pytest.fixture
def library(tmp_path: Path) -> LoraLibrary:
    loras = tmp_path / "models" / "loras"
    (loras / "sub").mkdir(parents=True)
    for name in ("sd_xl_offset_example-lora_1.0.safetensors", "sub/own.safetensors", "notes.txt"):
        (loras / name).write_bytes(LORA)
    (tmp_path / "secret.safetensors").write_bytes(LORA)
    return LoraLibrary(
        roots=(tmp_path / "models",),
        cache_dir=tmp_path / "cache",
        cache_bytes=10_000,
        policy=FetchPolicy(allow_private=True, max_bytes=5_000),
        verify=verify,
    )


def url(server: http.server.ThreadingHTTPServer, name: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{name}"


@pytest.mark.parametrize("name", ["sub/own.safetensors", "own.safetensors", "own"])
def test_installed_names(library: LoraLibrary, name: str) -> None:
    assert library.find(name, LOC) == library.roots[0] / "loras" / "sub" / "own.safetensors"


def test_a_catalogue_url_is_the_installed_file(library: LoraLibrary) -> None:
    expected = library.roots[0] / "loras" / "sd_xl_offset_example-lora_1.0.safetensors"
    assert library.find(OFFSET_LORA.path, LOC) == expected
    assert library.find(OFFSET_LORA.path + "?download=true", LOC) == expected


@pytest.mark.parametrize(
    "name", ["missing", "../secret.safetensors", "../../secret", "/etc/passwd", "notes.txt", "", ".", "sub"]
)
def test_names_that_are_not_installed(library: LoraLibrary, name: str) -> None:
    with pytest.raises(ModelLoadError) as raised:
        library.find(name, LOC)
    assert raised.value.details[0]["loc"] == list(LOC)


@pytest.mark.parametrize("name", ["file:///etc/passwd", "ftp://example.com/x.safetensors", "http://127.0.0.1:1/x"])
def test_urls_that_cannot_be_fetched(library: LoraLibrary, name: str) -> None:
    with pytest.raises(FileDownloadError):
        library.find(name, LOC)
    assert not any(library.cache_dir.glob("*"))


def test_a_url_is_fetched_once(library: LoraLibrary, server: http.server.ThreadingHTTPServer) -> None:
    first = library.find(url(server, "lora.safetensors"), LOC)
    assert first.read_bytes() == LORA
    assert library.find(url(server, "lora.safetensors"), LOC) == first
    assert len(server.requests) == 1  # type: ignore[attr-defined]


def test_many_jobs_at_once_fetch_it_once(library: LoraLibrary, server: http.server.ThreadingHTTPServer) -> None:
    threads = [
        threading.Thread(target=library.find, args=(url(server, "lora.safetensors"), LOC)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1  # type: ignore[attr-defined]


def test_two_workers_that_share_a_folder_fetch_it_each(
    library: LoraLibrary, server: http.server.ThreadingHTTPServer
) -> None:
    """The first is still looking at its file when the second is done with its own."""
    second, there = replace(library, _locks=defaultdict(threading.Lock)), []

    def verify_slowly(path: Path, loc: Location) -> None:
        there.append(second.find(url(server, "lora.safetensors"), loc))
        verify(path, loc)

    found = replace(library, verify=verify_slowly).find(url(server, "lora.safetensors"), LOC)
    assert found == there[0]
    assert found.read_bytes() == LORA
    assert list(library.cache_dir.iterdir()) == [found]
    assert len(server.requests) == 2  # type: ignore[attr-defined]


def test_workers_that_share_a_full_folder_clear_it_together(
    library: LoraLibrary, server: http.server.ThreadingHTTPServer
) -> None:
    small, failures = replace(library, cache_bytes=0), []
    for number in range(30):
        server.files[f"/{number}.safetensors"] = LORA  # type: ignore[attr-defined]

    def fetch_all() -> None:
        worker = replace(small, _locks=defaultdict(threading.Lock))
        try:
            for number in range(30):
                worker.find(url(server, f"{number}.safetensors"), LOC)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_a_dead_worker_left_is_swept(library: LoraLibrary, server: http.server.ThreadingHTTPServer) -> None:
    library.cache_dir.mkdir()
    old, new = (library.cache_dir / name for name in ("1.new", "2.new"))
    for file in (old, new):
        file.touch()
    os.utime(old, (0, 0))
    found = library.find(url(server, "lora.safetensors"), LOC)
    assert sorted(library.cache_dir.iterdir()) == sorted([found, new])


def test_what_is_no_model_is_refused_and_leaves_nothing(
    library: LoraLibrary, server: http.server.ThreadingHTTPServer
) -> None:
    for name in ("page.safetensors", "missing.safetensors"):
        with pytest.raises(InvalidInput):
            library.find(url(server, name), LOC)
    assert not any(library.cache_dir.glob("*"))


def test_a_file_above_the_limit_is_refused(
    library: LoraLibrary, server: http.server.ThreadingHTTPServer
) -> None:
    server.files["/big.safetensors"] = LORA + bytes(6_000)  # type: ignore[attr-defined]
    with pytest.raises(FileTooLarge):
        library.find(url(server, "big.safetensors"), LOC)
    assert not any(library.cache_dir.glob("*"))


def test_the_cache_keeps_its_quota(library: LoraLibrary, server: http.server.ThreadingHTTPServer) -> None:
    big = save({"x": torch.zeros(1000)})
    for number in range(4):
        server.files[f"/{number}.safetensors"] = big  # type: ignore[attr-defined]
        newest = library.find(url(server, f"{number}.safetensors"), LOC)
    kept = list(library.cache_dir.glob("*.safetensors"))
    assert newest in kept
    assert sum(path.stat().st_size for path in kept) <= library.cache_bytes
