"""Describe, and the two tools this server has not."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from gateway.doors.attendance import outcome
from gateway.doors.fooocus_api.form import read_form
from gateway.doors.fooocus_api.generation import Refused
from gateway.doors.fooocus_api.images import source
from gateway.doors.fooocus_api.route import FooocusApiRoute
from gateway.gateway import Gateway
from gateway.jobs.model import NewJob
from schemas.enums import DescribeType
from schemas.errors import FieldError, FooocusError, InvalidInput
from schemas.fooocus_api.answers import Description
from schemas.request import parse_request

DESCRIBE_DOOR = "fooocus-api-describe"
"""Describing is no job in the words of Fooocus-API: its queue and history do not show it."""

_KIND: TypeAdapter[DescribeType] = TypeAdapter(DescribeType)

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


class NotImplementedHere(FooocusError):
    """Enhancing pictures and generating masks are not implemented. Inpaint with a mask of your own does most of it"""

    code = "not_implemented"
    status = 501


def router(gateway: Gateway) -> APIRouter:
    """The routes of tools."""
    routes = APIRouter(route_class=FooocusApiRoute, tags=["Fooocus-API"])

    @routes.post("/v1/tools/describe-image", openapi_extra=_FORM, summary="A picture in words")
    async def describe(request: Request, type: str = "", image_type: str = "") -> Description:
        """`type` and `image_type` mean the same, and may be form fields too: `Photo` or `Anime`."""
        principal = await gateway.keys.identify(request)
        form = await read_form(request, gateway.settings.max_json_depth)
        query = {"type": type, "image_type": image_type}
        fields = _fields(form, _kind(("query", query), ("body", form)))
        parse_request(fields)
        new = NewJob(
            owner=principal.id, door=DESCRIBE_DOOR, app="v1/tools/describe-image",
            input=fields,
        )  # fmt: skip
        job = await outcome(request, gateway.jobs, await gateway.submit(principal, new))
        if job.output is None:
            raise Refused(job)
        return Description(describe=job.output["prompt"])

    @routes.post("/v1/generation/image-enhance", summary="Not implemented", status_code=501)
    @routes.post("/v2/generation/image-enhance", summary="Not implemented", status_code=501)
    @routes.post("/v1/tools/generate_mask", summary="Not implemented", status_code=501)
    async def missing(request: Request) -> None:
        await gateway.keys.identify(request)
        raise NotImplementedHere

    return routes


def _kind(*places: tuple[str, dict[str, Any]]) -> DescribeType:
    """What kind of picture it is, from the first place that says so. Raises InvalidInput naming it."""
    for place, values in places:
        for name in ("type", "image_type"):
            if values.get(name):
                return _checked_kind(values[name], (place, name))
    return DescribeType.PHOTO


def _checked_kind(value: Any, loc: tuple[str, str]) -> DescribeType:
    try:
        return _KIND.validate_python(value)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, loc) from None


def _fields(form: dict[str, Any], kind: DescribeType) -> dict[str, Any]:
    url = source(form.get("image"), ["body", "image"])
    if url is None:
        raise FieldError(["body", "image"], message="Field required")
    return {"endpoint": "describe", "image_url": url, "types": [kind]}
