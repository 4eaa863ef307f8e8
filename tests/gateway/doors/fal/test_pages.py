"""What pages of other origins may do, and the documents of the door: schemas of the endpoints, keys of the webhooks."""

from __future__ import annotations

import pytest

from gateway.doors.fal.apps import ENDPOINTS
from tests.gateway.doors.fal.conftest import APP, KEY, Door

ORIGIN = {"Origin": "http://localhost:3000"}
SENT = (
    "authorization", "content-type", "accept", "x-fal-target-url", "x-fal-queue-priority", "x-fal-runner-hint",
    "x-fal-request-timeout", "x-fal-object-lifecycle", "x-fal-object-lifecycle-preference", "x-fal-store-io",
    "x-fal-no-retry",
)  # fmt: skip
"""Every header fal's client sends from a page."""

NEEDED = ("x-fal-request-id", "x-fal-request-timeout-type", "x-fal-error-type", "x-fal-retryable")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/fal/proxy"),
        ("PUT", "/api/fal/proxy"),
        ("POST", f"/queue/{APP}"),
        ("PUT", f"/queue/{APP}/requests/x/cancel"),
        ("POST", "/rest/storage/upload/initiate"),
        ("PUT", "/cdn/uploads/x"),
        ("GET", "/files/x/a.png"),
    ],
)
def test_a_preflight_allows_every_header_by_name(door: Door, method: str, path: str) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ", ".join(SENT)}
    reply = door.http.options(path, headers={**ORIGIN, **asked})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])
    allowed = {name.strip().lower() for name in reply.headers["access-control-allow-headers"].split(",")}
    assert allowed >= set(SENT), "a star would not cover authorization"
    assert method in reply.headers["access-control-allow-methods"]


def test_a_page_can_read_what_the_client_needs(door: Door) -> None:
    reply = door.http.post(f"/queue/{APP}", json={}, headers=ORIGIN)
    exposed = {name.strip().lower() for name in reply.headers["access-control-expose-headers"].split(",")}
    assert exposed >= set(NEEDED)
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origin", ["https://example.com", "null", "http://localhost.example.com", "http://[::1"])
def test_without_keys_foreign_pages_get_nothing(door: Door, locked: Door, origin: str) -> None:
    """Not even by a request that needs no preflight; with a key, the key decides."""
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    refused = door.http.post(f"/run/{APP}", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["error_type"]) == (403, "origin_refused")
    keyed = locked.http.post(f"/queue/{APP}", content=b"{}", headers={**headers, "Authorization": f"Key {KEY}"})
    assert keyed.status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", None])
def test_pages_of_this_machine_and_programs_are_served(door: Door, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert door.http.post(f"/queue/{APP}", json={}, headers=headers).status_code == 200


@pytest.mark.parametrize("mode", ["no-cors", "navigate"])
def test_an_image_or_link_in_a_foreign_page_submits_nothing(door: Door, mode: str) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
    assert door.http.get(f"/queue/{APP}", params={"prompt": "x"}, headers=foreign).status_code == 400
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    assert door.http.get(f"/queue/{APP}", params={"prompt": "x"}, headers=typed).status_code == 200


@pytest.mark.parametrize("endpoint_id", ENDPOINTS)
def test_every_endpoint_is_described(door: Door, endpoint_id: str) -> None:
    document = door.http.get("/api/openapi/queue/openapi.json", params={"endpoint_id": endpoint_id}).json()
    assert document["servers"] == [{"url": f"{door.served.url}/queue"}]
    taken = document["paths"][f"/{endpoint_id}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    given = document["paths"][f"/{APP}/requests/{{request_id}}"]["get"]["responses"]["200"]
    assert taken["x-fal-order-properties"][:2] == ["prompt", "negative_prompt"]
    output = given["content"]["application/json"]["schema"]
    assert set(output["properties"]) == set(output["required"]) == {"images", "timings", "has_nsfw_concepts"}
    required = {APP: [], f"{APP}/inpaint": ["inpaint_image_url"], f"{APP}/image-prompt": ["image_prompt_1"]}
    assert taken.get("required", []) == required.get(endpoint_id, ["uov_image_url"])


def test_other_endpoints_are_not_described(door: Door) -> None:
    assert door.http.get("/api/openapi/queue/openapi.json", params={"endpoint_id": "fal-ai/other"}).status_code == 404


def test_the_keys_of_webhooks_are_padded(door: Door) -> None:
    """fal's published sample for receivers cannot read others."""
    keys = door.http.get("/rest/.well-known/jwks.json").json()["keys"]
    assert keys
    for key in keys:
        assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
        assert len(key["x"]) % 4 == 0
