"""A worker of this project in a process of its own, asked over HTTP: for scores of what only a whole worker does."""

from __future__ import annotations

import base64
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from PIL import Image

from builder.demo.bundle import CHECKPOINT, FOLDER

START_S = 180
JOB_S = 600
ROOT = Path(__file__).parents[2]


class JobFailed(Exception):
    """The worker answered with an error; the text is its own."""


@dataclass(frozen=True)
class LocalWorker:
    """The SDK's local API at `url`."""

    url: str

    def output(self, **fields: Any) -> dict[str, Any]:
        """The output of a job. Raises JobFailed."""
        answer = requests.post(f"{self.url}/runsync", json={"input": fields}, timeout=JOB_S).json()
        if answer.get("status") != "COMPLETED":
            raise JobFailed(str(answer.get("error", answer)))
        return dict(answer["output"])

    def picture(self, **fields: Any) -> Image.Image:
        """The first picture of a job."""
        image = self.output(**fields, sync_mode=True, output_format="png")["images"][0]
        encoded = image["url"].partition(",")[2]
        return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")


def data_uri(picture: Image.Image) -> str:
    """A picture as the requests' URL fields take it."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@contextmanager
def running(bundle: Path = FOLDER) -> Iterator[LocalWorker]:
    """A worker with this bundle, until left. Raises TimeoutError when it does not start."""
    own = {} if bundle.resolve() == FOLDER else {"FOOOCUS_MODELS_DIR": str(bundle.resolve())}
    checkpoint = {"FOOOCUS_CHECKPOINT": Path(CHECKPOINT).name} if own else {}
    environment = os.environ | own | checkpoint | {"PYTHONPATH": str(ROOT), "FOOOCUS_MAX_RESULT_BYTES": "100000000"}
    port = _free_port()
    options = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)]
    with TemporaryDirectory() as home, (Path(home) / "log").open("wb") as log:
        command = [sys.executable, "-m", "handler", *options]
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT)
        worker = LocalWorker(f"http://127.0.0.1:{port}")
        try:
            _wait(worker, server, Path(home) / "log")
            yield worker
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(worker: LocalWorker, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(worker.url, timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise TimeoutError(f"The worker did not start: {log.read_text(errors='replace')[-2000:]}")
