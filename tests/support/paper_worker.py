"""A worker under the real SDK that takes real requests and draws nothing: quick to start, with all the rest of a job.

A prompt such as "3 seconds" says how long it takes; with "out of memory" the job fails at the end, with "device lost"
the worker finds itself broken.
Meanwhile it reports a step every tenth of a second; at the end it puts a tiny PNG at the job's upload URL and answers
as the real worker does. It takes as many jobs at once as FOOOCUS_CONCURRENCY says.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import urllib.request
from typing import Any

from handler.sdk import ProgressPoster, prepare_environment
from schemas.errors import DeviceLost, OutOfMemory
from schemas.result import DescribeResult, GenerationResult

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
STEP_S = 0.1


async def handle(job: dict[str, Any]) -> dict[str, Any]:
    """Take as long as the prompt says."""
    seconds = re.search(r"([\d.]+) seconds", str(job["input"].get("prompt", "")))
    steps = round(float(seconds[1]) / STEP_S) if seconds else 0
    poster = ProgressPoster(job)
    try:
        for step in range(1, steps + 1):
            await asyncio.sleep(STEP_S)
            await poster({"image": 0, "images": 1, "step": step, "steps": steps, "progress": step / steps})
    finally:
        await poster.close()
    if "out of memory" in str(job["input"].get("prompt")):
        return {"error": OutOfMemory().line(), "status": 500, "retryable": True}
    if "device lost" in str(job["input"].get("prompt")):
        return {"error": DeviceLost().line(), "status": 500, "retryable": True, "refresh_worker": True}
    return await asyncio.to_thread(result, job)


def result(job: dict[str, Any]) -> dict[str, Any]:
    if job["input"].get("endpoint") == "describe":
        return DescribeResult(
            prompt="a tiny picture", width=1, height=1, aspect_ratio="1024x1024", styles=()
        ).model_dump(mode="json")
    request = urllib.request.Request(
        job["uploadUrl"].replace("{file_name}", "0.png"), PNG, method="PUT",
        headers={"Authorization": f"Bearer {job['uploadToken']}", "Content-Type": "image/png"},
    )  # fmt: skip
    with urllib.request.urlopen(request) as answer:
        url = json.loads(answer.read())["url"]
    image = {
        "url": url, "content_type": "image/png", "file_name": "0.png", "file_size": len(PNG), "width": 1, "height": 1,
    }  # fmt: skip
    return GenerationResult(
        images=[image], timings={"inference": 0.0}, has_nsfw_concepts=(False,), seeds=("1",)
    ).model_dump(mode="json")


if __name__ == "__main__":
    prepare_environment()
    import runpod

    at_once = int(os.environ.get("FOOOCUS_CONCURRENCY", "1"))
    runpod.serverless.start({"handler": handle, "concurrency_modifier": lambda _current: at_once})
