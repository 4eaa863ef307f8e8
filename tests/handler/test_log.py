"""Log lines: JSON on the platform, with the job's id from whatever thread, and without the job's private texts."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from handler import log
from handler.gpu import GpuThread
from handler.job import Worker
from schemas.request import TextToImageRequest

PROMPT = "a secret garden\nbehind 'the' wall"
URL = "https://example.com/lora.safetensors?token=hush-hush"
JOB = {"id": "job-1", "input": {"prompt": PROMPT, "loras": [{"path": URL}]}, "s3Config": {"accessSecret": "s3-secret"}}


@pytest.fixture(autouse=True)
def _on_the_platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on RunPod; what `take_over` changes of `logging` is put back."""
    monkeypatch.setenv("RUNPOD_ENDPOINT_ID", "test")
    root, level, ours = logging.root.handlers[:], logging.root.level, logging.getLogger("handler").level
    yield
    logging.captureWarnings(False)
    logging.root.handlers[:] = root
    logging.root.setLevel(level)
    logging.getLogger("handler").setLevel(ours)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return [json.loads(line) for line in captured.out.splitlines()]


def test_loggers_of_all_kinds_write_json(capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("some.library")
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    log.take_over()
    library.warning("of %s", "interest")
    library.info("noise")
    logging.getLogger("handler.media").info("ours")
    warnings.warn("old", stacklevel=1)
    first, second, third = lines(capsys)
    assert first == {"requestId": None, "message": "of interest", "level": "WARN"}
    assert second == {"requestId": None, "message": "ours", "level": "INFO"}
    assert "old" in third["message"]


def test_a_line_names_its_job_in_every_thread(capsys: pytest.CaptureFixture[str]) -> None:
    gpu = GpuThread()

    def work(_cancelled: threading.Event) -> None:
        log.warn("on the GPU")

    async def job(number: int) -> None:
        with log.about({"id": str(number)}):
            await asyncio.gather(gpu.run(work), asyncio.to_thread(log.info, "in a thread"))
            log.info("in the loop")

    async def jobs() -> None:
        await asyncio.gather(job(1), job(2))

    asyncio.run(jobs())
    log.info("after them")
    *of_jobs, after = lines(capsys)
    told = sorted((line["requestId"], line["message"]) for line in of_jobs)
    assert told == [(job, text) for job in ("1", "2") for text in ("in a thread", "in the loop", "on the GPU")]
    assert after["requestId"] is None


@pytest.mark.parametrize(
    "said", [PROMPT, repr(PROMPT), URL, "GET /lora.safetensors?token=hush-hush", "signed with s3-secret"]
)
def test_a_crash_is_told_without_what_the_job_keeps_private(capsys: pytest.CaptureFixture[str], said: str) -> None:
    async def crash(_job: Any, _request: Any) -> dict[str, Any]:
        raise RuntimeError(f"It went wrong: {said}")

    answer = asyncio.run(Worker({TextToImageRequest: crash}, 10_000).handle(JOB))
    (line,) = lines(capsys)
    assert (line["requestId"], line["level"]) == ("job-1", "ERROR")
    assert "It went wrong: " in line["message"]
    assert log.PRIVATE in line["message"]
    for secret in ("garden", "hush-hush", "s3-secret"):
        assert secret not in json.dumps([line, answer])
