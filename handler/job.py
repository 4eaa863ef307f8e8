"""One job: validate, plan, render, deliver."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from handler import log
from handler.deliver import deliver
from handler.engine.picture import Picture
from handler.engine.step import Interrupted, OnStep, Step
from handler.gpu import GpuThread
from handler.media.metadata import Metadata
from handler.metadata import picture_metadata
from handler.plan.build import PlanSources, build_plan
from handler.plan.plan import Plan
from handler.plan.unsupported import refuse_unsupported
from handler.progress import Progress
from handler.settings import SafetyPolicy, Settings
from handler.storage.base import Store
from schemas.errors import DeviceLost, FieldError, FooocusError, InternalError, ResultTooLarge
from schemas.request import GenerationRequest, parse_request
from schemas.result import GenerationResult

Render = Callable[[Plan, OnStep], Iterator[Picture]]
"""The engine: yields the pictures of a plan one by one; `on_step` may raise Interrupted."""


@dataclass(frozen=True)
class Worker:
    """What lives as long as the process.

    render: the engine. sources: makes the sources of a plan. choose_store: (job, inline) -> where pictures
    go. progress: (job, preview) -> its progress reporter; `preview` says whether it may show pictures.
    checkpoint: the loaded file or folder.
    """

    settings: Settings
    gpu: GpuThread
    render: Render
    sources: Callable[[], PlanSources]
    choose_store: Callable[[Mapping[str, Any], bool], Store]
    progress: Callable[[dict[str, Any], bool], AbstractAsyncContextManager[Progress]]
    checkpoint: Path

    async def handle(self, job: dict[str, Any]) -> dict[str, Any]:
        """The RunPod handler: the result as plain JSON types, or `{"error": "CODE: text", …}`. Never raises
        anything but CancelledError."""
        try:
            return await self._run(job)
        except FooocusError as error:
            log.failed(job, error)
            return failure(error)
        except Exception as error:
            log.crashed(job, error)
            return failure(InternalError())

    async def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        request = _request(job)
        store = await asyncio.to_thread(self.choose_store, job, request.sync_mode)
        plan = await asyncio.to_thread(build_plan, request, str(job["id"]), self.sources())
        planned = time.perf_counter()
        pictures = await self._render(job, plan)
        rendered = time.perf_counter()
        metadata = await asyncio.to_thread(self._metadata, plan)
        images = await deliver(pictures, metadata, plan, store)
        result = GenerationResult(
            images=images,
            timings={
                "plan": round(planned - started, 4),
                "inference": round(rendered - planned, 4),
                "upload": round(time.perf_counter() - rendered, 4),
            },
            has_nsfw_concepts=tuple(picture.nsfw for picture in pictures),
            seeds=tuple(str(picture.seed) for picture in pictures),
        ).model_dump(mode="json")
        _check_size(result, self.settings.max_result_bytes)
        return result

    def _metadata(self, plan: Plan) -> list[Metadata | None]:
        return [picture_metadata(plan, image, self.checkpoint) for image in plan.images]

    async def _render(self, job: dict[str, Any], plan: Plan) -> list[Picture]:
        async with self.progress(job, plan.output.preview) as progress:
            return await self.gpu.run(lambda cancelled: self._pictures(plan, progress, cancelled))

    def _pictures(self, plan: Plan, progress: Progress, cancelled: threading.Event) -> list[Picture]:
        def on_step(step: Step) -> None:
            if cancelled.is_set():
                raise Interrupted
            progress.report(step)

        return [self._released(picture) for picture in self.render(plan, on_step)]

    def _released(self, picture: Picture) -> Picture:
        """The picture as it may leave the worker."""
        if picture.nsfw and self.settings.safety_policy is SafetyPolicy.BLACKOUT:
            return replace(picture, pixels=np.zeros_like(picture.pixels))
        return picture


def failure(error: FooocusError) -> dict[str, Any]:
    """The handler's answer for a failed job; the SDK sends `error` as text and the rest as output."""
    answer: dict[str, Any] = {
        "error": error.line(),
        "error_type": error.code,
        "status": error.status,
        "retryable": error.retryable,
        "detail": error.detail,
    }
    if isinstance(error, DeviceLost):
        answer["refresh_worker"] = True
    return answer


def _request(job: Mapping[str, Any]) -> GenerationRequest:
    if job.get("input") is None:
        raise FieldError(["body"], message="Field required")
    request = parse_request(job["input"])
    refuse_unsupported(request)
    assert isinstance(request, GenerationRequest), "Describe requests are refused above. This is a bug."
    return request


def _check_size(result: dict[str, Any], limit: int) -> None:
    """Refuse a result the platform would refuse, before it is posted. Raises ResultTooLarge."""
    if len(json.dumps({"output": result}, ensure_ascii=False).encode()) > limit:
        raise ResultTooLarge
