"""The fleet of `--fleet runpod`: the endpoint, beside workers of one's own."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from gateway.files.files import Files
from gateway.fleet.fleet import Fleet
from gateway.fleet.runpod.endpoint import Endpoint
from gateway.jobs.jobs import Jobs
from gateway.settings import Settings


class RunpodFleet(Fleet):
    """Workers that join with a token, or run here with `--workers`, share the queue with the endpoint."""

    def __init__(self, settings: Settings, jobs: Jobs, files: Files) -> None:
        super().__init__(settings, jobs, files)
        self.endpoint = Endpoint(settings, jobs, files, self.workers)

    async def start(self) -> None:
        await super().start()
        await self.endpoint.start()

    def ask_to_end(self) -> None:
        self.endpoint.ask_to_end()
        super().ask_to_end()

    async def stop(self) -> None:
        await self.endpoint.stop()
        await super().stop()

    def metrics(self) -> Iterator[Metric]:
        yield from super().metrics()
        yield from self.endpoint.metrics()
