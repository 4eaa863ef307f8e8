"""What happens to live jobs, for those who look on: states, log lines, progress. All bounded, all in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from gateway.jobs.model import Job, LogLine, Progress

Event = Job | Progress | LogLine

MAX_PENDING = 256
"""Events kept for one watcher that does not keep up."""

TRUNCATED = "The log is full: further lines are not kept"


class Watcher:
    """One onlooker's unread events. When full, old progress goes first, then old log lines; states never go."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._ended = False

    def push(self, event: Event) -> None:
        if isinstance(event, Progress) and self._events and isinstance(self._events[-1], Progress):
            self._events.pop()
        self._events.append(event)
        if len(self._events) > MAX_PENDING:
            self._drop_one()
        self._ready.set()

    def end(self) -> None:
        self._ended = True
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._ended:
                return
            self._ready.clear()
            await self._ready.wait()

    def _drop_one(self) -> None:
        for kind in (Progress, LogLine):
            for index, event in enumerate(self._events):
                if isinstance(event, kind):
                    del self._events[index]
                    return


@dataclass(slots=True)
class _Live:
    """What is known of one job beyond its record, until it ends."""

    progress: Progress | None = None
    lines: list[LogLine] = field(default_factory=list)
    watchers: set[Watcher] = field(default_factory=set)

    @property
    def idle(self) -> bool:
        return not (self.progress or self.lines or self.watchers)


class Events:
    """The live side of all jobs: an entry exists only while a job has lines, progress or watchers."""

    def __init__(self, log_lines: int) -> None:
        self._log_lines = log_lines
        self._live: dict[str, _Live] = {}
        self._ended = False

    def __len__(self) -> int:
        return len(self._live)

    def subscribe(self, job_id: str) -> Watcher:
        watcher = Watcher()
        if self._ended:
            watcher.end()
        self._live.setdefault(job_id, _Live()).watchers.add(watcher)
        return watcher

    def unsubscribe(self, job_id: str, watcher: Watcher) -> None:
        live = self._live.get(job_id)
        if live is not None:
            live.watchers.discard(watcher)
            if live.idle:
                del self._live[job_id]

    def moved(self, job: Job) -> None:
        """Tell the job's new state; at its end its entry goes, the watchers with it."""
        live = self._live.get(job.id)
        if live is None:
            return
        live.progress = None
        for watcher in live.watchers:
            watcher.push(job)
        if job.state.final:
            for watcher in live.watchers:
                watcher.end()
            del self._live[job.id]

    def report(self, job_id: str, progress: Progress) -> None:
        live = self._live.setdefault(job_id, _Live())
        live.progress = progress
        for watcher in live.watchers:
            watcher.push(progress)

    def log(self, job_id: str, line: LogLine) -> None:
        """Keep and tell a log line; past the limit one last line says that no more are kept."""
        live = self._live.setdefault(job_id, _Live())
        if len(live.lines) < self._log_lines:
            live.lines.append(line)
        elif len(live.lines) == self._log_lines:
            live.lines.append(LogLine(line.at, "WARN", TRUNCATED))
        for watcher in live.watchers:
            watcher.push(line)

    def progress(self, job_id: str) -> Progress | None:
        live = self._live.get(job_id)
        return live.progress if live else None

    def lines(self, job_id: str) -> Sequence[LogLine]:
        live = self._live.get(job_id)
        return live.lines if live else ()

    def end_all(self) -> None:
        """The gateway stops: let every watcher go, and those still to come."""
        self._ended = True
        for live in self._live.values():
            for watcher in live.watchers:
                watcher.end()
