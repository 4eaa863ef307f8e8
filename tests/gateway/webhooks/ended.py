"""Jobs that end, and what is then told of them."""

from __future__ import annotations

from typing import Any

from gateway.jobs.model import Failure, Job, Webhook
from gateway.webhooks.model import Attempt, Delivery, DeliveryState
from tests.support.gateway_thread import ServedGateway, new_job
from tests.support.worker import wait_for

OUTPUT = {
    "images": [{"url": "https://elsewhere.example/0.png", "content_type": "image/png", "width": 8, "height": 8}],
    "timings": {"inference": 0.5},
    "has_nsfw_concepts": [False],
    "seeds": ["9007199254740993"],
}
FAILURE = Failure("out_of_memory", 500, True, "The GPU ran out of memory", "The GPU ran out of memory")


def end(
    served: ServedGateway, *urls: str, result: Any = OUTPUT, dialect: str = "fal"
) -> Job:
    """A job whose worker has answered `result`, and whose webhooks go to `urls`."""
    webhooks = tuple(Webhook(url, dialect) for url in urls)

    async def run() -> Job:
        jobs = served.gateway.jobs
        job = await jobs.submit(new_job({"prompt": "a cat"}, webhooks=webhooks))
        (lease,) = await jobs.take("worker", 1, 60)
        assert lease.job.id == job.id
        assert await jobs.finish(lease.id, "worker", result)
        ended = await jobs.get(job.id)
        assert ended is not None
        return ended

    return served.run(run())


def told(served: ServedGateway, job: Job, timeout_s: float = 60) -> tuple[list[Delivery], list[Attempt]]:
    """What became of a job's webhooks, once nothing is pending any more."""

    def settled() -> bool:
        deliveries, _ = served.run(served.gateway.webhooks.of_job(job.id))
        return all(delivery.state is not DeliveryState.PENDING for delivery in deliveries)

    wait_for(settled, timeout_s, "the end of the webhooks")
    return served.run(served.gateway.webhooks.of_job(job.id))
