"""`/metrics` for Prometheus: queue depth, waits, run times, outcomes, webhook backlog, worker states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from gateway.health import check_may_look
from gateway.jobs.model import Job

if TYPE_CHECKING:
    from gateway.gateway import Gateway

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600, 1800, 3600)


def router(gateway: Gateway) -> APIRouter:
    """GET `/metrics`, in the text format."""
    routes = APIRouter(tags=["status"])
    registry = CollectorRegistry()
    registry.register(_Now(gateway))
    gateway.jobs.on_end(_Ends(registry).count)

    @routes.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        check_may_look(request, gateway.settings)
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


class _Now:
    """What can be counted at any time."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        counts = self._gateway.jobs.counts()
        jobs = GaugeMetricFamily("fooocus_jobs", "Jobs that have not ended", labels=["state"])
        jobs.add_metric(["queued"], counts.queued)
        jobs.add_metric(["running"], counts.running)
        yield jobs
        workers = GaugeMetricFamily("fooocus_workers", "Workers by what they are doing", labels=["state"])
        for doing, count in self._gateway.fleet.workers.counts().items():
            workers.add_metric([doing], count)
        yield workers
        yield from self._gateway.fleet.metrics()
        pending = self._gateway.webhooks.pending
        yield GaugeMetricFamily("fooocus_webhooks_pending", "Webhooks not delivered yet", pending)
        yield CounterMetricFamily("fooocus_requeued", "Jobs queued again after a worker was lost", counts.requeued)


class _Ends:
    """What is counted as jobs end."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter("fooocus_jobs_ended", "Jobs that ended", ["outcome"], registry=registry)
        self._wait = Histogram(
            "fooocus_wait_seconds", "From submission to start", buckets=_SECONDS, registry=registry
        )
        self._run = Histogram("fooocus_run_seconds", "From start to end", buckets=_SECONDS, registry=registry)

    def count(self, job: Job) -> None:
        self._ended.labels(job.state).inc()
        if job.started_at is not None and job.ended_at is not None:
            self._wait.observe(max(0.0, job.started_at - job.created_at))
            self._run.observe(max(0.0, job.ended_at - job.started_at))
