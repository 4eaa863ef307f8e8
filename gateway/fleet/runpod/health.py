"""How the endpoint is: whether it answers, and its own figures."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gateway.fleet.runpod.client import Client
from gateway.fleet.runpod.errors import EndpointError
from gateway.fleet.runpod.pace import Backoff
from gateway.fleet.runpod.waiting import waited
from gateway.fleet.workers import Worker

log = logging.getLogger(__name__)

EVERY_S = 15.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Health:
    """Asks `/health` now and then. ready: set while the endpoint takes jobs; else, from the first bad news on,
    `troubled` is, and `worker.trouble` says why. check: raises EndpointError for what else keeps jobs from going there.
    """

    def __init__(self, client: Client, worker: Worker, check: Callable[[], Awaitable[None]]) -> None:
        self.ready = asyncio.Event()
        self._client = client
        self._check = check
        self._worker = worker
        self.troubled = asyncio.Event()
        self._pause = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, 2)
        self._wait_s = 0.0
        worker.trouble = "it was not heard of yet"
        self._figures: Mapping[str, Any] = {}

    async def run(self) -> None:
        """Look after it until cancelled."""
        while True:
            try:
                await self._check()
                self._figures = await self._client.health()
            except EndpointError as error:
                self.trouble(error)
            else:
                self._take_note_of_health()
            await self._rest()

    def trouble(self, error: EndpointError | None) -> None:
        """Jobs are not taken there, for this reason; None: one has just been."""
        if error is None:
            self._pause.reset()
            return
        if self._worker.trouble != str(error):
            log.error("No jobs go to the RunPod endpoint: %s", error, extra={"worker": self._worker.name})
        self._worker.trouble = str(error)
        self._wait_s = error.retry_after_s or 0.0
        self.ready.clear()
        self.troubled.set()

    def metrics(self) -> Iterator[Metric]:
        """Its own counts of workers and jobs, as it last gave them."""
        yield GaugeMetricFamily("fooocus_runpod_up", "Whether the endpoint takes jobs", int(self.ready.is_set()))
        for name in ("workers", "jobs"):
            gauge = GaugeMetricFamily(f"fooocus_runpod_{name}", f"The endpoint's own count of {name}", labels=["state"])
            for state, count in _counts(self._figures.get(name)):
                gauge.add_metric([state], count)
            yield gauge

    def _take_note_of_health(self) -> None:
        if not self.ready.is_set():
            log.info("The RunPod endpoint takes jobs", extra={"worker": self._worker.name})
        self._worker.trouble = None
        self.troubled.clear()
        self.ready.set()

    async def _rest(self) -> None:
        """Until it is time to ask again: sooner, and ever later, when there is trouble."""
        if not self.troubled.is_set():
            await waited(self.troubled, EVERY_S)
        if self.troubled.is_set():
            await asyncio.sleep(max(self._pause.next(), self._wait_s))


def _counts(figures: Any) -> Iterator[tuple[str, float]]:
    for state, count in figures.items() if isinstance(figures, Mapping) else ():
        if isinstance(state, str) and type(count) in (int, float) and math.isfinite(count):
            yield state[:64], count
