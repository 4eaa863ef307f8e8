"""Where processes are spawned and not forked, the heartbeat's process imports our main module and no model."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Start
from tests.e2e.jobs import pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import wait_for

SPAWNING = """
import multiprocessing, runpy, sys
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.argv = ["handler"]
    runpy.run_module("handler", run_name="__main__", alter_sys=True)
"""


def maps_torch(pid: int) -> bool:
    return "libtorch" in (Path("/proc") / str(pid) / "maps").read_text()


def test_only_the_worker_itself_loads_the_model(start: Start, own_platform: Platform, reference: bytes) -> None:
    worker = start(arguments=("-u", "-c", SPAWNING))
    assert pixels(Client(own_platform).done(small())) == [reference]
    wait_for(lambda: own_platform.seen("ping", worker.worker_id), 20, "the heartbeat")
    assert maps_torch(worker.pid)
    children = worker.children()
    assert children, "There is no heartbeat process."
    assert not [pid for pid in children if maps_torch(pid)]
    assert worker.log().count("Starting Serverless Worker") == 1
