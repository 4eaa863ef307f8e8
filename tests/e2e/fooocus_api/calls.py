"""What tests of Fooocus-API's door call and look at, as clients do."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image, ImageDraw

from tests.support.gateway import GatewayProcess, RemoteWorker, until

T2I = "/v1/generation/text-to-image"
JOB_S = 120.0
SIDE = 256
RED, BLUE = (220, 30, 30), (40, 60, 200)
_PAPER = ("-u", "-m", "tests.support.paper_worker")


def paper_worker(gateway: GatewayProcess, home: Path, name: str = "paper-1") -> RemoteWorker:
    """A worker that is quick and draws nothing."""
    home.mkdir(parents=True, exist_ok=True)
    return RemoteWorker(gateway, home, name, _PAPER)


def submit(api: str, **body: Any) -> dict[str, Any]:
    """An asynchronous job, as just accepted."""
    return requests.post(api + T2I, json={"async_process": True, **body}, timeout=30).json()


def query(api: str, job_id: str, **more: Any) -> dict[str, Any]:
    return requests.get(f"{api}/v1/generation/query-job", params={"job_id": job_id, **more}, timeout=30).json()


def ended(api: str, job_id: str) -> dict[str, Any]:
    """The job once it is done, for better or worse."""
    return until(lambda: (job := query(api, job_id))["job_stage"] in ("SUCCESS", "ERROR") and job, JOB_S, 0.1)


def running(api: str, job_id: str) -> None:
    """Wait until it runs."""
    until(lambda: query(api, job_id)["job_stage"] == "RUNNING")


def stop(api: str) -> Any:
    return requests.post(f"{api}/v1/generation/stop", timeout=30).json()


def circle() -> bytes:
    """A picture of a red circle on blue, (SIDE, SIDE), as PNG."""
    picture = Image.new("RGB", (SIDE, SIDE), BLUE)
    ImageDraw.Draw(picture).ellipse((64, 64, 192, 192), fill=RED)
    return _png(picture)


def mask() -> bytes:
    """A mask of a square in the middle of the circle, as PNG."""
    picture = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(picture).rectangle((88, 88, 168, 168), fill=255)
    return _png(picture)


def bare(data: bytes) -> str:
    return base64.b64encode(data).decode()


def fetched(image: Mapping[str, Any]) -> Image.Image:
    """The picture of one entry of a result."""
    assert image["finish_reason"] == "SUCCESS"
    return Image.open(io.BytesIO(requests.get(image["url"], timeout=30).content))


def pixels(image: Mapping[str, Any]) -> np.ndarray:
    """Its pixels, (h, w, 3)."""
    return np.asarray(fetched(image).convert("RGB"))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
