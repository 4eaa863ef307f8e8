"""Big pictures of an input wait beside the queue, not in it, and come back letter for letter, for their owner alone."""

from __future__ import annotations

import base64

import pytest

from gateway.files.inputs import MAX_PICTURE, REFERENCE, SPILL_ABOVE
from gateway.files.model import Kind
from gateway.files.sweep import Sweep
from gateway.jobs.jobs import Jobs
from tests.gateway.files.conftest import Kept
from tests.gateway.files.pictures import content, picture
from tests.support.gateway_thread import new_job as submitted

pytestmark = pytest.mark.anyio


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


BIG = data_uri(b"\x89PNG\r\n\x1a\n" + content(1, 60_000))
OTHER = data_uri(b"\xff\xd8\xff" + content(2, 60_000), "image/jpeg")
SMALL = data_uri(picture())
INPUT = {
    "prompt": "a cat",
    "seed": 7,
    "enable_safety_checker": True,
    "negative_prompt": None,
    "inpaint_image_url": BIG,
    "mask_image_url": SMALL,
    "image_prompt_1": {"image_url": OTHER, "weight": 0.5},
    "loras": [{"path": "https://models.example/a.safetensors", "scale": 1}],
}


async def test_big_inputs_are_taken_out_and_put_back(kept: Kept) -> None:
    spilled = await kept.files.spill(INPUT, "ann")
    assert spilled["inpaint_image_url"].startswith(REFERENCE)
    assert spilled["image_prompt_1"]["image_url"].startswith(REFERENCE)
    assert {**spilled, "inpaint_image_url": BIG, "image_prompt_1": INPUT["image_prompt_1"]} == INPUT
    assert len(str(spilled)) < 2000
    assert await kept.files.fill(spilled, "ann") == INPUT


async def test_small_inputs_stay(kept: Kept) -> None:
    small = {"image_url": data_uri(content(1, SPILL_ABOVE // 2))}
    assert await kept.files.spill(small, "ann") == small
    assert kept.on_disk() == set()


async def test_what_is_no_clean_base64_stays_for_the_worker_to_name(kept: Kept) -> None:
    broken = {"image_url": BIG + "!", "other": OTHER}
    spilled = await kept.files.spill(broken, "ann")
    assert spilled["image_url"] == broken["image_url"]
    assert await kept.files.fill(spilled, "ann") == broken


async def test_the_same_input_spills_to_the_same_words(kept: Kept) -> None:
    """So a request repeated with an idempotency key is the same request."""
    assert await kept.files.spill(INPUT, "ann") == await kept.files.spill(INPUT, "ann")
    assert len(kept.on_disk()) == 2


async def test_inputs_of_others_stay_closed(kept: Kept) -> None:
    spilled = await kept.files.spill(INPUT, "ann")
    assert await kept.files.fill(spilled, "bob") == spilled
    file = await kept.files.find(spilled["inpaint_image_url"].removeprefix(REFERENCE))
    assert (file.public, file.kind, file.owner) == (False, Kind.INPUT, "ann")
    theirs = await kept.files.spill(INPUT, "bob")
    assert theirs["inpaint_image_url"] != spilled["inpaint_image_url"]


async def test_our_own_pictures_travel_with_the_job(kept: Kept) -> None:
    """A worker fetches no private address, and this gateway's may be one."""
    file = await kept.files.add(picture("WEBP"), name="a.webp", owner="ann")
    weights = await kept.files.add(content(1, 100), name="a.safetensors", owner="ann")
    input = {
        "uov_image_url": kept.files.url(file, "http://127.0.0.1:8888"),
        "loras": [{"path": kept.files.url(weights, "http://127.0.0.1:8888")}],
        "image_url": "https://elsewhere.example/files/0/a.png",
    }
    filled = await kept.files.fill(input, "bob")
    assert filled == {**input, "uov_image_url": data_uri(picture("WEBP"), "image/webp")}


async def test_a_picture_too_large_to_travel_stays_an_address(kept: Kept) -> None:
    file = await kept.files.add(picture() + bytes(2**20), name="a.png", owner="ann")
    await kept.store.write(lambda connection: connection.execute("UPDATE files SET size = ?", (MAX_PICTURE + 1,)))
    input = {"image_url": kept.files.url(file, "http://h")}
    assert await kept.files.fill(input, "ann") == input


async def test_a_private_file_of_another_is_no_input(kept: Kept) -> None:
    file = await kept.files.add(picture(), name="a.png", owner="ann", public=False)
    input = {"image_url": kept.files.url(file, "http://h"), "mask": f"{REFERENCE}{file.id}"}
    assert await kept.files.fill(input, "bob") == input
    assert await kept.files.fill(input, "ann") == {"image_url": SMALL, "mask": SMALL}


async def test_a_reference_opens_no_weights(kept: Kept) -> None:
    file = await kept.files.add(content(1, 1000), name="a.safetensors", owner="ann")
    input = {"image_url": f"{REFERENCE}{file.id}"}
    assert await kept.files.fill(input, "ann") == input


async def test_inputs_stay_as_long_as_their_job(kept: Kept) -> None:
    job = await kept.jobs.submit(submitted({}))
    spilled = await kept.files.spill(INPUT, "ann")
    await kept.files.hold(job.id, spilled, "ann")
    kept.clock.now += 30 * 86400
    await kept.sweep.once()
    assert await kept.files.fill(spilled, "ann") == INPUT
    await kept.jobs.cancel(job.id)
    await kept.jobs.delete(job.id)
    assert kept.on_disk() == set()


async def test_uploads_outlive_their_end_while_a_job_waits_for_them(kept: Kept) -> None:
    job = await kept.jobs.submit(submitted({}))
    upload = await kept.files.add(picture(), name="a.png", owner="ann", ttl_s=60)
    input = {"image_url": kept.files.url(upload, "http://h")}
    await kept.files.hold(job.id, input, "ann")
    kept.clock.now += 1000
    await kept.sweep.once()
    assert await kept.files.fill(input, "ann") == {"image_url": SMALL}
    await kept.files.release(job.id)
    assert await kept.files.fill(input, "ann") == input
    await kept.sweep.once()
    assert kept.on_disk() == set()


async def test_an_input_two_jobs_share_goes_with_the_second(kept: Kept) -> None:
    spilled = await kept.files.spill(INPUT, "ann")
    for job_id in ("one", "two"):
        await kept.files.hold(job_id, spilled, "ann")
    await kept.files.release("one")
    assert await kept.files.fill(spilled, "ann") == INPUT
    await kept.files.release("two")
    assert kept.on_disk() == set()


async def test_inputs_of_jobs_that_went_unnoticed_go_at_the_next_start(kept: Kept) -> None:
    spilled = await kept.files.spill(INPUT, "ann")
    await kept.files.hold("gone", spilled, "ann")
    await kept.sweep.at_start()
    assert kept.on_disk() == set()


async def test_an_input_whose_job_never_came_goes(kept: Kept) -> None:
    await kept.files.spill(INPUT, "ann")
    kept.clock.now += 3600
    await kept.sweep.once()
    assert kept.on_disk() == set()


async def test_a_start_asks_the_store_once_whose_jobs_are_gone(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs hold files: nothing is served meanwhile."""
    spilled = await kept.files.spill(INPUT, "ann")
    jobs = [await kept.jobs.submit(submitted({})) for _ in range(20)]
    for job_id in [job.id for job in jobs] + ["gone"]:
        await kept.files.hold(job_id, spilled, "ann")
    again = Jobs(kept.store)  # As a new process: it remembers no job.
    reads, read = [], kept.store.read
    monkeypatch.setattr(kept.store, "read", lambda work: reads.append(work) or read(work))
    await Sweep(kept.files, again).release_inputs()
    assert len(reads) == 1
    held = await read(lambda connection: connection.execute("SELECT DISTINCT job_id FROM holds").fetchall())
    assert {row["job_id"] for row in held} == {job.id for job in jobs}
