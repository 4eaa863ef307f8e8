"""The gateway and the real worker on the demo model: a job becomes a file, its steps are seen, a cancel frees the
GPU, and a worker killed in the middle costs time and nothing else."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from gateway.jobs.model import Job, Progress, State
from tests.support.gateway import WARM_S, until
from tests.support.gateway_thread import ServedGateway, threaded_gateway
from tests.support.local_workers import main_process

SMALL = {"prompt": "a red circle on a blue background", "aspect_ratio": "256x256", "styles": [], "seed": 7}
QUICK = SMALL | {"advanced": {"overwrite_step": 4}, "output_format": "png"}
LONG = SMALL | {"advanced": {"overwrite_step": 200, "num_images": 32}}
"""Minutes."""


@pytest.fixture(scope="module")
def rendering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    with threaded_gateway(tmp_path_factory.mktemp("rendering") / "data", workers=1) as served:
        until(served.gateway.fleet.workers.warm, WARM_S)
        yield served


def at_work(served: ServedGateway, job: Job) -> Progress:
    """The job's progress, once it has made a step."""
    return until(lambda: served.gateway.jobs.progress(job.id), 60)


def picture(served: ServedGateway, job: Job) -> Image.Image:
    assert job.output is not None, job.failure
    files = served.gateway.files
    stored = served.run(files.resolve(job.output["images"][0]["url"]))
    assert stored is not None
    return Image.open(io.BytesIO(served.run(files.read(stored))))


def watch(served: ServedGateway, job: Job) -> list[Any]:
    """All that happens to a job until its end."""

    async def collect() -> list[Any]:
        return [event async for event in served.gateway.jobs.watch(job.id)]

    return served.run(collect(), 120)


def test_a_job_becomes_a_picture_and_its_steps_are_seen(rendering: ServedGateway) -> None:
    job = rendering.submit(QUICK)
    events = watch(rendering, job)
    ended = rendering.wait(job)
    assert ended.state is State.COMPLETED, ended.failure
    shown = picture(rendering, ended)
    assert (shown.format, shown.size) == ("PNG", (256, 256))
    steps = [event for event in events if isinstance(event, Progress)]
    assert steps[-1] == Progress(0, 1, 4, 4, 1.0, None)
    assert any(step.preview for step in steps)
    lines = [line.message for line in rendering.run(rendering.gateway.jobs.logs(job.id))]
    assert "Started on worker local-1" in lines
    assert lines[-1] == "Step 4/4 of image 1/1"


def test_a_cancel_frees_the_gpu(rendering: ServedGateway) -> None:
    job = rendering.submit(LONG)
    at_work(rendering, job)
    rendering.run(rendering.gateway.jobs.cancel(job.id))
    assert rendering.wait(job).state is State.CANCELLED
    following = rendering.wait(rendering.submit(QUICK))
    assert following.state is State.COMPLETED


def test_a_killed_worker_costs_time_and_nothing_else(rendering: ServedGateway) -> None:
    first = picture(rendering, rendering.wait(rendering.submit(QUICK)))
    job = rendering.submit(QUICK | {"advanced": {"overwrite_step": 40}})
    at_work(rendering, job)
    os.kill(main_process(rendering.gateway.settings.data, 1), signal.SIGKILL)
    again = rendering.submit(QUICK)
    ended = rendering.wait(job, 120)
    assert (ended.state, ended.attempts) == (State.COMPLETED, 2)
    assert picture(rendering, ended).size == (256, 256)
    assert picture(rendering, rendering.wait(again)).tobytes() == first.tobytes()
