"""A busy worker that is told to end delivers its job first and leaves no process behind; test_hub ends an idle one."""

from __future__ import annotations

import os
import signal
import time

from tests.e2e.conftest import Start
from tests.e2e.jobs import pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import wait_for

EXIT_S = 60.0


def test_a_busy_worker_delivers_first(start: Start, own_platform: Platform, reference: bytes) -> None:
    worker = start()
    client = Client(own_platform)
    job_id = client.run(small(advanced={"num_images": 8}))
    wait_for(lambda: own_platform.jobs.by_id[job_id].progress, 60, "the job to run")
    os.kill(worker.pid, signal.SIGTERM)
    signalled = time.monotonic()
    assert worker.exit_code(EXIT_S + own_platform.hold_s) == 0
    assert own_platform.jobs.by_id[job_id].ended is not None
    assert own_platform.jobs.by_id[job_id].ended > signalled, "The job had ended before the signal."
    assert pixels(client.status(job_id))[0] == reference
    wait_for(lambda: not worker.children(), 60, "the heartbeat to end")
    assert list(worker.temp.rglob("*")) == []
