"""The generating endpoints: one way for all of them, through a form or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.doors.attendance import outcome
from gateway.doors.fooocus_api import answer
from gateway.doors.fooocus_api.body import read_body
from gateway.doors.fooocus_api.canonical import canonical, slots
from gateway.doors.fooocus_api.form import read_form
from gateway.doors.fooocus_api.links import Links
from gateway.doors.fooocus_api.locations import AS_JSON
from gateway.doors.fooocus_api.openapi import form_docs, json_docs
from gateway.doors.fooocus_api.preset import Preset
from gateway.doors.fooocus_api.route import FooocusApiRoute, checked
from gateway.gateway import Gateway
from gateway.jobs.model import Job, NewJob, State, Webhook
from gateway.urls import BASE_URL, base_url
from gateway.webhooks import target
from schemas.errors import FieldError, FooocusError, QueueFull
from schemas.fooocus_api.answers import AsyncJob, FinishReason, GeneratedImage
from schemas.fooocus_api.requests import (
    CommonRequest,
    ImagePromptRequest,
    InpaintOutpaintForm,
    InpaintOutpaintRequest,
    TextToImageRequest,
    TextToImageWithIpRequest,
    UpscaleVaryRequest,
)
from schemas.request import parse_request

DOOR = "fooocus-api"
DIALECT = "fooocus-api"

JSON_ENDPOINTS: dict[str, type[CommonRequest]] = {
    "/v1/generation/text-to-image": TextToImageRequest,
    "/v2/generation/text-to-image-with-ip": TextToImageWithIpRequest,
    "/v2/generation/image-upscale-vary": UpscaleVaryRequest,
    "/v2/generation/image-inpaint-outpaint": InpaintOutpaintRequest,
    "/v2/generation/image-prompt": ImagePromptRequest,
}
FORM_ENDPOINTS: dict[str, type[CommonRequest]] = {
    "/v1/generation/image-upscale-vary": UpscaleVaryRequest,
    "/v1/generation/image-inpaint-outpaint": InpaintOutpaintForm,
    "/v1/generation/image-prompt": ImagePromptRequest,
}
Read = Callable[[Request], Awaitable[Any]]
Answer = list[GeneratedImage] | AsyncJob


def router(gateway: Gateway, preset: Preset) -> APIRouter:
    """The generating routes."""
    routes = APIRouter(route_class=FooocusApiRoute, tags=["Fooocus-API"])

    json_body = partial(read_body, settings=gateway.settings)
    form_body = partial(read_form, max_depth=gateway.settings.max_json_depth)
    for path, model in JSON_ENDPOINTS.items():
        _add(routes, path, json_docs(model), _endpoint(gateway, preset, model, json_body))
    for path, model in FORM_ENDPOINTS.items():
        _add(routes, path, form_docs(model), _endpoint(gateway, preset, model, form_body))
    return routes


def _add(routes: APIRouter, path: str, docs: dict[str, Any], endpoint: Callable[..., Awaitable[Response]]) -> None:
    name = path.strip("/").replace("/", "_").replace("-", "_")
    routes.add_api_route(
        path, endpoint, methods=["POST"], name=name, response_model=Answer, openapi_extra=docs,
        summary=path.rsplit("/", 1)[1].replace("-", " "),
    )  # fmt: skip


def _endpoint(
    gateway: Gateway, preset: Preset, model: type[CommonRequest], read: Read
) -> Callable[..., Awaitable[Response]]:
    async def generate(request: Request, accept: str = "") -> Response:
        principal = await gateway.keys.identify(request)
        asked = checked(model, preset.filled(await read(request)))
        request.state.sent = replace(getattr(request.state, "sent", AS_JSON), prompts=slots(asked))
        as_png = (accept or request.headers.get("accept", "")).strip() == "image/png"
        if as_png:
            asked = asked.model_copy(update={"image_number": 1})
        try:
            job = await gateway.submit(principal, await _new_job(gateway, request, principal.id, asked))
        except QueueFull:
            return _queue_full(asked, as_png)
        links = Links(gateway, request)
        if asked.async_process:
            return _json(await answer.async_job(job, None, False, links.read))
        job = await outcome(request, gateway.jobs, job)
        if job.failure is not None and job.failure.status == 422:
            # What the request itself made impossible is told as every bad field is.
            raise Refused(job)
        return await (_bytes(job, links) if as_png else _images(job, links))

    return generate


async def _new_job(gateway: Gateway, request: Request, owner: str, asked: CommonRequest) -> NewJob:
    fields = await asyncio.to_thread(canonical, asked, gateway.settings.models_dir)
    parse_request(fields)
    _check_webhook(asked.webhook_url)
    url = asked.webhook_url or gateway.settings.webhook_url
    return NewJob(
        owner=owner,
        door=DOOR,
        app=request.url.path.strip("/"),
        input=fields,
        extra={
            "job_type": asked.job_type,
            "require_base64": asked.require_base64,
            "sent": request.state.sent.record(),
            BASE_URL: base_url(request, gateway.settings),
        },
        webhooks=(Webhook(url, DIALECT),) if url else (),
    )


def _check_webhook(url: str) -> None:
    if not url:
        return
    try:
        target.parse(url)
    except target.Refused as error:
        raise FieldError(["body", "webhook_url"], input=url, message=str(error)) from None


async def _images(job: Job, links: Links) -> Response:
    """The array of pictures."""
    return _json(await answer.images(await links.relinked(job), links.read))


async def _bytes(job: Job, links: Links) -> Response:
    if job.state is not State.COMPLETED or job.output is None:
        cancelled = job.state is State.CANCELLED
        reason = FinishReason.USER_CANCEL if cancelled else FinishReason.ERROR
        return Response(reason, 400 if cancelled else job.failure.status if job.failure else 500)
    data = await links.read(job.output["images"][0]["url"])
    if data is None:
        return Response(FinishReason.ERROR, 500)
    return Response(await asyncio.to_thread(answer.png, data), media_type="image/png")


def _queue_full(asked: CommonRequest, as_png: bool) -> Response:
    if as_png:
        return Response(FinishReason.QUEUE_IS_FULL, 409)
    return _json(answer.queue_full_job(asked.job_type) if asked.async_process else answer.QUEUE_FULL)


def _json(value: Answer) -> Response:
    if isinstance(value, list):
        return JSONResponse([image.model_dump(mode="json") for image in value])
    return JSONResponse(value.model_dump(mode="json"))


class Refused(FooocusError):
    """The worker found the request's input wrong"""

    def __init__(self, job: Job) -> None:
        assert job.failure is not None, "Only failed jobs are refused. This is a bug."
        super().__init__(job.failure.message)
        self._failure = job.failure

    @property
    def status(self) -> int:  # type: ignore[override]
        return self._failure.status

    @property
    def detail(self) -> Any:
        return self._failure.detail
