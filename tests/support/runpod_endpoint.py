"""A RunPod Serverless endpoint as its client API shows it: documented limits, and faults on demand.

No worker is behind it: a test says what becomes of each job, or `output` does: then every job has it when it is first
asked for. `faults["status"]` and so on hold what the next calls of
an operation meet, one each. `/bucket/<name>` serves what a test put into `bucket`.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.rates import Rates

KEY = "rpa_SECRETKEYOFTHETESTS"
ENDPOINT = "ab12cd34"
MAX_BODY = 10_000_000
RETENTION_S = 30 * 60
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


@dataclass
class Fault:
    """status: answered without doing anything, with `headers`. 0: no answer, the connection is closed, after doing it
    when `acts`. after_s: waits first."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    acts: bool = False
    after_s: float = 0.0
    body: bytes = b"<html>not for your eyes</html>"


@dataclass
class StubJob:
    """What `/run` was given, and where it stands."""

    id: str
    body: dict[str, Any]
    shown: dict[str, Any]
    ended_at: float | None = None


@dataclass
class Call:
    """One request. at: monotonic seconds."""

    operation: str
    job: str
    headers: dict[str, str]
    at: float


@dataclass
class RunpodStub:
    """The endpoint. `only`: the keys `/run` takes beside `input`; None: any. aged_s: how far its clock is ahead.

    output: what every job ends with, unless it is None. rates: what it grants; other calls are answered with 429.
    """

    url: str = ""
    jobs: dict[str, StubJob] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    bucket: dict[str, bytes] = field(default_factory=dict)
    only: set[str] | None = None
    aged_s: float = 0.0
    output: dict[str, Any] | None = None
    rates: Rates = field(default_factory=Rates)

    def reset(self) -> None:
        """As it was at its start, its address apart."""
        fresh = RunpodStub(self.url)
        self.__dict__.update(fresh.__dict__)

    def of(self, operation: str) -> list[Call]:
        return [call for call in list(self.calls) if call.operation == operation]

    def newest(self) -> StubJob:
        return list(self.jobs.values())[-1]

    def show(self, job: StubJob, status: str, **more: Any) -> None:
        """Let `/status` say this of a job from now on."""
        shown = {"id": job.id, "status": status, **more}
        job.ended_at = time.monotonic() + self.aged_s if status in FINAL else None
        job.shown = shown

    def answer(self, operation: str, job_id: str, data: bytes) -> tuple[int, Any]:
        """(status, body) of a call that meets no fault."""
        if operation == "run":
            return self._run(data)
        if operation == "health":
            return 200, {"jobs": {"inQueue": 3}, "workers": {"idle": 1, "throttled": 2}}
        job = self.jobs.get(job_id)
        kept = job is not None and (
            job.ended_at is None or time.monotonic() + self.aged_s - job.ended_at < RETENTION_S
        )
        if job is None or not kept:
            return 404, {"error": "job not found"}
        if operation == "status" and job.ended_at is None and self.output is not None:
            self.show(job, "COMPLETED", output=self.output)
        if operation == "cancel" and job.ended_at is None:
            self.show(job, "CANCELLED")
        return 200, job.shown

    def _run(self, data: bytes) -> tuple[int, Any]:
        if len(data) > MAX_BODY:
            return 400, {"error": "body too large"}
        body = json.loads(data)
        if self.only is not None and not body.keys() <= {"input", *self.only}:
            return 400, {"error": "unknown field"}
        job = StubJob(f"{uuid.uuid4()}-e1", body, {})
        self.show(job, "IN_QUEUE")
        self.jobs[job.id] = job
        return 200, {"id": job.id, "status": "IN_QUEUE"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        stub: RunpodStub = self.server.stub
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [*self.path.partition("?")[0].strip("/").split("/"), "", ""]
        if parts[0] == "bucket":
            found = stub.bucket.get(parts[1])
            self._send(200 if found is not None else 404, found or b"", {"Content-Type": "image/png"})
        elif parts[:2] != ["v2", ENDPOINT]:
            self._json(404, {"error": "endpoint not found"})
        else:
            self._call(stub, parts[2], parts[3], data)

    def _call(self, stub: RunpodStub, operation: str, job: str, data: bytes) -> None:
        rates = stub.rates
        if not rates.begin(operation, time.monotonic()):
            self._json(429, {"error": "too many requests"})
            return
        try:
            self._answer(stub, operation, job, data)
        finally:
            rates.end(operation)

    def _answer(self, stub: RunpodStub, operation: str, job: str, data: bytes) -> None:
        stub.calls.append(Call(operation, job, dict(self.headers), time.monotonic()))
        fault = stub.faults[operation].popleft() if stub.faults[operation] else None
        if fault is not None:
            time.sleep(fault.after_s)
        if fault is not None and fault.status:
            self._send(fault.status, fault.body, fault.headers)
        elif fault is None or fault.acts:
            right = self.headers["Authorization"] == f"Bearer {KEY}"
            status, body = stub.answer(operation, job, data) if right else (401, {})
            if fault is None or fault.after_s:
                self._json(status, body)
            else:
                self.close_connection = True
        else:
            self.close_connection = True

    def _json(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


@contextlib.contextmanager
def serving_runpod() -> Iterator[RunpodStub]:
    """A stub behind a free port."""
    stub = RunpodStub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.stub = stub  # type: ignore[attr-defined]
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
