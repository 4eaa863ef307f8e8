"""RunPod's side of the worker protocol and the client API over it, as one small server for tests.

For workers, below `/v2/<endpoint>/`:

    GET  job-take/<worker>            one job; held until there is one, 204 after `hold_s`
    GET  job-take-batch/<worker>      up to `batch_size` jobs in a list; held likewise
    GET  job-stop/<worker>            `{"jobsToStop": [id, …]}`; held likewise
    POST job-done/<worker>/<job>      the result; progress of a running job when the body has a `status`
    POST job-stream/<worker>/<job>    one chunk of a generator's output
    GET  ping/<worker>                heartbeat

For clients: POST run, runsync, cancel/<job>, retry/<job>, purge-queue; GET status/<job>, status-sync/<job>,
stream/<job>, health.

The SDK appends `&name=value` to its URL templates whether or not they hold a `?`, so both shapes are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support.platform_jobs import FINAL, Job, Jobs

PASSED_ON = ("s3Config", "uploadUrl", "uploadToken", "webhook")
"""Keys of a client's envelope that reach the worker beside `id` and `input`."""


@dataclass
class Call:
    """One request as it came. `operation` is the path's, but "progress" for job-done with a `status`."""

    at: float
    method: str
    operation: str
    names: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    text: str
    body: Any
    status: int = 0


class UnknownJob(Exception):
    """The path names no job of this endpoint."""


Answer = Callable[["Platform", Call], Awaitable[web.Response]]


class Platform:
    """The server. `calls` is every request in order of arrival; `force` makes coming ones fail.

    `delays` is by operation how many seconds every answer takes longer.
    """

    def __init__(self, *, api_key: str = "test", hold_s: float = 20.0, max_body: int = 10_000_000) -> None:
        self.api_key = api_key
        self.hold_s = hold_s
        self.max_body = max_body
        self.url = ""
        self.jobs = Jobs()
        self.calls: list[Call] = []
        self.delays: defaultdict[str, float] = defaultdict(float)
        self._forced: defaultdict[str, deque[int]] = defaultdict(deque)

    def force(self, operation: str, *statuses: int) -> None:
        """Answer the next requests for `operation` with these statuses, without effect."""
        self._forced[operation].extend(statuses)

    def seen(self, operation: str, *names: str) -> list[Call]:
        """The requests for `operation` whose path goes on with `names`."""
        wanted = list(names)
        calls = [call for call in self.calls if call.operation == operation]
        return [call for call in calls if call.names[: len(wanted)] == wanted]

    async def start(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        # A poll whose worker is gone must not swallow a job.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v2/test"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        call = _read(request, await request.text())
        self.calls.append(call)
        response = await self._respond(call)
        call.status = response.status
        return response

    async def _respond(self, call: Call) -> web.Response:
        await asyncio.sleep(self.delays[call.operation])
        if self._forced[call.operation]:
            return web.Response(status=self._forced[call.operation].popleft())
        if call.headers.get("Authorization", "").removeprefix("Bearer ") != self.api_key:
            return web.json_response({"error": "Unauthorized"}, status=401)
        answer = ANSWERS.get((call.method, call.operation))
        if answer is None:
            return web.json_response({"error": "Not found"}, status=404)
        try:
            return await answer(self, call)
        except UnknownJob:
            return web.json_response({"error": "job not found"}, status=404)

    async def take(self, call: Call) -> web.Response:
        jobs = await self.jobs.take(call.names[0], 1, self.hold_s)
        return web.json_response(jobs[0].for_worker()) if jobs else web.Response(status=204)

    async def take_batch(self, call: Call) -> web.Response:
        jobs = await self.jobs.take(call.names[0], int(call.query["batch_size"]), self.hold_s)
        return web.json_response([job.for_worker() for job in jobs]) if jobs else web.Response(status=204)

    async def stops(self, call: Call) -> web.Response:
        ids = await self.jobs.take_stops(call.names[0], self.hold_s)
        return web.json_response({"jobsToStop": ids}) if ids else web.Response(status=204)

    async def ping(self, call: Call) -> web.Response:
        return web.Response()

    async def worker_post(self, call: Call) -> web.Response:
        """A result, a progress report or a chunk; after the job's end it changes nothing."""
        job = self._job(call)
        if len(call.text.encode()) > self.max_body or not isinstance(call.body, dict):
            return web.Response(status=400)
        if job.status in FINAL:
            job.late.append(call.body)
        elif call.operation == "progress":
            job.progress.append(call.body.get("output"))
            job.output = call.body.get("output")
        elif call.operation == "job-stream":
            job.chunks.append(call.body)
        else:
            await self.jobs.finish(job, call.body)
        return web.json_response({})

    async def run(self, call: Call) -> web.Response:
        if not isinstance(call.body, dict) or "input" not in call.body:
            return web.json_response({"error": "input is required"}, status=400)
        extras = {name: call.body[name] for name in PASSED_ON if name in call.body}
        prefix = "sync-" if call.operation == "runsync" else ""
        job = await self.jobs.submit(prefix, call.body["input"], extras)
        if call.operation == "runsync":
            await self._until_final(job, call)
        return web.json_response(job.record())

    async def status(self, call: Call) -> web.Response:
        return web.json_response(self._job(call).record())

    async def status_sync(self, call: Call) -> web.Response:
        await self._until_final(self._job(call), call)
        return await self.status(call)

    async def stream(self, call: Call) -> web.Response:
        """The chunks since the last call."""
        job = self._job(call)
        chunks, job.chunks = job.chunks, []
        return web.json_response({"status": job.status, "stream": chunks})

    async def cancel(self, call: Call) -> web.Response:
        await self.jobs.cancel(self._job(call))
        return await self.status(call)

    async def retry(self, call: Call) -> web.Response:
        job = self._job(call)
        if job.status not in ("FAILED", "TIMED_OUT"):
            return web.json_response({"error": "only failed jobs can be retried"}, status=400)
        await self.jobs.retry(job)
        return await self.status(call)

    async def purge(self, call: Call) -> web.Response:
        return web.json_response({"removed": await self.jobs.purge(), "status": "completed"})

    async def health(self, call: Call) -> web.Response:
        count = Counter(job.status for job in self.jobs.by_id.values())
        workers = {seen.names[0] for seen in self.calls if seen.operation.startswith("job-take")}
        busy = {job.worker for job in self.jobs.by_id.values() if job.status == "IN_PROGRESS"}
        jobs = {
            "completed": count["COMPLETED"],
            "failed": count["FAILED"],
            "inProgress": count["IN_PROGRESS"],
            "inQueue": count["IN_QUEUE"],
            "retried": self.jobs.retried,
        }
        states = {"idle": len(workers - busy), "running": len(busy), "ready": len(workers)}
        return web.json_response({"jobs": jobs, "workers": {**states, "initializing": 0, "throttled": 0}})

    async def _until_final(self, job: Job, call: Call) -> None:
        await self.jobs.until(lambda: job.status in FINAL, int(call.query.get("wait", 90_000)) / 1000)

    def _job(self, call: Call) -> Job:
        job = self.jobs.by_id.get(call.names[-1]) if call.names else None
        if job is None:
            raise UnknownJob
        return job


ANSWERS: dict[tuple[str, str], Answer] = {
    ("GET", "job-take"): Platform.take,
    ("GET", "job-take-batch"): Platform.take_batch,
    ("GET", "job-stop"): Platform.stops,
    ("GET", "ping"): Platform.ping,
    ("POST", "job-done"): Platform.worker_post,
    ("POST", "progress"): Platform.worker_post,
    ("POST", "job-stream"): Platform.worker_post,
    ("POST", "run"): Platform.run,
    ("POST", "runsync"): Platform.run,
    ("GET", "status"): Platform.status,
    ("GET", "status-sync"): Platform.status_sync,
    ("GET", "stream"): Platform.stream,
    ("POST", "cancel"): Platform.cancel,
    ("POST", "retry"): Platform.retry,
    ("POST", "purge-queue"): Platform.purge,
    ("GET", "health"): Platform.health,
}


def _read(request: web.Request, text: str) -> Call:
    path, _, appended = request.path.partition("&")
    _, _, operation, *names = [*path.strip("/").split("/"), "", ""]
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if operation == "job-done" and isinstance(body, dict) and "status" in body:
        operation = "progress"
    names = [name for name in names if name]
    query = {**request.query, **dict(parse_qsl(appended))}
    return Call(time.monotonic(), request.method, operation, names, query, dict(request.headers), text, body)


@contextlib.contextmanager
def serving(platform: Platform) -> Iterator[Platform]:
    """Run `platform` in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="platform", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(platform.start(), loop).result(60)
        yield platform
        asyncio.run_coroutine_threadsafe(platform.stop(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
