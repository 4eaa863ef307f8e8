"""Whose request it is: keys, tokens that stand for one, and nothing for anyone else."""

from __future__ import annotations

import time

import pytest

from gateway.doors.fal.access import Scope, make_token
from gateway.keys import table
from gateway.keys.key import Principal
from tests.gateway.doors.fal.conftest import APP, KEY, Door
from tests.support.gateway import until

AUTH = {"Authorization": f"Key {KEY}"}


def token(locked: Door, scope: Scope, owner: str = "apikey", lives_s: int = 60) -> str:
    return make_token(locked.served.gateway, Principal(owner, 0, 0), scope, int(time.time()) + lives_s)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/queue/{APP}"),
        ("POST", "/queue/fal-ai/other"),
        ("GET", f"/queue/{APP}/requests/x/status"),
        ("GET", f"/queue/{APP}/requests/x/status/stream"),
        ("GET", f"/queue/{APP}/requests/x"),
        ("PUT", f"/queue/{APP}/requests/x/cancel"),
        ("POST", f"/run/{APP}"),
        ("POST", f"/run/{APP}/stream"),
        ("POST", "/rest/storage/upload/initiate"),
        ("POST", "/rest/storage/upload/initiate-multipart"),
        ("POST", "/rest/storage/auth/token"),
        ("POST", "/rest/tokens/"),
        ("POST", "/cdn/files/upload"),
        ("POST", "/cdn/files/upload/multipart"),
    ],
)
def test_without_a_key_nothing_opens(locked: Door, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Key wrong"}, {"Authorization": "Bearer fal_token_apikey.99999999999.00"}):
        reply = locked.http.request(method, path, headers=headers)
        assert reply.status_code == 401
        assert reply.json()["error_type"] == "unauthorized"
        assert reply.headers["x-fal-request-id"]


def test_the_key_opens_through_the_proxy_too(locked: Door) -> None:
    target = {"x-fal-target-url": f"https://queue.fal.run/{APP}"}
    assert locked.http.post("/api/fal/proxy", json={}, headers=target).status_code == 401
    assert locked.http.post("/api/fal/proxy", json={}, headers={**target, **AUTH}).status_code == 200


def test_another_keys_request_is_not_there(locked: Door) -> None:
    """Status, result, cancel and events answer as for an id that never was."""
    other = locked.served.run(table.add(locked.served.gateway.files.store, "other"))
    until(lambda: locked.http.post(f"/queue/{APP}", headers={"X-API-KEY": other}).status_code == 200)
    request_id = locked.submit(headers=AUTH)["request_id"]
    for method, action in (("GET", "/status"), ("GET", ""), ("PUT", "/cancel"), ("GET", "/status/stream")):
        foreign, unknown = (
            locked.http.request(method, f"/queue/{APP}/requests/{which}{action}", headers={"X-API-KEY": other})
            for which in (request_id, "00000000-0000-4000-8000-000000000000")
        )
        assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content) == (
            404, b'{"status":"NOT_FOUND"}',
        )  # fmt: skip
    assert locked.http.get(f"/queue/{APP}/requests/{request_id}/status", headers=AUTH).status_code == 202


def test_a_page_gets_a_token_for_a_while(locked: Door) -> None:
    asked = locked.http.post("/rest/tokens/", json={"allowed_apps": ["fooocus"], "token_expiration": 120}, headers=AUTH)
    given = asked.json()
    assert isinstance(given, str)
    opened = locked.http.post(f"/queue/{APP}", json={}, params={"fal_jwt_token": given})
    assert opened.status_code == 200
    assert locked.job(opened.json()["request_id"]).owner == "apikey"
    for wrong in (f"{given}0", token(locked, Scope.APPS, lives_s=-1), token(locked, Scope.CDN)):
        refused = locked.http.post(f"/queue/{APP}", json={}, params={"fal_jwt_token": wrong})
        assert refused.status_code == 401
    assert locked.http.post("/rest/tokens", json={"token_expiration": 10**9}, headers=AUTH).status_code == 422


def test_an_uploads_token_opens_uploads_only(locked: Door) -> None:
    told = locked.http.post("/rest/storage/auth/token", json={}, headers=AUTH).json()
    assert told["expires_at"].endswith("+00:00")
    assert told["base_url"] == f"{locked.served.url}/cdn"
    auth = {"Authorization": f"{told['token_type']} {told['token']}"}
    stored = locked.http.post("/cdn/files/upload", content=b"abc", headers=auth)
    assert locked.http.get(stored.json()["access_url"]).content == b"abc"
    assert locked.http.post(f"/queue/{APP}", json={}, headers=auth).status_code == 401


def test_a_token_ends_with_its_key(locked: Door) -> None:
    stale = token(locked, Scope.CDN, owner="revoked")
    reply = locked.http.post("/cdn/files/upload", content=b"abc", headers={"Authorization": f"Bearer {stale}"})
    assert reply.status_code == 401
