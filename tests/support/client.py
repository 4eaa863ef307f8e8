"""A client of the platform's HTTP API, as a user's program would call it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from tests.support.platform import FINAL, Platform

Record = dict[str, Any]


class Client:
    """Calls of one endpoint; every method returns the decoded answer or raises requests.HTTPError."""

    def __init__(self, platform: Platform) -> None:
        self._url = platform.url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {platform.api_key}"
        self._session.trust_env = False

    def get(self, operation: str, **query: Any) -> Any:
        return self._answer(self._session.get(f"{self._url}/{operation}", params=query, timeout=120))

    def post(self, operation: str, body: Any = None) -> Any:
        return self._answer(self._session.post(f"{self._url}/{operation}", json=body, timeout=120))

    def run(self, input: Any, **envelope: Any) -> str:
        """Queue a job; return its id."""
        return str(self.post("run", {"input": input, **envelope})["id"])

    def status(self, job_id: str) -> Record:
        return self.get(f"status/{job_id}")

    def cancel(self, job_id: str) -> Record:
        return self.post(f"cancel/{job_id}")

    def result(self, job_id: str, timeout_s: float = 90.0) -> Record:
        """The status record of an ended job; fails the test when it does not end in time."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            record = self.get(f"status-sync/{job_id}", wait=max(1, round(left * 1000)))
            if record["status"] in FINAL:
                return record
        pytest.fail(f"The job did not end within {timeout_s:.0f} s")

    def done(self, input: Any, **envelope: Any) -> Record:
        """Queue a job and wait for its end."""
        return self.result(self.run(input, **envelope))

    @staticmethod
    def _answer(response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json()
