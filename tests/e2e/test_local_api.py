"""The SDK's local HTTP API: `/runsync` answers 200 for a picture as for a failure."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.jobs import ERROR_LINE, pixels, small
from tests.support.ports import HeldPort
from tests.support.worker import HANDLER, clean_environment, wait_for


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


@contextlib.contextmanager
def local_api(home: Path, **environment: str) -> Iterator[str]:
    """The URL of the SDK's API around a worker of its own."""
    port = HeldPort()
    arguments = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port.number)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *HANDLER, *arguments],
            cwd=home,
            env=clean_environment(home) | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port.number}"
    try:
        wait_for(lambda: answers(url) or server.poll() is not None, 120, "the local API")
        assert server.poll() is None, (home / "log").read_text()
        yield url
    finally:
        server.kill()
        server.wait()
        port.release()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_api(tmp_path_factory.mktemp("api")) as url:
        yield url


def test_a_good_job_is_200_with_its_pictures(api: str) -> None:
    response = requests.post(f"{api}/runsync", json={"input": small()}, timeout=60)
    assert response.status_code == 200
    assert len(pixels(response.json())) == 1


def test_a_failed_job_is_200_with_its_error(api: str) -> None:
    response = requests.post(f"{api}/runsync", json={"input": small(num_images=0)}, timeout=60)
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "FAILED"
    assert ERROR_LINE.fullmatch(body["error"])
    assert "body.num_images" in body["error"]
