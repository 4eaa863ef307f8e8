"""The environment variables that make the RunPod SDK take its jobs from this gateway."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

ENDPOINT = "fooocus"
"""Name of the one endpoint in the worker protocol's paths."""

MAX_RESULT = 64 * 2**20
"""Largest result a worker may post, in bytes; pictures asked for inline are in it."""

PING_S = 4


def worker_environment(url: str, worker: str, token: str) -> dict[str, str]:
    """What a worker called `worker` needs to work for the gateway at `url`.

    `$ID` and `$RUNPOD_POD_ID` are filled in by the SDK; `base` tells the gateway how this worker reaches it. The
    worker trusts the gateway's origin with its uploads even where that is a private address.
    """
    url = url.rstrip("/")
    base, split = f"{url}/worker/v2/{ENDPOINT}", urlsplit(url)
    told = urlencode({"base": url})
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?{told}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?{told}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?{told}",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?{told}",
        "RUNPOD_PING_INTERVAL": str(PING_S * 1000),
        "RUNPOD_AI_API_KEY": token,
        "RUNPOD_POD_ID": worker,
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "FOOOCUS_UPLOAD_ORIGIN": f"{split.scheme}://{split.netloc}",
        "FOOOCUS_MAX_RESULT_BYTES": str(MAX_RESULT),
        "FOOOCUS_PROGRESS_INTERVAL_S": "0.1",
    }
