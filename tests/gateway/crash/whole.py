"""kill -9 of a whole gateway and of its workers: real processes, driven over HTTP alone.

One worker belongs to the gateway, which starts it again; the other joined from outside, and outlives the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import httpx2

from tests.gateway.crash.report import Report
from tests.gateway.crash.told import LEASE_S, MAX_ATTEMPTS, Told
from tests.gateway.webhooks.receivers import Receiver, receiving
from tests.support.gateway import GatewayProcess, RemoteWorker
from tests.support.local_workers import main_process

PAPER = ("-u", "-m", "tests.support.paper_worker")
URL = "/queue/fal-ai/fooocus"
AT_ONCE = 6
"""Jobs that wait or run at a time."""
SETTLE_S = 180.0
LONGEST_S = 1.5
VICTIMS = ("gateway", "local", "remote")

PLANTED = "from tests.gateway.crash.bugs import BUGS\n\nBUGS[{!r}]()\n"


class Site:
    """One gateway with its two workers, and what its clients were told."""

    def __init__(
        self, home: Path, rng: random.Random, receiver: Receiver, bug: str = "none", at_once: int = AT_ONCE
    ) -> None:
        self.told = Told()
        self.report = Report("kill -9 all", bug)
        self._home = home
        self._rng = rng
        self._receiver = receiver
        self._at_once = at_once
        self._run = 0
        self._names = count(1)
        self._remotes: list[RemoteWorker] = []
        self.gateway = GatewayProcess(home / "gateway", ("--workers", "1"), self._environment(bug))

    def _environment(self, bug: str) -> dict[str, str]:
        environment = {
            "GATEWAY_WORKER_COMMAND": json.dumps([sys.executable, *PAPER]),
            "GATEWAY_LEASE_S": str(LEASE_S),
            "GATEWAY_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
            "GATEWAY_ALLOW_PRIVATE_WEBHOOKS": "1",
            "GATEWAY_WEBHOOK_FIRST_DELAY_S": "0.5",
        }
        if bug != "none":
            self._home.mkdir(exist_ok=True)
            (self._home / "sitecustomize.py").write_text(PLANTED.format(bug), "utf-8")
            environment["PYTHONPATH"] = os.pathsep.join([str(self._home), str(Path(__file__).parents[3])])
        return environment

    def start(self) -> None:
        """Start the gateway, or start it again."""
        begun = time.monotonic()
        self.gateway.start()
        self._run += 1
        self.report.restarts_s.append(time.monotonic() - begun)

    def join(self) -> None:
        """Start a worker outside, under a name of its own; what is left of a killed one goes on claiming its job."""
        name = f"remote-{next(self._names)}"
        self._remotes.append(RemoteWorker(self.gateway, self._home / name, name, PAPER))
        self._remotes[-1].start()

    def end(self) -> None:
        self.gateway.end()
        for remote in self._remotes:
            remote.end()

    def kill(self, victim: str) -> None:
        """End one of the three as a crash does, and start it again."""
        self.report.crashes += 1
        if victim == "gateway":
            self.gateway.kill()
            self.start()
        elif victim == "remote":
            self._remotes[-1].kill()
            self.join()
        elif (pid := main_process(self.gateway.data, 1)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def load(self, *, submitting: bool) -> AsyncIterator[None]:
        """Clients submit, and ask for the status of everything, meanwhile."""
        async with httpx2.AsyncClient(base_url=self.gateway.url, trust_env=False, timeout=30) as http:
            tasks = [asyncio.create_task(self._watch(http))]
            tasks += [asyncio.create_task(self._submit(http))] if submitting else []
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _submit(self, http: httpx2.AsyncClient) -> None:
        while True:
            await asyncio.sleep(0.05 * self._rng.random())
            if len(self.told.open()) < self._at_once:
                asked = {"prompt": f"{self._rng.uniform(0.1, 2):.1f} seconds"}
                with contextlib.suppress(httpx2.TransportError):
                    hook = {"fal_webhook": f"{self._receiver.url}/hook"}
                    answer = await http.post(URL, json=asked, params=hook)
                    if answer.status_code == 200:
                        self.told.accepted.add(answer.json()["request_id"])

    async def _watch(self, http: httpx2.AsyncClient) -> None:
        while True:
            await asyncio.sleep(0.1)
            with contextlib.suppress(httpx2.TransportError):
                for job_id in self.told.open():
                    await self._look(http, job_id)

    async def _look(self, http: httpx2.AsyncClient, job_id: str) -> None:
        run, url = self._run, f"{URL}/requests/{job_id}"
        status = await http.get(f"{url}/status", params={"logs": "1"})
        self.told.status(job_id, run, time.monotonic(), status.status_code, status.json())
        if status.json().get("status") == "COMPLETED":
            result = await http.get(url)
            self.told.result(job_id, result.status_code, result.json())

    async def settle(self) -> None:
        """Wait until everything has ended and been told; look at every picture, then into the store."""
        async with self.load(submitting=False):
            await _until(lambda: not self.told.open())
        for job_id in self.told.open():
            self.told.breach(f"{job_id} does not end")
        await _until(lambda: self.told.accepted <= self._told_of())
        self.told.webhooks(self._receiver.of("/hook"))
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            for job_id, url in self.told.ended.items():
                if url:
                    picture = await http.get(url)
                    self.told.picture(job_id, picture.status_code, picture.content)

    def _told_of(self) -> set[str]:
        return {json.loads(call.body)["request_id"] for call in self._receiver.of("/hook")}

    def summary(self) -> Report:
        self.told.stored(self.gateway.data)
        self.report.accepted = len(self.told.accepted)
        self.report.results = sum(bool(url) for url in self.told.ended.values())
        self.report.breaches = list(self.told.breaches)
        return self.report


async def _until(ready: Callable[[], bool]) -> None:
    """Return once `ready()`, or when SETTLE_S are over."""
    deadline = time.monotonic() + SETTLE_S
    while not ready() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


def victims(rng: random.Random) -> Iterator[str]:
    """Each in its turn, in an order that changes."""
    while True:
        yield from rng.sample(VICTIMS, len(VICTIMS))


async def kill_all(folder: Path, crashes: int, seed: int) -> Report:
    """Kill `crashes` times, each time after the next job has ended and some more; then see that all is well."""
    rng = random.Random(seed)
    with receiving() as receiver:
        site = Site(folder, rng, receiver)
        try:
            await _start(site)
            async with site.load(submitting=True):
                for _, victim in zip(range(crashes), victims(rng), strict=False):
                    ended = len(site.told.ended)
                    await _until(lambda ended=ended: len(site.told.ended) > ended)
                    await asyncio.sleep(rng.uniform(0, LONGEST_S))
                    await asyncio.to_thread(site.kill, victim)
            await site.settle()
        finally:
            site.end()
    return site.summary()


async def planted(folder: Path, crashes: int, seed: int, bug: str) -> Report:
    """Kill a gateway with a planted bug, under many submits, until the bug is seen, at most `crashes` times."""
    rng = random.Random(seed)
    with receiving() as receiver:
        site = Site(folder, rng, receiver, bug, at_once=1000)
        try:
            await _start(site)
            async with site.load(submitting=True):
                while site.report.crashes < crashes and not site.told.breaches:
                    await asyncio.sleep(rng.uniform(0.5, LONGEST_S))
                    await asyncio.to_thread(site.kill, "gateway")
                    await asyncio.sleep(1)
        finally:
            site.end()
    return site.summary()


async def _start(site: Site) -> None:
    await asyncio.to_thread(site.start)
    site.join()
