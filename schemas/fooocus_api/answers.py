"""Fooocus-API's answers, key for key and in its order."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

from schemas.fooocus_api.requests import JobType


class FinishReason(StrEnum):
    """`finish_reason` of one picture."""

    SUCCESS = "SUCCESS"
    QUEUE_IS_FULL = "QUEUE_IS_FULL"
    USER_CANCEL = "USER_CANCEL"
    ERROR = "ERROR"


class JobStage(StrEnum):
    """`job_stage` of a job."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"


class GeneratedImage(BaseModel):
    """One picture. The seed is text: it may exceed what JavaScript's numbers hold."""

    base64: str | None = None
    url: str | None = None
    seed: str = ""
    finish_reason: FinishReason


class AsyncJob(BaseModel):
    """A job's state. `job_progress` is 0..100; `job_step_preview` is base64 of a PNG."""

    job_id: str
    job_type: JobType
    job_stage: JobStage
    job_progress: int
    job_status: str | None = None
    job_step_preview: str | None = None
    job_result: list[GeneratedImage] | None = None


class JobQueue(BaseModel):
    """`running_size` counts waiting jobs too."""

    running_size: int
    finished_size: int
    last_job_id: str | None


class HistoryJob(BaseModel):
    """Times are Unix milliseconds; 0 while not reached."""

    job_id: str
    is_finished: bool
    in_queue_mills: int
    start_mills: int
    finish_mills: int


class JobHistory(BaseModel):
    """Waiting and running jobs, then finished ones."""

    queue: list[HistoryJob]
    history: list[HistoryJob]


class Models(BaseModel):
    """Names relative to the models folder's `checkpoints/` and `loras/`."""

    model_filenames: list[str]
    lora_filenames: list[str]


class Description(BaseModel):
    """What `describe-image` answers."""

    describe: str


class Stopped(BaseModel):
    """What `stop` answers, also when nothing was running."""

    msg: str = "success"
