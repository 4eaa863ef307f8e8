"""`/docs` names every call of the doors that `/openapi.json` has, and its examples are calls that exist."""

from __future__ import annotations

import re
import shlex

import httpx2
import pytest

from gateway.doors.guide.sections import SECTIONS, Section
from tests.support.gateway_thread import ServedGateway


@pytest.fixture(scope="module")
def http(served: ServedGateway) -> httpx2.Client:
    return httpx2.Client(base_url=served.url, trust_env=False, timeout=60)


def test_every_route_is_told(http: httpx2.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    told = {(call.method, call.path) for section in SECTIONS for call in section.calls}
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert len(routes) > 25
    assert routes - told == set()


def test_the_page_shows_this_address(http: httpx2.Client, served: ServedGateway) -> None:
    answer = http.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert f"curl -s {served.url}/run/fal-ai/fooocus" in answer.text
    assert "BASE" not in answer.text
    assert http.get("/guide.css").status_code == 200


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_simple_calls_answer(http: httpx2.Client, section: Section) -> None:
    for call in section.calls:
        if call.method == "GET" and "{" not in call.path:
            status = http.get(call.path).status_code
            assert status in (200, 422, 503), (call.path, status)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_an_example_calls_a_path_that_is_told(section: Section) -> None:
    (url,) = [word for word in shlex.split(section.example) if word.startswith("BASE")]
    path = url.removeprefix("BASE")
    patterns = [re.sub(r"\{\w+\}", "[^/]+", call.path) for call in section.calls]
    assert any(re.fullmatch(pattern, path) for pattern in patterns)
