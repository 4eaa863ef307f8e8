"""A worker's log on the platform: every line JSON, a job's lines with its id, nothing in it that is private."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.e2e.jobs import small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess

PROMPT, TOKEN, SECRET = "xylophone-marmalade", "querulous-token", "clandestine-key"
BANNER = "--- Starting Serverless Worker"
"""The SDK's first line, which it prints whatever it is told."""

NOWHERE = "http://127.0.0.1:9"
QUICK = {"FOOOCUS_ALLOW_PRIVATE_URLS": "true", "FOOOCUS_UPLOAD_SECONDS": "1"}


def private_jobs(client: Client) -> dict[str, str]:
    """Jobs of every ending, all with something private; each by the words of the line it leaves, "" for none."""
    url = f"{NOWHERE}/file.safetensors?token={TOKEN}"
    bucket = {"accessId": "id", "accessSecret": SECRET, "bucketName": "pictures", "endpointUrl": NOWHERE}
    upload = {"uploadUrl": f"{NOWHERE}/{{file_name}}?token={TOKEN}", "uploadToken": SECRET}
    prompt = {"prompt": f"{PROMPT} (embedding:absent:1.0)"}
    return {
        "": client.run(small(1, prompt=PROMPT)),
        "an embedding that is not installed": client.run(small(1, **prompt)),
        "Failed: invalid_input": client.run(small(1, num_images=PROMPT, **prompt)),
        "a download failed": client.run(small(1, loras=[{"path": url, "scale": 1}], **prompt)),
        "Storage: the bucket of a job": client.run(small(1, sync_mode=False, **prompt), s3Config=bucket),
        "Storage: the upload URL": client.run(small(1, sync_mode=False, **prompt), **upload),
    }


def lines(worker: WorkerProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.log().splitlines() if not line.startswith(BANNER)]


def test_lines_are_json_name_their_job_and_keep_its_secrets(
    own_platform: Platform, start: Callable[..., WorkerProcess]
) -> None:
    worker, client = start(environment=QUICK), Client(own_platform)
    jobs = private_jobs(client)
    endings = {words: client.result(job)["status"] for words, job in jobs.items()}
    assert list(endings.values()) == ["COMPLETED"] * 2 + ["FAILED"] * 4
    told = lines(worker)
    for words, job in jobs.items():
        mine = [line["message"] for line in told if line["requestId"] == job]
        assert "Started." in mine
        assert any(words in message for message in mine), (words, mine)
    assert not [private for private in (PROMPT, TOKEN, SECRET) if private in worker.log()]
