"""A worker under the real SDK that echoes jobs; `{"sleep": s}` takes time. With `generator` it it counts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from handler.sdk import prepare_environment


async def echo(job: dict[str, Any]) -> dict[str, Any]:
    """Return the whole job, or `{"fail": text}` as its error."""
    await asyncio.sleep(job["input"].get("sleep", 0))
    if "fail" in job["input"]:
        return {"error": job["input"]["fail"]}
    return {"job": job}


async def count(job: dict[str, Any]) -> AsyncIterator[int]:
    for number in range(job["input"]["count"]):
        yield number


if __name__ == "__main__":
    prepare_environment()
    import runpod

    runpod.serverless.start({"handler": count if sys.argv[1:] == ["generator"] else echo})
