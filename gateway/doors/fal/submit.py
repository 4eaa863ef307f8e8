"""From a call of an endpoint to a job: the input checked, headers read, the job on disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request

from gateway.bodies import read_json
from gateway.doors.fal.apps import ENDPOINTS
from gateway.doors.fal.options import MAX_QUEUE_LENGTH, WEBHOOK, Options
from gateway.doors.fal.roots import files_url
from gateway.gateway import Gateway
from gateway.jobs.model import Job, NewJob, Webhook
from gateway.keys.key import Principal
from gateway.urls import BASE_URL
from gateway.webhooks.target import Refused, parse
from schemas.enums import Endpoint
from schemas.errors import BadRequest, InvalidInput
from schemas.request import parse_request

DOOR = "fal"
DIALECT = "fal"
"""Name of fal's payload and signature among the webhooks' dialects."""

_OF_THE_USER = ("none", "same-origin")
"""Where a GET without an Origin comes from when no other page made it (https://www.w3.org/TR/fetch-metadata/)."""

_NOT_INPUT = (WEBHOOK, MAX_QUEUE_LENGTH, "fal_jwt_token")


async def accept(gateway: Gateway, request: Request, principal: Principal, endpoint_id: str) -> Job:
    """Put a call of `endpoint_id` (one of ENDPOINTS) into the queue.

    Invalid input is accepted too, as a job that has failed: fal tells of it where the result is asked for.
    Raises BadRequest for what cannot be read, and what `Gateway.submit` raises.
    """
    options = Options.read(request.headers, request.query_params)
    new = _new_job(principal, endpoint_id, options, _webhooks(options.webhook, gateway.settings.webhook_url))
    new = replace(new, extra={BASE_URL: files_url(request, gateway.settings)})
    body = await _body(request, gateway)
    try:
        input = canonical(ENDPOINTS[endpoint_id], body)
    except InvalidInput as error:
        return await gateway.refuse(principal, replace(new, body=body), error)
    return await gateway.submit(principal, replace(new, input=input))


def canonical(endpoint: Endpoint, body: Any) -> dict[str, Any]:
    """The canonical request: the caller's fields that we know, and the endpoint the path named.

    Raises InvalidInput with fal's list.
    """
    named = {**body, "endpoint": endpoint.value} if isinstance(body, dict) else body
    request = parse_request(named)
    return {"endpoint": endpoint.value, **request.model_dump(mode="json", exclude_unset=True)}


async def _body(request: Request, gateway: Gateway) -> Any:
    """The input as it came. JavaScript's client sends none at all for an absent one, and a query for `GET`."""
    if request.method == "GET":
        if "origin" not in request.headers and request.headers.get("sec-fetch-site", "none") not in _OF_THE_USER:
            raise BadRequest("An image or a link in a page of another origin submits nothing")
        return {name: text for name, text in request.query_params.items() if name not in _NOT_INPUT}
    body = await read_json(request, gateway.settings)
    return {} if body is None else body


def _webhooks(*urls: str | None) -> tuple[Webhook, ...]:
    """The job's own receiver and the gateway's. Raises BadRequest for a URL that is never called."""
    wanted = dict.fromkeys(url for url in urls if url)
    try:
        for url in wanted:
            parse(url)
    except Refused as error:
        raise BadRequest(f"{WEBHOOK}: {error}") from None
    return tuple(Webhook(url, DIALECT) for url in wanted)


def _new_job(principal: Principal, endpoint_id: str, options: Options, webhooks: tuple[Webhook, ...]) -> NewJob:
    """The job without its input."""
    return NewJob(
        owner=principal.id,
        door=DOOR,
        app=endpoint_id,
        input={},
        low_priority=options.low_priority,
        start_within_s=options.start_within_s,
        result_ttl_s=options.result_ttl_s,
        file_ttl_s=options.file_ttl_s,
        max_ahead=options.max_ahead,
        max_attempts=options.max_attempts,
        idempotency_key=options.idempotency_key,
        webhooks=webhooks,
    )
