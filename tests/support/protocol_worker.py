"""A worker of few words: each call of RunPod's worker protocol by hand, to say what no real worker says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.gateway_thread import ServedGateway

CLIENT = httpx2.Client(timeout=30, trust_env=False)


@dataclass
class ProtocolWorker:
    """Calls the gateway as a worker of this name. `mark` stands between path and parameters: `?`, or `&` as the SDK
    does with a template that has no `?`."""

    served: ServedGateway
    name: str
    mark: str = "?"
    token: str | None = None

    def call(self, method: str, operation: str, lease: str = "", **sent: Any) -> httpx2.Response:
        """sent: `query`, a text, and `body`, any JSON or bytes."""
        path = f"{self.served.url}/worker/v2/fooocus/{operation}/{self.name}" + (f"/{lease}" if lease else "")
        query, body = sent.get("query"), sent.get("body")
        data = body if isinstance(body, bytes | None) else json.dumps(body, ensure_ascii=False).encode()
        token = self.served.gateway.fleet.tokens.of(self.name) if self.token is None else self.token
        headers = {"Authorization": token, "Content-Type": "application/x-www-form-urlencoded"}
        url = path + (f"{self.mark}{query}" if query else "")
        return CLIENT.request(method, url, content=data, headers=headers)

    def take(self) -> dict[str, Any] | None:
        answer = self.call("GET", "job-take", query="job_in_progress=0")
        return answer.json() if answer.status_code == 200 else None

    def must_take(self) -> dict[str, Any]:
        job = self.take()
        assert job is not None, "There was no job."
        return job

    def batch(self, size: int) -> list[dict[str, Any]]:
        answer = self.call("GET", "job-take-batch", query=f"batch_size={size}&job_in_progress=0")
        return answer.json() if answer.status_code == 200 else []

    def stops(self) -> list[str]:
        answer = self.call("GET", "job-stop", query="job_in_progress=1")
        return answer.json()["jobsToStop"] if answer.status_code == 200 else []

    def done(self, lease: str, body: Any) -> httpx2.Response:
        return self.call("POST", "job-done", lease, query="isStream=false", body=body)

    def progress(self, lease: str, output: Any) -> httpx2.Response:
        return self.done(lease, {"status": "IN_PROGRESS", "output": output})

    def ping(self, *leases: str) -> httpx2.Response:
        return self.call("GET", "ping", query=f"job_id={','.join(leases)}&runpod_version=1.12.0" if leases else None)
