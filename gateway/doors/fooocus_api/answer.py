"""A job in Fooocus-API's words."""

from __future__ import annotations

import base64
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.doors.fooocus_api.locations import AS_JSON, Sent, translated
from gateway.jobs.model import Job, Progress, State
from schemas.fooocus_api.answers import AsyncJob, FinishReason, GeneratedImage, HistoryJob, JobStage
from schemas.fooocus_api.requests import JobType

ReadFile = Callable[[str], Awaitable[bytes | None]]
"""The bytes of one of the gateway's own files by its URL; None when it is gone."""

_STAGES = {
    State.QUEUED: JobStage.WAITING,
    State.RUNNING: JobStage.RUNNING,
    State.COMPLETED: JobStage.SUCCESS,
    State.FAILED: JobStage.ERROR,
    State.CANCELLED: JobStage.ERROR,
}
_PREPARED = 15
"""Percent that stand for preparation; the steps of all images share the rest."""

NOT_FOUND = AsyncJob(
    job_id="", job_type=JobType.NOT_FOUND, job_stage=JobStage.ERROR, job_progress=0, job_status="Job not found"
)
QUEUE_FULL = [GeneratedImage(finish_reason=FinishReason.QUEUE_IS_FULL)]


def queue_full_job(job_type: JobType) -> AsyncJob:
    """What an asynchronous request gets when the queue is full."""
    return AsyncJob(job_id="", job_type=job_type, job_stage=JobStage.ERROR, job_progress=0, job_result=QUEUE_FULL)


async def async_job(job: Job, progress: Progress | None, preview: bool, read: ReadFile) -> AsyncJob:
    """The job as `query-job` and asynchronous requests show it; `preview` asks for the step preview."""
    picture = _png_text(progress.preview) if preview and progress is not None and progress.preview else None
    return AsyncJob(
        job_id=job.id,
        job_type=job_type(job),
        job_stage=_STAGES[job.state],
        job_progress=_percent(job, progress),
        job_status=_status(job, progress),
        job_step_preview=picture,
        job_result=await images(job, read) if job.state is State.COMPLETED else None,
    )


def job_type(job: Job) -> JobType:
    return JobType(job.extra.get("job_type", JobType.TEXT_TO_IMAGE))


async def images(job: Job, read: ReadFile) -> list[GeneratedImage]:
    """The pictures of a finished job; one entry with the reason when it failed or was cancelled."""
    if job.state is State.CANCELLED:
        return [GeneratedImage(seed=_first_seed(job), finish_reason=FinishReason.USER_CANCEL)]
    if job.output is None:
        return [GeneratedImage(finish_reason=FinishReason.ERROR)]
    made = zip(job.output["images"], job.output["seeds"], strict=True)
    inline = bool(job.extra.get("require_base64"))
    return [await _image(image, seed, inline, read) for image, seed in made]


async def _image(image: Mapping[str, Any], seed: str, inline: bool, read: ReadFile) -> GeneratedImage:
    data = await read(image["url"]) if inline else None
    text = None if data is None else base64.b64encode(data).decode()
    return GeneratedImage(base64=text, url=image["url"], seed=seed, finish_reason=FinishReason.SUCCESS)


def webhook_body(job: Job) -> dict[str, Any]:
    """The two keys Fooocus-API posts when a job has ended; an empty list tells of a failure."""
    result: list[dict[str, Any]] = []
    if job.state is State.CANCELLED:
        result = [{"url": None, "seed": _first_seed(job)}]
    elif job.output is not None:
        made = zip(job.output["images"], job.output["seeds"], strict=True)
        result = [{"url": image["url"], "seed": seed} for image, seed in made]
    return {"job_id": job.id, "job_result": result}


def history_job(job: Job) -> HistoryJob:
    return HistoryJob(
        job_id=job.id,
        is_finished=job.state.final,
        in_queue_mills=_mills(job.created_at),
        start_mills=_mills(job.started_at),
        finish_mills=_mills(job.ended_at),
    )


def png(data: bytes) -> bytes:
    """An encoded picture as PNG. Blocking."""
    from PIL import Image

    if data.startswith(b"\x89PNG"):
        return data
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as picture:
        picture.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _png_text(data_uri: str) -> str:
    return base64.b64encode(png(base64.b64decode(data_uri.partition(",")[2]))).decode()


def _percent(job: Job, progress: Progress | None) -> int:
    if job.state is State.COMPLETED:
        return 100
    if progress is None:
        return 1 if job.state is State.RUNNING else 0
    return int(_PREPARED + (100 - _PREPARED) * progress.share)


def _status(job: Job, progress: Progress | None) -> str | None:
    if job.state is State.COMPLETED:
        return "Finished"
    if job.state is State.CANCELLED:
        return "Stopped by user"
    if job.failure is not None:
        return _words(job.failure.message, job.failure.detail, Sent.of(job.extra.get("sent", AS_JSON.record())))
    if job.state is State.QUEUED:
        return None
    if progress is None:
        return "Processing prompts ..."
    return f"Step {progress.step}/{progress.steps} in the {progress.image + 1}-th Sampling"


def _words(message: str, detail: Any, sent: Sent) -> str:
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        details = translated(list(detail), sent)
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in details)
    return message


def _first_seed(job: Job) -> str:
    seed = job.input.get("seed")
    return "" if seed is None else str(seed)


def _mills(at: float | None) -> int:
    return 0 if at is None else round(at * 1000)
