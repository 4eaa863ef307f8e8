"""RunPod's client API of one endpoint (https://docs.runpod.io/serverless/endpoints/operation-reference)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import certifi
import httpx2

from gateway.fleet.runpod.errors import Denied, EndpointError, Gone, Refused, Unavailable
from gateway.fleet.runpod.pace import Lane
from gateway.fleet.runpod.record import Record, read_record

TIMEOUT_S = 30.0
"""For one whole exchange."""

MAX_ANSWER = 64 * 2**20
"""Bytes of an answer; the platform's own limit is far below."""

PAUSE_S = 2.0
"""After a 429 without `Retry-After`; the platform counts over ten seconds."""

MAX_PAUSE_S = 60.0

_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")
_REFUSALS = (400, 413, 422)
_DENIED = {401: "it refused the API key", 403: "it refused the API key"}


class Client:
    """Calls one endpoint, within half of the rates the platform allows an endpoint: others may use it too.

    Every method raises Unavailable and Denied; nothing of what the other side said is repeated in their texts.
    """

    def __init__(self, base_url: str, endpoint: str, key: str) -> None:
        self._http = httpx2.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/{endpoint}/",
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=TIMEOUT_S, follow_redirects=False, trust_env=False,
            verify=ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where()),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
        )  # fmt: skip
        self._lanes = {"run": Lane(50, 100), "status": Lane(100, 200), "cancel": Lane(5, 10), "health": Lane(1, 1)}

    async def run(self, body: bytes) -> str:
        """Submit a job; its id at the endpoint. Raises Refused."""
        told = await self._endpoint_call("POST", "run", body)
        remote = told.get("id")
        if not isinstance(remote, str) or not _ID.fullmatch(remote):
            raise Unavailable("it answered without a job id")
        return remote

    async def status(self, remote: str) -> Record:
        """Where a job is. Raises Gone."""
        record = read_record(await self._call("GET", f"status/{remote}"))
        if record is None:
            raise Unavailable("it answered without a status")
        return record

    async def cancel(self, remote: str) -> None:
        """Cancel a job; one that has ended stays as it is. Raises Gone."""
        try:
            await self._call("POST", f"cancel/{remote}")
        except Refused:
            return

    async def health(self) -> Mapping[str, Any]:
        """`jobs` and `workers` in numbers, by state."""
        return await self._endpoint_call("GET", "health")

    async def close(self) -> None:
        await self._http.aclose()

    async def _endpoint_call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        try:
            return await self._call(method, path, body)
        except Gone:
            raise Denied("there is no endpoint of this id") from None

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        lane = self._lanes[path.partition("/")[0]]
        async with lane:
            status, headers, data = await self._exchange(method, path, body)
        if status == 429:
            seconds = _retry_after(headers.get("retry-after"))
            lane.pause(PAUSE_S if seconds is None else seconds)
            raise Unavailable("it takes no more calls for now", seconds)
        if not 200 <= status < 300:
            raise _error(status, _retry_after(headers.get("retry-after")))
        return _json(data)

    async def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with asyncio.timeout(TIMEOUT_S), self._http.stream(method, path, content=body) as response:
                return response.status_code, response.headers, await _read(response)
        except TimeoutError:
            raise Unavailable(f"no answer within {TIMEOUT_S:g} s") from None
        except httpx2.HTTPError as error:
            failed = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            raise Unavailable("it cannot be reached" if failed else "the connection broke") from None


async def _read(response: httpx2.Response) -> bytes:
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > MAX_ANSWER:
            raise Unavailable(f"it answered with more than {MAX_ANSWER} bytes")
    return bytes(data)


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Unavailable("it answered with something that is no JSON object")
    return body


def _error(status: int, retry_after_s: float | None) -> EndpointError:
    if status in _DENIED:
        return Denied(_DENIED[status])
    if status == 404:
        return Gone("it knows no such job")
    if status in _REFUSALS:
        return Refused(status)
    if 300 <= status < 400:
        return Denied("it leads elsewhere: check the base URL")
    return Unavailable(f"it answered HTTP {status}", retry_after_s)


def _retry_after(text: str | None) -> float | None:
    """Seconds from a `Retry-After` header, which holds seconds or a date; at most MAX_PAUSE_S."""
    if text is None:
        return None
    try:
        seconds = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), MAX_PAUSE_S)
