"""All this worker knows of the RunPod SDK's insides: start-up cost, job-done URL, lost results and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import types
from collections.abc import Awaitable, Callable
from typing import Any

from handler.deferred import Later, arrange

Handle = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

_REFUSED = (400, 413)
_REFUSAL = "RESULT_REFUSED: The platform refused the result of this job"
_PROGRESS_TIMEOUT_S = 5.0
_STOP_TRIES = 20
_STOP_PAUSE_S = 0.05


def prepare_environment() -> None:
    """Set what must be set before `import runpod`.

    The SDK imports py-cpuinfo (over a second of start-up) for a debugger this worker does not offer, and its command
    line with an SSH client; it logs at DEBUG, handler output included, unless told otherwise. Model files come from
    disk: the hub's client is off.
    """
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    cpuinfo = types.ModuleType("cpuinfo")
    cpuinfo.get_cpu_info = dict  # type: ignore[attr-defined]
    sys.modules.setdefault("cpuinfo", cpuinfo)
    arrange({"runpod.cli": Later})


def on_platform() -> bool:
    """Whether jobs come from a queue, RunPod's or a gateway's, rather than from the command line."""
    return bool(os.environ.get("RUNPOD_WEBHOOK_GET_JOB")) and "--test_input" not in sys.argv


def serves_api() -> bool:
    """Whether the SDK's local HTTP API was asked for."""
    return "--rp_serve_api" in sys.argv or bool(int(os.environ.get("RUNPOD_REALTIME_PORT", "0")))


def printing(handle: Handle) -> Handle:
    """A handler that also prints its answer as JSON on standard output, for a job run by hand."""

    async def handle_and_print(job: dict[str, Any]) -> dict[str, Any]:
        answer = await handle(job)
        print(json.dumps(answer, indent=2, ensure_ascii=False), flush=True)
        return answer

    return handle_and_print


def _job_done_url(job_id: str) -> str:
    from runpod.serverless.modules import rp_http

    return rp_http.JOB_DONE_URL.replace("$ID", job_id) + "&isStream=false"


async def _post_once(session: Any, job: dict[str, Any], body: dict[str, Any], timeout_s: float = 60) -> int:
    """POST `body` as the SDK does, without retries; return the HTTP status."""
    import aiohttp

    async with session.post(
        _job_done_url(job["id"]),
        data=json.dumps(body, ensure_ascii=False, allow_nan=False),
        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Request-ID": job["id"]},
        timeout=aiohttp.ClientTimeout(total=timeout_s),
    ) as response:
        await response.read()
        return int(response.status)


class ProgressPoster:
    """Posts the progress of one job over one connection; a failed post is not worth a job and is dropped."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._session: Any = None

    async def __call__(self, payload: dict[str, Any]) -> None:
        import aiohttp
        from runpod.http_client import AsyncClientSession

        if self._session is None:
            self._session = AsyncClientSession()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            body = {"status": "IN_PROGRESS", "output": payload}
            await _post_once(self._session, self._job, body, _PROGRESS_TIMEOUT_S)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def report_refused_results() -> None:
    """Make the SDK tell the platform when a result cannot be delivered.

    The SDK drops a result that gets a 4xx or is not JSON: the client then sees a completed job without
    output, or one that never ends. This stands in front of its sender and replaces such a body by an error.
    """
    from runpod.serverless.modules import rp_job

    send = rp_job.send_result

    async def send_or_fail(session: Any, job_data: Any, job: dict[str, Any], is_stream: bool = False) -> None:
        status = await _try_once(session, job_data, job)
        if status in _REFUSED:
            await send(session, {"error": _REFUSAL}, job, is_stream=is_stream)
        elif status is None or status >= 300:
            await send(session, job_data, job, is_stream=is_stream)
        else:
            rp_job.log.info("Finished.", job["id"])

    rp_job.send_result = send_or_fail


async def _try_once(session: Any, job_data: Any, job: dict[str, Any]) -> int | None:
    """Deliver without retries: the status, None when the connection failed, 400 for what is not JSON."""
    import aiohttp

    try:
        return await _post_once(session, job, job_data)
    except (aiohttp.ClientError, TimeoutError):
        return None
    except (TypeError, ValueError):
        return 400


def keep_early_stops() -> None:
    """Make the SDK stop a job whose stop signal comes before its start.

    It forgets a signal for a job that it has taken but not begun, which lasts up to a tenth of a second; the job
    would then render to its end for nobody.
    """
    from runpod.serverless.modules.rp_scale import JobScaler

    stop = JobScaler.stop_job

    async def stop_when_begun(scaler: Any, job_id: str) -> bool:
        for _ in range(_STOP_TRIES):
            if job_id in scaler.jobs_tasks:
                # A task that is cancelled before its first step would never give its slot back.
                await asyncio.sleep(0)
                return bool(await stop(scaler, job_id))
            await asyncio.sleep(_STOP_PAUSE_S)
        return False

    JobScaler.stop_job = stop_when_begun
