"""The URL shapes of RunPod's Hub tests: no `?`, no ping, no stream. An idle worker that is told to end does so."""

from __future__ import annotations

import os
import signal

from tests.e2e.conftest import Start
from tests.e2e.jobs import endless, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import wait_for


def test_a_worker_lives_and_ends_with_hub_style_urls(start: Start, own_platform: Platform, reference: bytes) -> None:
    url = own_platform.url
    worker = start(
        environment={
            "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID",
            "FOOOCUS_PROGRESS_INTERVAL_S": "0",
        },
        hide=["RUNPOD_WEBHOOK_PING", "RUNPOD_WEBHOOK_POST_STREAM"],
    )
    client = Client(own_platform)
    record = client.done(small())
    assert pixels(record) == [reference]
    assert own_platform.seen("progress", worker.worker_id, record["id"])

    job_id = client.run(endless())
    wait_for(lambda: own_platform.jobs.by_id[job_id].progress, 60, "the job to run")
    client.cancel(job_id)
    assert pixels(client.done(small())) == [reference]
    assert client.done({"num_images": 0})["status"] == "FAILED"
    assert worker.alive(), "A worker that ends fails the Hub's tests."
    assert not own_platform.seen("ping")

    os.kill(worker.pid, signal.SIGTERM)
    assert worker.exit_code(own_platform.hold_s + 60) == 0
    wait_for(lambda: not worker.children(), 60, "the end of its processes")
    assert list(worker.temp.rglob("*")) == []
