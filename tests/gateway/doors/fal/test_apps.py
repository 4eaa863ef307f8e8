"""Endpoint ids and request paths: what names a request, what an endpoint, and which app both belong to."""

from __future__ import annotations

import pytest

from gateway.doors.fal.apps import APP, ENDPOINTS, Action, RequestPath, app_of, request_path, streamed
from schemas.enums import Endpoint

ID = "0d8ffb7e-0a08-4f0b-8f8e-5a7b2c1d9e10"


@pytest.mark.parametrize("endpoint_id", [*ENDPOINTS, f"{APP}/inpaint/requests"])
def test_an_endpoint_names_no_request(endpoint_id: str) -> None:
    assert request_path(endpoint_id) is None


@pytest.mark.parametrize("before", [APP, f"{APP}/inpaint", f"{APP}/upscale-or-vary"])
@pytest.mark.parametrize(
    ("after", "action"),
    [
        ("", Action.RESULT),
        ("/response", Action.RESPONSE),
        ("/status", Action.STATUS),
        ("/status/stream", Action.STATUS_STREAM),
        ("/cancel", Action.CANCEL),
    ],
)
def test_a_request_is_named_with_and_without_the_endpoint_below_the_app(
    before: str, after: str, action: Action
) -> None:
    assert request_path(f"{before}/requests/{ID}{after}") == RequestPath(APP, ID, action)


@pytest.mark.parametrize("path", [f"{APP}/requests/", f"{APP}/requests/{ID}/nothing", f"{APP}/requests/{ID}/status/x"])
def test_other_paths_name_none(path: str) -> None:
    assert request_path(path) is None


def test_requests_of_other_apps_keep_their_app() -> None:
    asked = request_path(f"workflows/{APP}/requests/{ID}")
    assert asked is not None
    assert asked.app == f"workflows/{APP}" != app_of(f"{APP}/inpaint")


def test_every_endpoint_of_fal_s_has_an_id() -> None:
    ours = {Endpoint.DESCRIBE, Endpoint.ENHANCE, Endpoint.GENERATE_MASK}
    assert set(ENDPOINTS.values()) == set(Endpoint) - ours
    assert {app_of(endpoint_id) for endpoint_id in ENDPOINTS} == {APP}


def test_the_stream_of_an_endpoint() -> None:
    assert streamed(f"{APP}/inpaint/stream") == f"{APP}/inpaint"
    assert streamed(APP) is None
