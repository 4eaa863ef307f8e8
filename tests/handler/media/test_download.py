"""A downloaded file is there whole or not at all, and nothing else is left in the folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from handler.media.fetch import FetchPolicy, download
from schemas.errors import FileDownloadError, FileTooLarge, InternalError

from .servers import answer, drip, raw, serve

LOC = ("body", "loras", 0, "path")
POLICY = FetchPolicy(allow_private=True, max_bytes=30 * 2**20, first_byte_s=0.5, total_s=5)
OK = b"HTTP/1.1 200 OK\r\n"


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole(tmp_path):
    body = os.urandom(3_000_000)
    with serve(answer(200, body)) as server:
        path = download(server.url(), tmp_path / "a.safetensors", LOC, POLICY)
    assert path == tmp_path / "a.safetensors"
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(body).digest()
    assert names(tmp_path) == ["a.safetensors"]


def test_an_existing_file_is_replaced_in_one_step(tmp_path):
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"old")
    with serve(answer(200, b"new")) as server, target.open("rb") as old:
        download(server.url(), target, LOC, POLICY)
        assert (old.read(), target.read_bytes()) == (b"old", b"new")


@pytest.mark.parametrize(("script", "expected"), [
    (answer(404, b"no"), FileDownloadError),
    (raw(OK + b"Content-Length: 999999\r\n\r\n" + b"x" * 500_000), FileDownloadError),
    (raw(OK + b"Content-Length: 999999\r\n\r\n" + b"x" * 500_000, 0.5), FileDownloadError),
    (drip(OK + b"\r\n", b"x" * 1_000_000, 0.0), FileTooLarge),
    (raw(OK + b"Content-Length: 31457281\r\n\r\n"), FileTooLarge),
])  # fmt: skip
def test_nothing_is_left_behind_by_a_failure(tmp_path, script, expected):
    (tmp_path / "a.safetensors").write_bytes(b"old")
    with serve(script) as server, pytest.raises(expected):
        download(server.url(), tmp_path / "a.safetensors", LOC, POLICY)
    assert names(tmp_path) == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").read_bytes() == b"old"


def test_a_blocked_url_touches_no_file(tmp_path):
    with pytest.raises(FileDownloadError):
        download("http://169.254.169.254/x", tmp_path / "a", LOC, POLICY)
    assert names(tmp_path) == []


def test_a_disk_that_fails_is_the_workers_fault(tmp_path):
    with serve(answer(200, b"x")) as server, pytest.raises(InternalError):
        download(server.url(), tmp_path / "missing" / "a", LOC, POLICY)


def test_a_full_disk_leaves_nothing(tmp_path):
    """The process may write no file above 100 KB, as if the disk were full there."""
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from handler.media.fetch import FetchPolicy, download; from schemas.errors import InternalError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "try: download(sys.argv[1], Path(sys.argv[2]), ('a',), FetchPolicy(allow_private=True))\n"
        "except InternalError: print('internal')"
    )
    with serve(answer(200, b"x" * 1_000_000)) as server:
        command = [sys.executable, "-c", script, server.url(), str(tmp_path / "a")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, names(tmp_path)) == ("internal\n", [])


def test_a_large_file_is_not_held_in_memory(tmp_path):
    script = (
        "import resource, sys; from pathlib import Path; from handler.media.fetch import FetchPolicy, download\n"
        "policy = FetchPolicy(allow_private=True, max_bytes=2**30)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "path = download(sys.argv[1], Path(sys.argv[2]), ('a',), policy)\n"
        "print(path.stat().st_size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    with serve(answer(200, bytes(60 * 2**20))) as server:
        command = [sys.executable, "-c", script, server.url(), str(tmp_path / "a")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    size, grown_kib = map(int, done.stdout.split())
    assert size == 60 * 2**20
    assert grown_kib < 10 * 1024
