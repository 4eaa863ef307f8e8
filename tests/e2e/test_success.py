"""A good job: pictures of the asked size, format and seed; progress ordered, complete, and over before the result."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.e2e.jobs import data, picture, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess

IMAGES, STEPS = 2, 6


def positions(progress: list[Any]) -> list[tuple[int, int]]:
    return [(body["image"], body["step"]) for body in progress]


def check_order(platform: Platform, worker: WorkerProcess, job_id: str) -> None:
    """Every progress post came before the one final post, each further than the one before, the last at 1.0."""
    job = platform.jobs.by_id[job_id]
    [final] = platform.seen("job-done", worker.worker_id, job_id)
    posts = platform.seen("progress", worker.worker_id, job_id)
    assert posts
    assert posts[-1].at < final.at
    assert not job.late
    assert all(first < second for first, second in itertools.pairwise(positions(job.progress)))
    assert job.progress[-1]["progress"] == 1.0


def test_progress_is_ordered_and_complete_and_ends_before_the_result(
    client: Client, platform: Platform, worker: WorkerProcess
) -> None:
    record = client.done(small(STEPS, num_images=IMAGES))
    check_order(platform, worker, record["id"])
    progress = platform.jobs.by_id[record["id"]].progress
    for body in progress:
        assert (body["images"], body["steps"]) == (IMAGES, STEPS)
        done = body["image"] * STEPS + body["step"]
        assert body["progress"] == pytest.approx(done / (IMAGES * STEPS), abs=1e-4)
    assert positions(progress)[-1] == (IMAGES - 1, STEPS)


def test_a_slow_platform_gets_the_last_progress_before_the_result(
    client: Client, platform: Platform, worker: WorkerProcess
) -> None:
    platform.delays["progress"] = 1.5
    try:
        record = client.done(small(8))
    finally:
        platform.delays.clear()
    check_order(platform, worker, record["id"])
    assert len(platform.jobs.by_id[record["id"]].progress) < 8, "Stale progress is not worth waiting for."


def test_previews_are_small_pictures_unless_switched_off(client: Client, platform: Platform) -> None:
    shown = platform.jobs.by_id[client.done(small(STEPS))["id"]].progress
    previews = [picture(body["preview"]) for body in shown if "preview" in body]
    assert previews
    assert all(preview.format == "JPEG" and max(preview.size) <= 128 for preview in previews)
    hidden = platform.jobs.by_id[client.done(small(STEPS, advanced={"disable_preview": True}))["id"]].progress
    assert hidden
    assert not [body for body in hidden if "preview" in body]


def test_refused_progress_posts_do_not_hurt_the_job(client: Client, platform: Platform, reference: bytes) -> None:
    platform.force("progress", 500, 429, 404, 400)
    assert pixels(client.done(small())) == [reference]


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_the_picture_has_the_size_and_format_asked_for(client: Client, output_format: str) -> None:
    record = client.done(small(2, aspect_ratio="128x192", output_format=output_format))
    [image] = record["output"]["images"]
    decoded = picture(image["url"])
    assert decoded.format == output_format.upper()
    assert decoded.size == (image["width"], image["height"]) == (128, 192)
    assert image["content_type"] == f"image/{output_format}"
    assert image["file_size"] == len(data(image["url"]))
    assert len(set(decoded.convert("L").tobytes())) > 8, "The picture is flat."


def test_a_result_has_fals_shape_and_runs_in_parallel(client: Client) -> None:
    output = client.done(small(2, num_images=3))["output"]
    assert output.keys() == {"images", "timings", "has_nsfw_concepts", "seeds"}
    assert output["seeds"] == ["7", "8", "9"]
    assert len(output["images"]) == len(output["has_nsfw_concepts"]) == 3
    assert all(type(flag) is bool for flag in output["has_nsfw_concepts"])
    assert output["timings"]["inference"] > 0
    assert len({image["file_name"] for image in output["images"]}) == 3


def test_the_seed_decides_the_picture(client: Client, reference: bytes) -> None:
    first, second = pixels(client.done(small(num_images=2)))
    assert first == reference
    assert second != reference
    assert pixels(client.done(small(seed=8))) == [second]


def test_an_empty_request_is_valid_and_gets_a_fresh_seed_each_time(client: Client) -> None:
    tiny = {"aspect_ratio": "64x64"}
    first, second = (client.done(tiny)["output"]["seeds"] for _ in range(2))
    assert first != second
