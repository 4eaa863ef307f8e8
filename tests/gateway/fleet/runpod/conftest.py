"""A gateway whose jobs go to a stub of a RunPod endpoint, shared by the tests of a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.jobs.model import Job
from tests.support.gateway import until
from tests.support.gateway_thread import ServedGateway, threaded_gateway
from tests.support.runpod_endpoint import ENDPOINT, KEY, RunpodStub, StubJob, serving_runpod


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.support.s3")


@dataclass
class Fronted:
    """The gateway in front, the stub behind."""

    served: ServedGateway
    stub: RunpodStub

    def submit(self, input: dict[str, Any] | None = None, **more: Any) -> Job:
        return self.served.submit({"prompt": "x"} if input is None else input, **more)

    def arrived(self, count: int = 1) -> StubJob:
        """The newest job at the endpoint, once so many came."""
        until(lambda: len(self.stub.jobs) >= count, 20)
        return self.stub.newest()

    def ended(self, job: Job, timeout_s: float = 20) -> Job:
        found = self.served.wait(job, timeout_s)
        assert found.state.final, f"{found.state} after {timeout_s:.0f} s"
        return found

    def now(self, job: Job) -> Job:
        found = self.served.run(self.served.gateway.jobs.get(job.id))
        assert found is not None
        return found

    def lines(self, job: Job) -> list[str]:
        return [line.message for line in self.served.run(self.served.gateway.jobs.logs(job.id))]


@contextlib.contextmanager
def fronting(data: Path, stub: RunpodStub, **settings: Any) -> Iterator[Fronted]:
    values = {"fleet": "runpod", "runpod_endpoint": ENDPOINT, "runpod_api_key": KEY, **settings}
    with threaded_gateway(data, runpod_base_url=f"{stub.url}/v2", **values) as served:
        yield Fronted(served, stub)


@pytest.fixture(scope="module")
def stub() -> Iterator[RunpodStub]:
    with serving_runpod() as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, stub: RunpodStub) -> Iterator[Fronted]:
    with fronting(tmp_path_factory.mktemp("fronted") / "data", stub) as fronted:
        yield fronted


@pytest.fixture
def fronted(shared: Fronted, stub: RunpodStub) -> Fronted:
    """The shared one; the stub remembers nothing of other tests."""
    stub.reset()
    until(shared.served.gateway.fleet.workers.warm, 20)
    return shared
