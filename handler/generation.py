"""A job of one of the four generating endpoints: load its pictures, plan, render, deliver."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handler.deliver import deliver
from handler.engine.picture import Picture
from handler.engine.step import Interrupted, OnStep, Step
from handler.gpu import GpuThread
from handler.images import load_images
from handler.media.metadata import Metadata
from handler.media.policy import FetchPolicy
from handler.metadata import picture_metadata
from handler.plan.build import PlanSources, build_plan
from handler.plan.images import image_sources
from handler.plan.plan import Plan
from handler.progress import Progress
from handler.settings import SafetyPolicy
from handler.storage.base import Store
from schemas.request import GenerationRequest
from schemas.result import GenerationResult

Render = Callable[[Plan, OnStep], Iterator[Picture]]
"""The engine: yields the pictures of a plan one by one; `on_step` may raise Interrupted."""


@dataclass(frozen=True)
class Generation:
    """What jobs that make pictures need; it lives as long as the process.

    render: the engine. sources: makes the sources of a plan. image_policy: the limits on a request's pictures.
    choose_store: (job, inline) -> where pictures go. progress: (job, preview) -> its progress reporter; `preview`
    says whether it may show pictures. safety: what flagged pictures become.
    """

    gpu: GpuThread
    render: Render
    sources: Callable[[], PlanSources]
    image_policy: FetchPolicy
    choose_store: Callable[[Mapping[str, Any], bool], Store]
    progress: Callable[[dict[str, Any], bool], AbstractAsyncContextManager[Progress]]
    safety: SafetyPolicy

    async def run(self, job: dict[str, Any], request: GenerationRequest) -> dict[str, Any]:
        """A GenerationResult as plain JSON types. Raises FooocusError."""
        started = time.perf_counter()
        store = await asyncio.to_thread(self.choose_store, job, request.sync_mode)
        images = await load_images(image_sources(request), self.image_policy)
        plan = await asyncio.to_thread(build_plan, request, str(job["id"]), self.sources(), images)
        planned = time.perf_counter()
        pictures = await self._render(job, plan)
        rendered = time.perf_counter()
        metadata = await asyncio.to_thread(self._metadata, plan)
        records = await deliver(pictures, metadata, plan, store)
        return GenerationResult(
            images=records,
            timings={
                "plan": round(planned - started, 4),
                "inference": round(rendered - planned, 4),
                "upload": round(time.perf_counter() - rendered, 4),
            },
            has_nsfw_concepts=tuple(picture.nsfw for picture in pictures),
            seeds=tuple(str(picture.seed) for picture in pictures),
        ).model_dump(mode="json")

    def _metadata(self, plan: Plan) -> list[Metadata | None]:
        return [picture_metadata(plan, image) for image in plan.images]

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
        if picture.nsfw and self.safety is SafetyPolicy.BLACKOUT:
            return replace(picture, pixels=np.zeros_like(picture.pixels))
        return picture
