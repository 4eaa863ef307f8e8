"""fal's endpoint ids: what is called, and which request of which app a path names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.enums import Endpoint

APP = "fal-ai/fooocus"

ENDPOINTS = {
    APP: Endpoint.TEXT_TO_IMAGE,
    f"{APP}/inpaint": Endpoint.INPAINT,
    f"{APP}/image-prompt": Endpoint.IMAGE_PROMPT,
    f"{APP}/upscale-or-vary": Endpoint.UPSCALE_OR_VARY,
}
"""Every endpoint id this gateway answers to, and the endpoint of the canonical request it stands for."""

STREAM = "stream"
"""Last part of an endpoint id that asks for the events of a run."""


class Action(StrEnum):
    """What is asked of a request in the queue: the path after its id."""

    RESULT = ""
    RESPONSE = "response"
    """Some of fal's pages give the result this name."""
    STATUS = "status"
    STATUS_STREAM = "status/stream"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class RequestPath:
    """`{owner}/{alias}[/{path}]/requests/{id}[/{action}]`. Ids are unique per app, so `path` may be there or not."""

    app: str
    request_id: str
    action: Action


def request_path(path: str) -> RequestPath | None:
    """Read the path below the queue's root, without its first slash; None when it names no request.

    `requests` is looked for before the rest is taken for an endpoint id, as it may follow any of them.
    """
    before, found, after = path.partition("/requests/")
    endpoint_id, (request_id, _, action) = before.removesuffix("/"), after.partition("/")
    if not found or not request_id or action not in Action.__members__.values():
        return None
    return RequestPath(app_of(endpoint_id), request_id, Action(action))


def app_of(endpoint_id: str) -> str:
    """The app an endpoint belongs to: `fal-ai/fooocus` of `fal-ai/fooocus/inpaint`; other ids unchanged."""
    return APP if endpoint_id in ENDPOINTS else endpoint_id


def streamed(endpoint_id: str) -> str | None:
    """The endpoint whose events `{endpoint_id}/stream` asks for; None when the id does not end so."""
    before, _, last = endpoint_id.rpartition("/")
    return before if last == STREAM else None
