"""What the owner of a job can learn and do about its webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request

from gateway.webhooks.model import Attempt, Delivery
from gateway.webhooks.target import Refused, parse
from schemas.errors import JobNotFound

if TYPE_CHECKING:
    from gateway.gateway import Gateway


def router(gateway: Gateway) -> APIRouter:
    """GET `/webhooks/jobs/{job}`: its deliveries, with their log; POST `…/{delivery}/redeliver`: once more."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/webhooks/jobs/{job_id}")
    async def deliveries(job_id: str, request: Request) -> dict[str, Any]:
        await _own(gateway, request, job_id)
        found, attempts = await gateway.webhooks.of_job(job_id)
        return {"job_id": job_id, "deliveries": [_shown(delivery, attempts) for delivery in found]}

    @routes.post("/webhooks/jobs/{job_id}/{delivery_id}/redeliver", status_code=202)
    async def redeliver(job_id: str, delivery_id: str, request: Request) -> dict[str, Any]:
        await _own(gateway, request, job_id)
        await gateway.webhooks.again(job_id, delivery_id)
        found, attempts = await gateway.webhooks.of_job(job_id)
        chosen = [delivery for delivery in found if delivery.id == delivery_id]
        if not chosen:
            raise JobNotFound("There is no such webhook")
        return _shown(chosen[0], attempts)

    return routes


async def _own(gateway: Gateway, request: Request, job_id: str) -> None:
    """JobNotFound unless the job is the caller's."""
    principal = await gateway.keys.identify(request)
    if await gateway.jobs.get(job_id, owner=principal.id) is None:
        raise JobNotFound


def _shown(delivery: Delivery, attempts: list[Attempt]) -> dict[str, Any]:
    """A delivery and its log. The URL's query stays out: it may hold a secret."""
    return {
        "id": delivery.id,
        "url": _without_query(delivery.url),
        "dialect": delivery.dialect,
        "state": delivery.state,
        "created_at": delivery.created_at,
        "next_attempt_at": delivery.next_at if delivery.state == "pending" else None,
        "attempts": [
            {"at": attempt.at, "seconds": round(attempt.seconds, 3), "status": attempt.status, "error": attempt.error}
            for attempt in attempts
            if attempt.delivery_id == delivery.id
        ],
    }


def _without_query(url: str) -> str:
    try:
        return parse(url).shown
    except Refused:
        return url.partition("?")[0][:256].rpartition("@")[2]
