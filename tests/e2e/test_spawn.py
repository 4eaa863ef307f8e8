"""Where processes are spawned and not forked, the heartbeat's process imports our main module and no model."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.jobs import pixels, small
from tests.support.client import Client
from tests.support.worker import WorkerProcess, wait_for


def maps_torch(pid: int) -> bool:
    return "libtorch" in (Path("/proc") / str(pid) / "maps").read_text()


def test_only_the_worker_itself_loads_the_model(pair_worker: WorkerProcess, reference: bytes) -> None:
    platform = pair_worker.platform
    assert pixels(Client(platform).done(small())) == [reference]
    wait_for(lambda: platform.seen("ping", pair_worker.worker_id), 60, "the heartbeat")
    assert maps_torch(pair_worker.pid)
    children = pair_worker.children()
    assert children, "There is no heartbeat process."
    assert not [pid for pid in children if maps_torch(pid)]
    assert pair_worker.log().count("Starting Serverless Worker") == 1
